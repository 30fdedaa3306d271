/** The telemetry events behind a number, in a dialog that the address opens (`events=`). */
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { api, query } from "../api";
import { count, duration, exact, pair, stamp, UNKNOWN } from "../format";
import { useNow } from "../hooks";
import { BESIDE, rows, type Scope } from "../panels";
import type { Usage } from "../usage";
import { t, tIf, type Word } from "../words";
import { Dialog } from "./Dialog";
import { Failure, Skeleton } from "./States";

const PAGE = 50;

interface TelemetryEvent {
  id: number;
  at: string;
  name: string;
  kind: string | null;
  conversation: string | null;
  model: string | null;
  user: string | null;
  terminal: string | null;
  tool: string | null;
  decision: string | null;
  success: boolean | null;
  failed: boolean;
  status: number | null;
  durationMs: number | null;
  count: number;
  usage: { inputTokens: number; outputTokens: number; callId: string | null; standing: string } | null;
}

interface EventPage {
  events: TelemetryEvent[];
  total: number;
  records: number;
  conversations: number;
  toolCalls: number;
  tokens: { inputTokens: number; cachedInputTokens: number; outputTokens: number } | null;
  hasMore: boolean;
  nextCursor: string | null;
}

export function Events({ scope, usage }: { scope: Scope; usage: Usage }) {
  const asked = usage.get("events");
  return (
    <Dialog
      title={t("panels.events")}
      open={asked !== ""}
      close={() => usage.change({ events: null }, { replace: true })}
      place="wide"
    >
      {asked && <List asked={asked} scope={scope} />}
    </Dialog>
  );
}

function List({ asked, scope }: { asked: string; scope: Scope }) {
  const { [BESIDE.calls]: calls = "", [BESIDE.fact]: fact = "", [BESIDE.threads]: threads = "", ...filters } = Object.fromEntries(new URLSearchParams(asked));
  const found = useInfiniteQuery({
    queryKey: ["telemetry-events", asked, scope],
    queryFn: ({ signal, pageParam }) =>
      api<EventPage>(`/api/telemetry/events${query({ ...scope, ...filters, limit: PAGE, cursor: pageParam })}`, {
        signal,
      }),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? undefined,
    meta: { topics: ["telemetry"] },
  });
  const first = found.data?.pages[0];
  if (!first) return found.isError ? <Failure error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={8} />;
  const events = found.data?.pages.flatMap((page) => page.events) ?? [];
  return (
    <>
      <p className="note">
        {t("panels.events.count", { count: first.total })}
        {["callId", "command"].includes(filters.has ?? "") && ` · ${t("panels.col.toolCalls")}: ${count(first.toolCalls)}`}
        {first.records !== first.total && ` · ${t("panels.records")}: ${count(first.records)}`}
        {first.conversations > 0 && ` · ${pair(t("panels.conversations"), count(first.conversations))}`}
        {first.tokens && <Used tokens={first.tokens} />}
        <FilterChips filters={filters} />
      </p>
      {calls && <Ledger calls={calls} fact={fact} scope={withDays(scope, filters)} />}
      {threads && (
        <p className="note panel-foot">
          <Link href={rows("/threads", withDays(scope, filters))}>{t("panels.inLedger", { n: count(Number(threads)) })}</Link>
        </p>
      )}
      {events.length ? <Table events={events} /> : <p className="note">{t("panels.nothing")}</p>}
      {found.hasNextPage && (
        <button type="button" disabled={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>
          {t("calls.more")}
        </button>
      )}
    </>
  );
}

/** What a list is narrowed to. */
export function FilterChips({ filters }: { filters: Record<string, string> }) {
  return (
    <>
      {Object.entries(filters).map(([key, value]) => (
        <span key={key} className="chip filter-chip">
          {tIf(`panels.events.by.${key}`, tIf(`filter.${key}`, key))}: <bdi>{shownValue(key, value)}</bdi>
        </span>
      ))}
    </>
  );
}

/** What the responses among the events used. */
export function Used({ tokens: { inputTokens, cachedInputTokens, outputTokens } }: { tokens: NonNullable<EventPage["tokens"]> }) {
  const parts: [Word, number][] = [
    ["requests.col.tokens", inputTokens + outputTokens],
    ["panels.input", inputTokens],
    ["panels.cached", cachedInputTokens],
    ["panels.output", outputTokens],
  ];
  return <>{parts.map(([word, number]) => ` · ${pair(t(word), count(number))}`)}</>;
}

/** The scope, or the days of one point of a chart. */
export function withDays(scope: Scope, { from, to }: Record<string, string>): Scope {
  return { ...scope, ...(from && { from }), ...(to && { to }) };
}

const VALUES: Record<string, Word> = {
  matched: "quality.matched", waiting: "quality.waiting", replaced: "quality.replaced", provisional: "quality.provisional",
  helper: "quality.helpers", counted: "calls.witness.telemetry", failed: "panels.success.failed", tokens: "requests.col.tokens",
  durationMs: "calls.col.duration", callId: "panels.col.toolCalls", alone: "panels.standing.provisional",
  userDecision: "panels.decisions", command: "panels.line.commands",
}; // prettier-ignore

/** What an event has or lacks, and how it went, in words; any other value is a name. */
function shownValue(key: string, value: string): string {
  if (key === "went") return t(value === "well" ? "panels.success.succeeded" : "panels.success.failed");
  if (key === "success") return t(value === "true" ? "panels.success.succeeded" : "panels.success.failed");
  if (key !== "has" && key !== "lacks") return value;
  const word = VALUES[value];
  return word ? t(word) : tIf(`panels.events.by.${value}`, value);
}

/** What of the number lies in the ledger: its calls are a list of their own. */
function Ledger({ calls, fact, scope }: { calls: string; fact: string; scope: Scope }) {
  return (
    <p className="note panel-foot">
      <Link href={rows("/calls", scope, { fact })}>{t("panels.inLedger.calls", { n: count(Number(calls)) })}</Link>
    </p>
  );
}

function Table({ events }: { events: TelemetryEvent[] }) {
  const now = useNow();
  return (
    <div className="scroll events" tabIndex={0} role="group" aria-label={t("panels.events")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("requests.col.time")}</th>
            <th scope="col">{t("panels.events.event")}</th>
            <th scope="col">{t("panels.events.what")}</th>
            <th scope="col">{t("panels.events.outcome")}</th>
            <th scope="col" className="num">
              {t("calls.col.duration")}
            </th>
            <th scope="col" className="num">
              {t("requests.col.tokens")}
            </th>
            <th scope="col">{t("panels.col.conversation")}</th>
          </tr>
        </thead>
        <tbody>
          {events.map((event) => (
            <tr key={event.id}>
              <td>{stamp(event.at, now)}</td>
              <td>
                <span className="mono">{event.name}</span>
                {event.kind && (
                  <small className="muted">
                    {" "}
                    <bdi dir="ltr">{event.kind}</bdi>
                  </small>
                )}
                {event.count > 1 && <small className="muted"> × {count(event.count)}</small>}
              </td>
              <td>{event.tool ?? event.model ?? event.terminal ?? UNKNOWN}</td>
              <td>{outcome(event)}</td>
              <td className="num">{duration(event.durationMs)}</td>
              <td className="num">
                <Tokens event={event} />
              </td>
              <td className="mono">
                {event.conversation ? (
                  <Link href={`/calls${query({ session: event.conversation })}`}>{event.conversation.slice(0, 8)}</Link>
                ) : (
                  UNKNOWN
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** The tokens of a response; a link where the ledger has its call. */
function Tokens({ event: { usage } }: { event: TelemetryEvent }) {
  if (!usage) return <>{UNKNOWN}</>;
  const sum = usage.inputTokens + usage.outputTokens;
  return (
    <>
      {usage.callId ? (
        <Link href={`/calls/${encodeURIComponent(usage.callId)}`} title={exact(sum)}>
          {count(sum)}
        </Link>
      ) : (
        count(sum)
      )}
      {!usage.callId && <small className="muted"> {tIf(`panels.standing.${usage.standing}`, usage.standing)}</small>}
    </>
  );
}

function outcome({ decision, success, status, kind, failed: ran }: TelemetryEvent): string {
  const failed = kind === "response.failed" && success === null;
  if (success && ran) return t("panels.events.failedInLog");
  const said = [
    decision,
    failed ? t("panels.success.failed") : null,
    success === null ? null : t(success ? "panels.success.succeeded" : "panels.success.failed"),
    status === null ? null : `HTTP ${status}`,
  ];
  return said.filter(Boolean).join(" · ") || UNKNOWN;
}
