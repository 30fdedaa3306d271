/** How far the telemetry can be trusted: coverage, versions, what was matched or dropped, and silence. */
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { api, query } from "../api";
import { ago, count, full, percent, UNKNOWN } from "../format";
import { useNow } from "../hooks";
import { eventsOf, rows, type Coverage, type Scope } from "../panels";
import { changed } from "../url";
import type { Usage } from "../usage";
import { t, tIf } from "../words";
import { useConnected } from "./connected";
import { bothHref } from "./PanelTables";
import { Failure, Skeleton } from "./States";
import "../panels.css";

interface Counted {
  name: string;
  count: number;
  lastAt: string | null;
}

interface Found {
  signals: { name: string; batches: number; records: number; lastAt: string | null }[];
  versions: Counted[];
  stored: Counted[];
  repeated: number;
  dropped: Counted[];
  refused: Counted[];
  records: Record<"matched" | "waiting" | "replaced" | "provisional", number>;
  conversations: { user?: number; helper?: number };
  silence: { lastEventAt: string | null; lastCallAt: string | null; silentSince: string | null; provider: string };
  coverage: Coverage;
  receiver: { waitingBatches: number; waitingEvents: number; diskFull: boolean; lastBatchAt: string | null };
}

/** What ends the silence of Codex: the switch, or its next start where that is on. */
function WayOut() {
  const connected = useConnected();
  if (connected === undefined) return null;
  return connected ? <>{t("quality.silent.on")}</> : <Link href="/settings#connect">{t("panels.off.link")}</Link>;
}

/** The events that a number leads to are opened by the page's panels. */
export function Quality({ usage, scope }: { usage: Usage; scope: Scope }) {
  const found = useQuery({
    queryKey: ["telemetry-quality", scope],
    queryFn: ({ signal }) => api<Found>(`/api/telemetry/quality${query({ ...scope })}`, { signal }),
    meta: { topics: ["calls", "telemetry"] },
    enabled: !usage.wrong,
  });
  return (
    <section className="card quality" id="quality" aria-labelledby="quality-title">
      <div className="card-head">
        <h2 id="quality-title">{t("quality.title")}</h2>
        <span className="chip">{t("calls.witness.telemetry")}</span>
      </div>
      {found.data ? (
        <Facts found={found.data} scope={scope} usage={usage} />
      ) : found.isError ? (
        <Failure error={found.error} retry={() => void found.refetch()} />
      ) : (
        <Skeleton lines={6} />
      )}
    </section>
  );
}

function Facts({ found, scope, usage }: { found: Found; scope: Scope; usage: Usage }) {
  const { coverage, records, silence, receiver, conversations } = found;
  const now = useNow();
  const events = (more: Record<string, string>, child: ReactNode) => (
    <Link href={usage.path + changed(usage.search, { events: eventsOf(more) })}>{child}</Link>
  );
  const ledger = coverage.calls - coverage.telemetryOnly;
  const place = bothHref({ usage, scope }, { ledger, telemetry: coverage.telemetryOnly }, {});
  return (
    <>
      {silence.silentSince && (
        <p className="warning" role="status">
          <span className="sign sign-warn" aria-hidden="true">
            ▲
          </span>{" "}
          {t("quality.silent", { ago: ago(silence.silentSince, now), client: tIf(`provider.${silence.provider}`, silence.provider) })}{" "}
          {silence.provider === "codex" && <WayOut />}
        </p>
      )}
      {receiver.diskFull && (
        <p className="warning" role="alert">
          {t("quality.diskFull")}
        </p>
      )}
      <dl className="pairs">
        <Pair name={t("quality.calls")}>{place ? <Link href={place}>{count(coverage.calls)}</Link> : count(coverage.calls)}</Pair>
        {(["log", "proxy"] as const).map((key) => (
          <Pair key={key} name={t(`calls.witness.${key}`)}>
            {coverage[key] ? (
              <Link href={rows("/calls", scope, { fact: `witness:${key}` })}>{part(coverage[key], coverage.calls)}</Link>
            ) : (
              part(0, coverage.calls)
            )}
          </Pair>
        ))}
        <Pair name={t("calls.witness.telemetry")}>
          {coverage.telemetry ? events({ has: "counted" }, part(coverage.telemetry, coverage.calls)) : part(0, coverage.calls)}
        </Pair>
        {(["matched", "waiting", "replaced", "provisional"] as const).map((key) => (
          <Pair key={key} name={t(`quality.${key}`)} title={t(`quality.${key}.title`)}>
            {records[key] ? events({ has: key }, count(records[key])) : count(records[key])}
          </Pair>
        ))}
        <Pair name={t("quality.conversations")}>
          {conversations.user ? events({ lacks: "helper" }, count(conversations.user)) : count(0)}
        </Pair>
        <Pair name={t("quality.helpers")} title={t("quality.helpers.title")}>
          {conversations.helper ? events({ has: "helper" }, count(conversations.helper)) : count(0)}
        </Pair>
        <Pair name={t("quality.repeated")}>{count(found.repeated)}</Pair>
        <Pair name={t("quality.waitingEvents")}>{count(receiver.waitingEvents)}</Pair>
        <Pair name={t("quality.lastEvent")} title={full(silence.lastEventAt)}>
          {ago(silence.lastEventAt, now)}
        </Pair>
        <Pair name={t("quality.lastCall")} title={full(silence.lastCallAt)}>
          {ago(silence.lastCallAt, now)}
        </Pair>
      </dl>
      <div className="lists">
        <List
          title={t("quality.versions")}
          items={found.versions}
          show={({ name, count: number }) => events(versionOf(name), count(number))}
        />
        <List title={t("quality.signals")} items={found.signals.map(({ name, records: n, lastAt }) => ({ name, count: n, lastAt }))} />
        <List title={t("quality.dropped")} items={found.dropped} />
        <List title={t("quality.refused")} items={found.refused} />
      </div>
    </>
  );
}

function part(number: number, of: number): string {
  return of ? `${count(number)} (${percent((number / of) * 100)})` : UNKNOWN;
}

function Pair({ name, title, children }: { name: string; title?: string; children: ReactNode }) {
  return (
    <div title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** "codex_cli_rs 0.169.0" as the filters of the events that such a client sent. */
function versionOf(name: string): Record<string, string> {
  const [service = "", version = ""] = name.split(" ");
  return { service, ...(version !== "?" && { version }) };
}

interface ListProps {
  title: string;
  items: Counted[];
  show?: (item: Counted) => ReactNode;
}

/** Names with how often they came; nothing is good news for most of them. */
function List({ title, items, show }: ListProps) {
  return (
    <section>
      <h3>{title}</h3>
      {items.length ? (
        <ul>
          {items.map((item) => (
            <li key={item.name} title={full(item.lastAt)}>
              <span title={item.name.length > 40 ? item.name : undefined}>{tIf(`quality.name.${item.name.replace(/[^A-Za-z0-9]+/g, "_")}`, item.name)}</span> <b>{show ? show(item) : count(item.count)}</b>
            </li>
          ))}
        </ul>
      ) : (
        <p className="note">{t("quality.none")}</p>
      )}
    </section>
  );
}
