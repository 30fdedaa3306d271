/** The responses behind a number of two sources, all in one list, in a dialog that the address opens (`counted=`). */
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { api, query } from "../api";
import { count, exact, stamp, UNKNOWN } from "../format";
import { useNow } from "../hooks";
import { eventsOf, provisional, rows, type Scope } from "../panels";
import { titled } from "../threads";
import { changed } from "../url";
import type { Usage } from "../usage";
import { t } from "../words";
import { shownOf } from "./Chips";
import { Dialog } from "./Dialog";
import { FilterChips, Used, withDays } from "./Events";
import { Failure, Skeleton } from "./States";

const PAGE = 50;

interface Response {
  at: string;
  source: "ledger" | "telemetry";
  callId: string | null;
  model: string | null;
  conversation: string | null;
  threadId: string | null;
  title: string | null;
  inputTokens: number;
  outputTokens: number;
  totalTokens: number;
}

interface Page {
  rows: Response[];
  total: number;
  sources: { ledger: number; telemetry: number };
  tokens: { inputTokens: number; cachedInputTokens: number; outputTokens: number };
  hasMore: boolean;
  nextCursor: string | null;
}

export function Counted({ scope, usage }: { scope: Scope; usage: Usage }) {
  const asked = usage.get("counted");
  return (
    <Dialog
      title={t("panels.counted")}
      open={asked !== ""}
      close={() => usage.change({ counted: null }, { replace: true })}
      place="wide"
    >
      {asked && <List asked={asked} scope={scope} usage={usage} />}
    </Dialog>
  );
}

function List({ asked, scope, usage }: { asked: string; scope: Scope; usage: Usage }) {
  const { all: _all, ...filters } = Object.fromEntries(new URLSearchParams(asked));
  const found = useInfiniteQuery({
    queryKey: ["counted", asked, scope],
    queryFn: ({ signal, pageParam }) =>
      api<Page>(`/api/telemetry/counted${query({ ...scope, ...filters, limit: PAGE, cursor: pageParam })}`, { signal }),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? undefined,
    meta: { topics: ["calls", "telemetry"] },
  });
  const first = found.data?.pages[0];
  if (!first) return found.isError ? <Failure error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={8} />;
  const listed = found.data?.pages.flatMap((page) => page.rows) ?? [];
  return (
    <>
      <p className="note">
        {t("panels.modelCalls")}: {count(first.total)}
        <Used tokens={first.tokens} />
        <FilterChips filters={filters} />
      </p>
      <p className="note panel-foot">
        <Sides sources={first.sources} filters={filters} scope={scope} usage={usage} />
      </p>
      {listed.length ? <Table rows={listed} usage={usage} /> : <p className="note">{t("panels.nothing")}</p>}
      <div className="pages">
        <span className="note" role="status">
          {shownOf(listed.length, first.total)}
        </span>
        {found.hasNextPage && (
          <button type="button" disabled={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
            {t("calls.more")}
          </button>
        )}
      </div>
    </>
  );
}

interface SidesProps {
  sources: Page["sources"];
  filters: Record<string, string>;
  scope: Scope;
  usage: Usage;
}

/** Each source's part with its own list; calls without a model or conversation have none. */
function Sides({ sources, filters, scope, usage }: SidesProps) {
  const { model = "", conversation = "", user, lacks } = filters;
  const ledger = t("panels.inLedger", { n: count(sources.ledger) });
  const fact = user ? `user:${user}` : "";
  const events = usage.path + changed(usage.search, { counted: null, events: eventsOf(provisional(filters)) });
  return (
    <>
      {lacks || !sources.ledger ? ledger : <Link href={rows("/calls", withDays(scope, filters), { model, session: conversation, fact })}>{ledger}</Link>}
      {" · "}
      <Link href={events}>{t("panels.onlyTelemetry", { n: count(sources.telemetry) })}</Link>
    </>
  );
}

function Table({ rows: listed, usage }: { rows: Response[]; usage: Usage }) {
  const now = useNow();
  return (
    <div className="scroll events" tabIndex={0} role="group" aria-label={t("panels.counted")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("requests.col.time")}</th>
            <th scope="col">{t("calls.col.seen")}</th>
            <th scope="col">{t("calls.col.model")}</th>
            <th scope="col">{t("panels.col.conversation")}</th>
            <th scope="col" className="num">
              {t("calls.col.input")}
            </th>
            <th scope="col" className="num">
              {t("calls.col.output")}
            </th>
            <th scope="col" className="num">
              {t("requests.col.tokens")}
            </th>
          </tr>
        </thead>
        <tbody>
          {listed.map((row, index) => (
            <tr key={row.callId ?? `${row.at} ${index}`}>
              <td>{stamp(row.at, now)}</td>
              <td>{t(row.source === "ledger" ? "settings.ledger" : "panels.standing.provisional")}</td>
              <td>{row.model ?? UNKNOWN}</td>
              <td>
                <Talk row={row} usage={usage} />
              </td>
              <td className="num" title={exact(row.inputTokens)}>
                {count(row.inputTokens)}
              </td>
              <td className="num" title={exact(row.outputTokens)}>
                {count(row.outputTokens)}
              </td>
              <td className="num" title={exact(row.totalTokens)}>
                {row.callId ? <Link href={`/calls/${encodeURIComponent(row.callId)}`}>{count(row.totalTokens)}</Link> : count(row.totalTokens)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The conversation of a response: its thread where there is one, else its telemetry. */
function Talk({ row: { conversation, threadId, title }, usage }: { row: Response; usage: Usage }) {
  if (!conversation) return <>{UNKNOWN}</>;
  const name = title ? <bdi>{titled(title)}</bdi> : <span className="mono">{conversation.slice(0, 8)}</span>;
  const events = usage.path + changed(usage.search, { counted: null, events: eventsOf({ conversation }) });
  return <Link href={threadId ? `/threads/${encodeURIComponent(threadId)}` : events}>{name}</Link>;
}
