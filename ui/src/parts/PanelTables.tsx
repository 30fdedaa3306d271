/** Panels made of figures: tiles, shares of a whole as sorted bars, and the conversations. */
import { Fragment, type ReactNode } from "react";
import { Link } from "wouter";
import { query } from "../api";
import { csv, download } from "../csv";
import { count, duration, exact, modelName, percent, share, stamp, UNKNOWN } from "../format";
import { useNow } from "../hooks";
import { BESIDE, countedOf, eventName, eventsOf, literalEvents, LOCAL_USER, placeOf, rows, type Item, type Panel, type PanelId, type Sources, type Talk } from "../panels";
import { titled } from "../threads";
import { changed } from "../url";
import { t, tIf, type Word } from "../words";
import { shownOf } from "./Chips";
import { Copy } from "./Copy";
import type { Shown } from "./Panels";

const SHORT_ID = 8;
/** As many conversations at once, and the most that the server lists. */
export const DETAILS = 200;
const MOST_DETAILS = 10_000;

/** The title of a panel, its source, what the literal query really measures, and its CSV. */
export function PanelHead({ panel, shown, save }: { panel: PanelId; shown: Shown; save: () => void }) {
  return (
    <div className="card-head">
      <h2>{t(`panels.${panel}`)}</h2>
      <span className="tools">
        <span className="chip">{source(panel, shown)}</span>
        <button type="button" className="quiet" onClick={save}>
          {t("do.csv")}
        </button>
      </span>
    </div>
  );
}

/** Who says these numbers. */
export function source(panel: PanelId, { literal, page }: Shown): string {
  if (literal) return t("panels.literal.source");
  const tools = panel === "tools" ? (page.panels.find(({ id }) => id === panel)?.items ?? []) : [];
  if (tools.some(({ sources }) => sources?.log))
    return t(tools.some(({ sources }) => sources?.telemetry) ? "panels.source.tools" : "calls.witness.log");
  if (["tools", "decisions", "terminals", "commandDuration"].includes(panel)) return t("calls.witness.telemetry");
  if (panel === "success") return t("panels.source.success");
  return t(page.coverage.telemetry ? "panels.source.both" : "settings.ledger");
}

/** What SigNoz' query measures, where that is not what its title says. */
export function LiteralNote({ panel, shown }: { panel: PanelId; shown: Shown }) {
  const said = tIf(`panels.literal.${panel}`, "");
  return shown.literal && said ? <p className="note panel-note">{said}</p> : null;
}

/** The address of this page with the events behind a number opened. */
export function EventsLink({ shown, more, children }: { shown: Shown; more: Record<string, string>; children: ReactNode }) {
  const { path, search } = shown.usage;
  return <Link href={path + changed(search, { events: eventsOf(more) })}>{children}</Link>;
}

interface BothProps {
  shown: Shown;
  sources: Sources;
  filters?: Record<string, string>;
  children: ReactNode;
}

/** A number of ledger and telemetry together, which leads to the rows of whichever has some. */
export function Both({ shown, sources, filters = {}, children }: BothProps) {
  const href = bothHref(shown, sources, filters);
  return href === null ? <>{children}</> : <Link href={href}>{children}</Link>;
}

/** Where the rows of a number of both sources are; null: no list has just these. */
export function bothHref({ usage, scope }: Pick<Shown, "usage" | "scope">, sources: Sources, filters: Record<string, string>): string | null {
  const place = placeOf(sources, filters);
  if ("counted" in place) return usage.path + changed(usage.search, { counted: place.counted });
  if ("events" in place) return usage.path + changed(usage.search, { events: eventsOf(place.events) });
  // Calls have no filter for what has no model: the list of both sources has.
  if ("lacks" in filters) return usage.path + changed(usage.search, { counted: countedOf(filters) });
  return rows("/calls", scope, place.calls);
}

// ── tiles ────────────────────────────────────────────────────────────────────────────────

export function TilesPanel({ panels, shown }: { panels: Panel[]; shown: Shown }) {
  const value = (panel: Panel) => (shown.literal ? panel.literal?.value : panel.value);
  const save = () =>
    download(`brimline-panels-${shown.literal ? "signoz" : "corrected"}.csv`, [
      csv(
        ["panel", "value", "ledger", "telemetry_only"],
        panels.map((panel) => [
          panel.id,
          value(panel),
          ...(shown.literal ? [] : [panel.sources?.ledger, panel.sources?.telemetry]),
        ]),
      ),
    ]);
  return (
    <div className="card sums tiles">
      <div className="card-head">
        <h2>{t("panels.sums")}</h2>
        <span className="tools">
          <span className="chip">{source("input", shown)}</span>
          <button type="button" className="quiet" onClick={save}>
            {t("do.csv")}
          </button>
        </span>
      </div>
      <dl className="six">
        {panels.map((panel) => (
          <div key={panel.id}>
            <dt>{t(`panels.${panel.id}`)}</dt>
            <dd>
              <Tile panel={panel} shown={shown} value={value(panel)} />
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

function Tile({ panel, shown, value }: { panel: Panel; shown: Shown; value: number | null | undefined }) {
  const rate = panel.id === "cacheRate";
  const figure = <strong title={rate ? undefined : exact(value)}>{rate ? share(value == null ? null : value / 100) : count(value)}</strong>;
  if (shown.literal) {
    return (
      <>
        <EventsLink shown={shown} more={literalEvents(panel.id)}>
          {figure}
        </EventsLink>
        <small>{tIf(`panels.literal.${panel.id}`, t("panels.literal.tile"))}</small>
      </>
    );
  }
  return (
    <>
      {panel.id === "conversations" && panel.sources?.telemetry ? (
        <EventsLink shown={shown} more={{ has: "alone", ...(panel.sources.ledger && { [BESIDE.threads]: String(panel.sources.ledger) }) }}>
          {figure}
        </EventsLink>
      ) : panel.id === "conversations" || !panel.sources ? (
        <Link href={rows("/threads", shown.scope)}>{figure}</Link>
      ) : (
        <Both shown={shown} sources={panel.sources}>
          {figure}
        </Both>
      )}
      <small>
        <Beside panel={panel} shown={shown} />
      </small>
    </>
  );
}

/** What only telemetry adds to a tile, and what failed beside it. */
function Beside({ panel, shown }: { panel: Panel; shown: Shown }) {
  const told = panel.sources?.telemetry;
  const more: Record<string, string> =
    { has: panel.id === "conversations" ? "alone" : "provisional" };
  const parts: ReactNode[] = [];
  if (told && panel.id !== "cacheRate")
    parts.push(
      <EventsLink key="told" shown={shown} more={more}>
        {t("panels.onlyTelemetry", { n: count(told) })}
      </EventsLink>,
    );
  if (panel.failedBy?.proxy && panel.failedBy.telemetry)
    parts.push(<FailedByBoth key="failed" by={panel.failedBy} shown={shown} />);
  else if (panel.failed)
    parts.push(
      <FailedLink key="failed" panel={panel} shown={shown}>
        {t("panels.failed", { n: count(panel.failed) })}
      </FailedLink>,
    );
  if (told && panel.sources?.ledger && panel.id !== "cacheRate")
    parts.unshift(
      <Link key="ledger" href={rows(panel.id === "conversations" ? "/threads" : "/calls", shown.scope)}>
        {t("panels.inLedger", { n: count(panel.sources.ledger) })}
      </Link>,
    );
  if (panel.id === "cacheRate" && told != null)
    return <>{t(panel.sources?.ledger == null ? "panels.standing.provisional" : "panels.source.both")}</>;
  if (!parts.length) return <>{t(shown.page.coverage.calls ? "panels.allLedger" : "panels.nothing")}</>;
  return <>{parts.flatMap((part, index) => (index ? [" · ", part] : [part]))}</>;
}

/** A failed request is stored as one of these. */
const FAILED = ["error", "rate_limit", "quota"];

/** The failed requests that one of the two tells: in the request log, or as events. */
function FailedBy({ by, shown, children }: { by: "proxy" | "telemetry"; shown: Shown; children: ReactNode }) {
  const { from, to } = shown.page;
  const until = new Date(Date.parse(to) - 1).toISOString();
  if (by === "proxy") return <Link href={`/requests${query({ status: FAILED, from, to: until })}`}>{children}</Link>;
  return (
    <EventsLink shown={shown} more={{ has: "failed" }}>
      {children}
    </EventsLink>
  );
}

/** All failures, where one list has them; else the two lists are told beside it. */
function FailedLink({ panel, shown, children }: { panel: Panel; shown: Shown; children: ReactNode }) {
  const { proxy = 0, telemetry = 0 } = panel.failedBy ?? {};
  if (proxy && telemetry) return <>{children}</>;
  return (
    <FailedBy by={proxy ? "proxy" : "telemetry"} shown={shown}>
      {children}
    </FailedBy>
  );
}

/** Both kinds of failures, each with its list. */
function FailedByBoth({ by, shown }: { by: { proxy: number; telemetry: number }; shown: Shown }) {
  const part = (name: keyof typeof by) =>
    by[name] ? (
      <FailedBy by={name} shown={shown}>
        {count(by[name])}
      </FailedBy>
    ) : (
      count(0)
    );
  return (
    <Said
      text={({ proxy = "", telemetry = "" }) => t("panels.failedBy", { proxy, telemetry })}
      parts={{ proxy: part("proxy"), telemetry: part("telemetry") }}
    />
  );
}

/** A sentence with links in the place of some of its numbers. */
export function Said({ text, parts }: { text: (marks: Record<string, string>) => string; parts: Record<string, ReactNode> }) {
  const names = Object.keys(parts);
  const said = text(Object.fromEntries(names.map((name, index) => [name, `\u0001${index}\u0001`])));
  return (
    <>
      {said.split("\u0001").map((part, index) => (
        <Fragment key={index}>{index % 2 ? parts[names[Number(part)] ?? ""] : part}</Fragment>
      ))}
    </>
  );
}

// ── shares ───────────────────────────────────────────────────────────────────────────────

interface Column {
  word: Word;
  key: keyof Item;
  show: (value: number | null | undefined) => string;
  /** What its events have beside those of the row. */
  events?: Record<string, string>;
  /** It counts a user's calls, or the conversations of these. */
  calls?: boolean;
}

const MORE: Partial<Record<PanelId, Column[]>> = {
  tools: [
    { word: "panels.col.succeeded", key: "succeeded", show: count, events: { went: "well" } },
    { word: "panels.col.failed", key: "failed", show: count, events: { went: "badly" } },
    { word: "panels.col.rate", key: "successPercent", show: percent },
    { word: "panels.col.p95", key: "p95Ms", show: duration, events: { has: "durationMs" } },
  ],
  users: [
    { word: "panels.col.conversations", key: "conversations", show: count, calls: true },
    { word: "requests.col.tokens", key: "tokens", show: count, calls: true },
  ],
};

export function SharesPanel({ panel, shown }: { panel: Panel; shown: Shown }) {
  const items = (shown.literal ? panel.literal?.items : panel.items) ?? [];
  const more = shown.literal ? [] : (MORE[panel.id] ?? []);
  const save = () =>
    download(`brimline-${panel.id}.csv`, [
      csv(["name", "value", ...more.map(({ key }) => key)], items.map((item) => [item.name ?? "", item.value, ...more.map(({ key }) => item[key])])),
    ]);
  return (
    <div className="card">
      <PanelHead panel={panel.id} shown={shown} save={save} />
      <LiteralNote panel={panel.id} shown={shown} />
      {items.length ? (
        <Shares
          label={t(`panels.${panel.id}`)}
          items={items}
          columns={more}
          link={(item, child) =>
            panel.id === "success" && item.name === "failed" && !shown.literal ? (
              <FailedLink panel={panel} shown={shown}>
                {child}
              </FailedLink>
            ) : (
              <ItemLink panel={panel.id} item={item} shown={shown}>
                {child}
              </ItemLink>
            )
          }
          name={(item) => itemName(panel.id, item)}
          cell={(item, column) => <Cell panel={panel.id} item={item} column={column} shown={shown} />}
        />
      ) : (
        <p className="note">{t("panels.nothing")}</p>
      )}
      {!shown.literal && panel.estimated && <p className="note panel-foot">P95: {t("panels.estimate")}</p>}
      {!shown.literal && <Aside panel={panel} shown={shown} />}
    </div>
  );
}

interface CellProps {
  panel: PanelId;
  item: Item;
  column: Column;
  shown: Shown;
}

/** A further number of an item; one that has rows or events of its own leads to them. */
function Cell({ panel, item, column, shown }: CellProps) {
  if (column.calls && item[column.key])
    return (
      <ItemLink panel={panel} item={item} shown={shown}>
        {plainCell(item, column)}
      </ItemLink>
    );
  const events = column.events && item[column.key] ? eventsBehind(panel, item.name, shown.scope.provider) : null;
  if (!events) return <>{plainCell(item, column)}</>;
  return (
    <EventsLink shown={shown} more={{ ...events, ...column.events }}>
      {plainCell(item, column)}
    </EventsLink>
  );
}

function itemName(panel: PanelId, item: Item): string {
  if (item.name === null) return t("calls.initiator.unknown");
  if (panel === "success") return tIf(`panels.success.${item.name}`, item.name);
  return panel === "users" && item.name === LOCAL_USER ? t("panels.localUser") : item.name;
}

interface SharesProps {
  label: string;
  items: Item[];
  columns?: Column[];
  link: (item: Item, child: string) => ReactNode;
  name: (item: Item) => string;
  cell?: (item: Item, column: Column) => ReactNode;
}

function plainCell(item: Item, { key, show }: Column): string {
  return show(item[key] as number | null | undefined);
}

/** Sorted bars in a table, so that the numbers are there as well. */
function Shares({ label, items, columns = [], link, name, cell = plainCell }: SharesProps) {
  const whole = items.reduce((sum, { value }) => sum + value, 0);
  const most = Math.max(1, ...items.map(({ value }) => value));
  return (
    <div className="scroll within" tabIndex={0} role="group" aria-label={label}>
      <table className="shares">
        <thead>
          <tr>
            <th scope="col">{t("panels.col.name")}</th>
            <th scope="col" className="wide">
              <span className="hidden">{t("panels.col.bar")}</span>
            </th>
            <th scope="col" className="num">
              {t("panels.col.number")}
            </th>
            <th scope="col" className="num">
              {t("panels.col.share")}
            </th>
            {columns.map(({ word }) => (
              <th key={word} scope="col" className="num">
                {t(word)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={item.name ?? ""}>
              <th scope="row" title={name(item)}>
                {name(item)}
              </th>
              <td className="wide" aria-hidden="true">
                {item.value > 0 && <i className="rank-bar" style={{ width: `${(item.value / most) * 100}%` }} />}
              </td>
              <td className="num strong" title={exact(item.value)}>
                {link(item, count(item.value))}
              </td>
              <td className="num">{percent((item.value / Math.max(1, whole)) * 100)}</td>
              {columns.map((column) => (
                <td key={column.word} className="num">
                  {cell(item, column)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface ItemLinkProps {
  panel: PanelId;
  item: Item;
  shown: Shown;
  children: string;
}

function ItemLink({ panel, item, shown, children }: ItemLinkProps) {
  const { scope, literal } = shown;
  const events = literal ? literalEvents(panel, item.name) : eventsBehind(panel, item.name, scope.provider);
  const { telemetry, log } = item.sources ?? {};
  const fact = !literal && log && item.name ? `silent_tool_run:${item.name}` : "";
  if (fact && !telemetry) return <Link href={rows("/calls", scope, { fact })}>{children}</Link>;
  if (events)
    return (
      <EventsLink shown={shown} more={{ ...events, ...(fact && { [BESIDE.calls]: String(log), [BESIDE.fact]: fact }) }}>
        {children}
      </EventsLink>
    );
  if (!item.sources || !item.value) return <>{children}</>;
  const name = item.name ?? "";
  const filters: Record<string, string> =
    panel === "success" ? {} : panel === "users" ? { user: name } : name ? { model: name } : { lacks: "model" };
  return (
    <Both shown={shown} sources={item.sources} filters={filters}>
      {children}
    </Both>
  );
}

/** The telemetry behind an item of a panel that only telemetry knows; null: its rows are elsewhere. */
function eventsBehind(panel: PanelId, item: string | null, provider: string): Record<string, string> | null {
  const named = item ?? "";
  if (panel === "tools") return { name: eventName("tool_result", provider), ...(named ? { tool: named } : { lacks: "tool" }) };
  if (panel === "decisions") return { name: eventName("tool_decision", provider), has: "userDecision", decision: named };
  if (panel === "terminals") return { lacks: "helper", ...(named ? { terminal: named } : { has: "terminal" }) };
  return null;
}

/** What stands beside a share: what was decided by configuration, other clients, tools' outcome. */
function Aside({ panel, shown }: { panel: Panel; shown: Shown }) {
  const { configured = [], surfaces = [], tools, failedBy } = panel;
  const provider = shown.scope.provider;
  return (
    <>
      {configured.length > 0 && (
        <p className="note panel-foot">
          {t("panels.configured")}{" "}
          {configured.map(({ name, value }, index) => (
            <span key={name ?? ""}>
              {index > 0 && ", "}
              {name ?? t("calls.initiator.unknown")}{" "}
              <EventsLink shown={shown} more={{ name: eventName("tool_decision", provider), lacks: "userDecision", decision: name ?? "" }}>
                {count(value)}
              </EventsLink>
            </span>
          ))}
        </p>
      )}
      {surfaces.length > 0 && (
        <p className="note panel-foot">
          {t("panels.surfaces")}{" "}
          {surfaces.map(({ name, value }, index) => (
            <span key={name ?? ""}>
              {index > 0 && ", "}
              {name ?? t("calls.initiator.unknown")} <Link href={rows("/calls", shown.scope, { fact: `client:${name ?? "?"}` })}>{count(value)}</Link>
            </span>
          ))}
        </p>
      )}
      {panel.id === "success" && (
        <p className="note panel-foot">
          {t("panels.success.rate", { share: percent(panel.successPercent) })}
          {failedBy && (
            <>
              {" "}
              <FailedByBoth by={failedBy} shown={shown} />
            </>
          )}
          {tools && Boolean(tools.succeeded || tools.failed) && (
            <>
              {" "}
              {t("panels.toolOutcome")}{" "}
              {(["succeeded", "failed"] as const).map((key, index) => (
                <span key={key}>
                  {index > 0 && ", "}
                  {t(`panels.success.${key}`)}{" "}
                  <EventsLink shown={shown} more={{ name: eventName("tool_result", provider), went: key === "succeeded" ? "well" : "badly" }}>
                    {count(tools[key])}
                  </EventsLink>
                </span>
              ))}
            </>
          )}
        </p>
      )}
    </>
  );
}

// ── conversations ────────────────────────────────────────────────────────────────────────

export function DetailsPanel({ panel, shown }: { panel: Panel; shown: Shown }) {
  const found = (shown.literal ? panel.literal?.rows : panel.rows) ?? [];
  const save = () => {
    const keys: (keyof Talk)[] = shown.literal
      ? ["conversation", "durationMs", "modelCalls"]
      : ["conversation", "title", "kind", "model", "modelCalls", "tokens", "toolCalls", "toolDurationMs", "lastAt"];
    download("brimline-conversations.csv", [csv(keys, found.map((row) => keys.map((key) => row[key])))]);
  };
  return (
    <div className="card">
      <PanelHead panel={panel.id} shown={shown} save={save} />
      <LiteralNote panel={panel.id} shown={shown} />
      {!found.length ? (
        <p className="note">{t("panels.nothing")}</p>
      ) : shown.literal ? (
        <LiteralTalks found={found} shown={shown} />
      ) : (
        <Talks found={found} shown={shown} />
      )}
      <MoreTalks loaded={found.length} measured={shown.literal ? panel.literal : panel} shown={shown} />
    </div>
  );
}

/** How many of the conversations are here, and the next ones; the address says how many are asked for. */
function MoreTalks({ loaded, measured, shown: { usage } }: { loaded: number; measured: Pick<Panel, "total" | "hasMore"> | null; shown: Shown }) {
  const total = measured?.total ?? loaded;
  if (!measured?.hasMore && loaded <= DETAILS) return null;
  const next = Math.min(loaded + DETAILS, MOST_DETAILS);
  return (
    <div className="pages">
      <span className="note" role="status">
        {shownOf(loaded, total)}
      </span>
      {measured?.hasMore && next > loaded && (
        <button type="button" onClick={() => usage.change({ talks: String(next) }, { replace: true })}>
          {t("calls.more")}
        </button>
      )}
    </div>
  );
}

/** The name of a conversation: its thread where there is one, else its events. */
function TalkName({ row, shown }: { row: Talk; shown: Shown }) {
  const { conversation, threadId, title } = row;
  const said = <bdi>{titled(title) ?? (conversation ? conversation.slice(0, SHORT_ID) : UNKNOWN)}</bdi>;
  if (threadId) return <Link href={`/threads/${encodeURIComponent(threadId)}`}>{said}</Link>;
  if (!conversation) return <>{said}</>;
  return (
    <EventsLink shown={shown} more={{ conversation }}>
      {said}
    </EventsLink>
  );
}

/** A number of a conversation's model calls, which leads to these. */
function TalkCalls({ row, shown, children }: { row: Talk; shown: Shown; children: ReactNode }) {
  const { conversation, modelCalls, told = 0 } = row;
  if (!modelCalls) return <>{children}</>;
  const filters: Record<string, string> = conversation ? { conversation } : { lacks: "conversation" };
  return (
    <Both shown={shown} sources={{ ledger: modelCalls - told, telemetry: told }} filters={filters}>
      {children}
    </Both>
  );
}

function Talks({ found, shown }: { found: Talk[]; shown: Shown }) {
  const now = useNow();
  return (
    <div className="scroll within" tabIndex={0} role="group" aria-label={t("panels.conversationDetails")}>
      <table className="talks">
        <thead>
          <tr>
            <th scope="col">{t("panels.col.conversation")}</th>
            <th scope="col" className="wide-only">{t("requests.col.model")}</th>
            {(["panels.modelCalls", "requests.col.tokens", "panels.col.toolCalls", "panels.col.toolTime"] as const).map((word) => (
              <th key={word} scope="col" className={word === "panels.col.toolTime" ? "num wide-only" : "num"}>
                {t(word)}
              </th>
            ))}
            <th scope="col">{t("panels.col.last")}</th>
          </tr>
        </thead>
        <tbody>
          {found.map((row) => (
            <tr key={row.conversation ?? ""}>
              <th scope="row" title={row.conversation ?? undefined}>
                <TalkName row={row} shown={shown} /> {row.kind && row.kind !== "user" && <span className="chip">{tIf(`panels.kind.${row.kind}`, row.kind)}</span>}
              </th>
              <td className="wide-only" title={row.model ?? undefined}>
                {modelName(row.model)}
              </td>
              <td className="num">
                <TalkCalls row={row} shown={shown}>
                  {count(row.modelCalls)}
                </TalkCalls>
              </td>
              <td className="num">
                <TalkCalls row={row} shown={shown}>
                  <span title={exact(row.tokens)}>{count(row.tokens)}</span>
                </TalkCalls>
              </td>
              <td className="num">
                {row.toolCalls && row.conversation && row.toolsFrom === "log" ? (
                  <Link href={rows("/calls", shown.scope, { session: row.conversation, fact: "tool_run:*" })} title={t("calls.witness.log")}>
                    {count(row.toolCalls)}
                  </Link>
                ) : row.toolCalls && row.conversation ? (
                  <EventsLink shown={shown} more={{ conversation: row.conversation, name: eventName("tool_result", shown.scope.provider) }}>
                    {count(row.toolCalls)}
                  </EventsLink>
                ) : (
                  count(row.toolCalls)
                )}
              </td>
              <td className="num wide-only">
                {row.toolDurationMs && row.conversation ? (
                  <EventsLink shown={shown} more={{ conversation: row.conversation, name: eventName("tool_result", shown.scope.provider), has: "durationMs" }}>
                    {duration(row.toolDurationMs)}
                  </EventsLink>
                ) : (
                  duration(row.toolDurationMs)
                )}
              </td>
              <td>{stamp(row.lastAt, now)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A number of SigNoz' own list, which leads to the events that it was made of. */
function LiteralLink({ conversation, has, shown, children }: { conversation: string | null; has: string; shown: Shown; children: ReactNode }) {
  if (!conversation) return <>{children}</>;
  return (
    <EventsLink shown={shown} more={{ conversation, has }}>
      {children}
    </EventsLink>
  );
}

function LiteralTalks({ found, shown }: { found: Talk[]; shown: Shown }) {
  return (
    <div className="scroll within" tabIndex={0} role="group" aria-label={t("panels.conversationDetails")}>
      <table className="talks">
        <thead>
          <tr>
            <th scope="col">{t("panels.col.conversation")}</th>
            <th scope="col" className="num">
              {t("calls.col.duration")}
            </th>
            <th scope="col" className="num">
              {t("panels.modelCalls")}
            </th>
          </tr>
        </thead>
        <tbody>
          {found.map(({ conversation, durationMs, modelCalls }) => (
            <tr key={conversation ?? ""}>
              <th scope="row">
                {conversation ? (
                  <>
                    <EventsLink shown={shown} more={{ conversation }}>
                      <span className="mono">{conversation}</span>
                    </EventsLink>{" "}
                    <Copy text={conversation} label={t("panels.col.conversation")} />
                  </>
                ) : (
                  UNKNOWN
                )}
              </th>
              <td className="num">
                <LiteralLink conversation={conversation} has="durationMs" shown={shown}>
                  {duration(durationMs)}
                </LiteralLink>
              </td>
              <td className="num">
                <LiteralLink conversation={modelCalls ? conversation : null} has="callId" shown={shown}>
                  {count(modelCalls)}
                </LiteralLink>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
