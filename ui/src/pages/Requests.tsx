/** What went through us? The request log, newest first, with what is in flight on top.
 *
 * Below 1,300 px the columns that a row's details show as well are left to these, unless they are chosen. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Fragment, useState, type ReactNode } from "react";
import { Link } from "wouter";
import { nameOf, useAccounts } from "../accounts";
import { api, query, type Account, type ApiKey, type InFlight, type RequestPage, type RequestRow } from "../api";
import { count, duration, exact, full, money, stamp, UNKNOWN } from "../format";
import { useNow, useTitle, useWide } from "../hooks";
import { ColumnTools, useChosen, useSqueezed } from "../parts/Columns";
import { ConnectCodex } from "../parts/Connect";
import { Dialog } from "../parts/Dialog";
import { Explain } from "../parts/Explain";
import { Many, One, SearchBox, type Option } from "../parts/Filters";
import { Named } from "../parts/Named";
import { Panels } from "../parts/Panels";
import { PrivacyMode } from "../parts/Privacy";
import { RequestDetails } from "../parts/RequestDetails";
import { Empty, Failure, Skeleton } from "../parts/States";
import { RequestStatus } from "../parts/RequestStatus";
import { useApiKeys } from "./Keys";
import { moment, oneOf, since, TIME_RANGES } from "../range";
import { useAddress } from "../url";
import { told } from "../told";
import { t, tIf, type Word } from "../words";

const SIZES = ["25", "50", "100"];
const STATUSES = ["ok", "rate_limit", "quota", "error", "cancelled"];
const COLUMNS: { key: string; word: Word }[] = [
  { key: "account", word: "requests.col.account" },
  { key: "reason", word: "requests.col.reason" },
  { key: "key", word: "filter.key" },
  { key: "model", word: "requests.col.model" },
  { key: "status", word: "requests.col.status" },
  { key: "tokens", word: "requests.col.tokens" },
  { key: "cached", word: "requests.col.cached" },
  { key: "cost", word: "requests.col.cost" },
  { key: "first", word: "requests.col.first" },
  { key: "total", word: "requests.col.total" },
  { key: "attempts", word: "requests.col.attempts" },
];
/** What gives way where large figures or long words need the room, the least useful first. */
const LEAST = ["attempts", "first", "cached", "key", "reason", "total", "tokens"];
const PLAIN = ["account", "reason", "key", "model", "status"]; // no figures

interface Options {
  accountIds: string[];
  modelOptions: { model: string | null; reasoningEffort: string | null }[];
  statuses: string[];
}

function useFilters() {
  const address = useAddress();
  const size = SIZES.includes(address.get("rows")) ? Number(address.get("rows")) : 50;
  const page = Math.max(1, Math.floor(Number(address.get("page"))) || 1);
  const from = moment(address.get("from"));
  const to = moment(address.get("to"));
  return {
    ...address,
    size,
    page,
    /** Moments, where a number elsewhere leads to just its rows. */
    from,
    to,
    range: from || to ? "custom" : oneOf(address.get("range"), TIME_RANGES, "all"),
    q: address.get("q"),
    accounts: address.all("account"),
    models: address.all("model"),
    statuses: address.all("status").filter((status) => STATUSES.includes(status)),
    keys: address.all("key"),
    /** Any filter starts at the first page again. */
    filter: (key: string, value: string | string[], replace = false) =>
      address.change({ [key]: value, page: null, open: null }, { replace }),
  };
}

type Filters = ReturnType<typeof useFilters>;

export function Requests() {
  useTitle(t("requests.title"));
  const filters = useFilters();
  const accounts = useAccounts().data;
  const keys = useApiKeys().data;
  const [explaining, setExplaining] = useState(false);
  const { size, page, range, from, to, q, accounts: ids, models, statuses, keys: keyIds } = filters;
  const found = useQuery({
    queryKey: ["requests", { size, page, range, from, to, q, ids, models, statuses, keyIds }],
    queryFn: ({ signal }) => {
      const asked = {
        limit: size,
        offset: (page - 1) * size,
        search: q,
        accountId: ids,
        apiKeyId: keyIds,
        model: models,
        status: statuses,
      };
      const within = range === "custom" ? { since: from, until: to } : { since: since(range, Date.now()) };
      return api<RequestPage>(`/api/request-logs${query({ ...asked, ...within })}`, {
        signal,
      });
    },
    meta: { topics: ["requests", "accounts", "settings"] },
    placeholderData: keepPreviousData,
  });
  const live = useInFlight();
  const filtered = Boolean(
    q || ids.length || models.length || statuses.length || keyIds.length || range !== "all",
  );
  const data = found.data;
  const flying = page === 1 && !filtered ? live : [];
  return (
    <div className="full">
      <header>
        <h1>{t("requests.title")}</h1>
        <span className="tools">
          {data && <span className="note">{t("requests.count", { count: data.total })}</span>}
          <PrivacyMode />
          <button type="button" onClick={() => setExplaining(true)}>
            {t("explain.open")}
          </button>
        </span>
      </header>
      <FilterBar filters={filters} accounts={accounts} keys={keys} filtered={filtered} />
      <section className="card table-card" aria-busy={found.isPlaceholderData}>
        {found.isPending && <Skeleton lines={8} />}
        {found.isError && !data && <Failure error={found.error} retry={() => void found.refetch()} />}
        {data && data.requests.length === 0 && flying.length === 0 && (
          <Nothing filtered={filtered} total={data.total} filters={filters} />
        )}
        {data && (data.requests.length > 0 || flying.length > 0) && (
          <Table rows={data.requests} live={flying} accounts={accounts} keys={keys} filters={filters} />
        )}
      </section>
      {data && data.total > size && <Pages filters={filters} total={data.total} />}
      <Panels place="requests" />
      <Dialog title={t("explain.title")} open={explaining} close={() => setExplaining(false)} place="wide">
        <Explain keys={keys ?? []} />
      </Dialog>
    </div>
  );
}

function useInFlight(): InFlight[] {
  const found = useQuery({
    queryKey: ["in-flight"],
    queryFn: ({ signal }) => api<{ requests: InFlight[] }>("/api/request-logs/live", { signal }),
    meta: { topics: ["requests"] },
    // Something that flows is looked at more often than an empty list.
    refetchInterval: ({ state }) => (state.data?.requests.length ? 2_000 : 5_000),
  });
  return found.data?.requests ?? [];
}

interface BarProps {
  filters: Filters;
  accounts: Account[] | undefined;
  keys: ApiKey[] | undefined;
  filtered: boolean;
}

function FilterBar({ filters, accounts, keys, filtered }: BarProps) {
  const options = useQuery({
    queryKey: ["request-options"],
    queryFn: ({ signal }) => api<Options>("/api/request-logs/options", { signal }),
    meta: { topics: ["requests", "accounts"] },
  }).data;
  const now = useNow();
  const models = [
    ...new Set(options?.modelOptions.map(({ model }) => model).filter((model) => model !== null)),
  ];
  return (
    <form
      className="filters"
      role="search"
      aria-label={t("filter.bar")}
      onSubmit={(event) => event.preventDefault()}
    >
      <SearchBox
        value={filters.q}
        hint={t("requests.searchHint")}
        change={(q) => filters.filter("q", q, true)}
      />
      <One
        label={t("filter.range")}
        value={filters.range}
        options={[
          ...TIME_RANGES.map((value) => ({ value: value as string, label: t(`range.${value}`) })),
          ...(filters.range === "custom" ? [{ value: "custom", label: between(filters, now) }] : []),
        ]}
        change={(range) =>
          range !== "custom" &&
          filters.change({ range: range === "all" ? null : range, from: null, to: null, page: null, open: null })
        }
      />
      <Many
        label={t("filter.account")}
        values={filters.accounts}
        options={(options?.accountIds ?? []).map((value) => ({
          value,
          label: nameOf(accounts, value) ?? value,
        }))}
        change={(values) => filters.filter("account", values)}
      />
      <Many
        label={t("filter.model")}
        values={filters.models}
        options={plain(models)}
        change={(values) => filters.filter("model", values)}
      />
      <Many
        label={t("filter.status")}
        values={filters.statuses}
        options={STATUSES.map((value) => ({ value, label: tIf(`requests.status.${value}`, value) }))}
        change={(values) => filters.filter("status", values)}
      />
      <Many
        label={t("filter.key")}
        values={filters.keys}
        options={(keys ?? []).map(({ id, name }) => ({ value: id, label: name }))}
        change={(values) => filters.filter("key", values)}
      />
      {filtered && <Clear filters={filters} />}
      <span className="push">
        <One
          label={t("filter.rows")}
          value={String(filters.size)}
          options={SIZES.map((value) => ({ value, label: value }))}
          change={(rows) => filters.filter("rows", rows === "50" ? "" : rows)}
        />
      </span>
    </form>
  );
}

function between({ from, to }: Filters, now: number): string {
  return `${from ? stamp(from, now) : "…"} – ${to ? stamp(to, now) : "…"}`;
}

function plain(values: string[]): Option[] {
  return values.map((value) => ({ value, label: value }));
}

function Clear({ filters }: { filters: Filters }) {
  const none = { q: null, range: null, from: null, to: null, account: null, model: null, status: null, key: null, page: null, open: null };
  return (
    <button type="button" className="quiet" onClick={() => filters.change(none)}>
      {t("do.clear")}
    </button>
  );
}

function Nothing({ filtered, total, filters }: { filtered: boolean; total: number; filters: Filters }) {
  if (filtered || total > 0) {
    return (
      <Empty title={t("requests.noMatch")} action={<Clear filters={filters} />}>
        {t("requests.noMatchText")}
      </Empty>
    );
  }
  return (
    <Empty
      title={t("requests.empty")}
      action={
        <>
          <ConnectCodex />
          <Link href="/settings#connect" className="button">
            {t("requests.emptyLink")}
          </Link>
        </>
      }
    >
      {t("requests.emptyText")}
    </Empty>
  );
}

/** The name of an API key; its id once the key is gone. */
/** What a key is called; of one that was deleted nothing is kept but that it was. */
export function keyName(keys: ApiKey[] | undefined, id: string | null | undefined): string | null {
  if (!id || !keys) return null;
  return keys.find((key) => key.id === id)?.name ?? t("requests.keyDeleted");
}

interface TableProps {
  rows: RequestRow[];
  live: InFlight[];
  accounts: Account[] | undefined;
  keys: ApiKey[] | undefined;
  filters: Filters;
}

/** The columns that find room when none were chosen; without keys theirs would say nothing. */
function useFitting(keyed: boolean): string[] {
  const [narrow, beside, middle, roomy, wide] = [700, 900, 1000, 1300, 1400].map(useWide);
  const left: Record<string, boolean | undefined> = {
    // Beside the rail there is less room than where the rail is folded away.
    reason: middle || (narrow && !beside),
    key: keyed && wide,
    cached: roomy,
    first: roomy,
    attempts: roomy,
  };
  return COLUMNS.map(({ key }) => key).filter((key) => left[key] ?? !(key in left));
}

function Table({ rows, live, accounts, keys, filters }: TableProps) {
  const now = useNow(live.length ? 1_000 : 30_000);
  const open = filters.get("open");
  const keyed = Boolean(keys?.length) || rows.some(({ apiKeyId }) => apiKeyId);
  const fitting = useFitting(keyed);
  const { chosen, free, choose } = useChosen("requests", COLUMNS);
  const [holder, shown] = useSqueezed(free ? fitting : chosen, LEAST, free, rows);
  const columns = COLUMNS.filter(({ key }) => shown.includes(key));
  return (
    <>
      <ColumnTools columns={COLUMNS} shown={shown} free={free} choose={choose} />
      <div className="scroll sticky" ref={holder}>
        <table className="rows requests">
          <caption className="hidden">{t("requests.title")}</caption>
          <thead>
            <tr>
              <th scope="col">{t("requests.col.time")}</th>
              {columns.map(({ key, word }) => (
                <th key={key} scope="col" className={PLAIN.includes(key) ? undefined : "num"}>
                  {t(word)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {live.map((row) => (
              <LiveRow
                key={row.requestId}
                row={row}
                accounts={accounts}
                keyName={keyName(keys, row.apiKeyId)}
                now={now}
                shown={shown}
              />
            ))}
            {rows.map((row) => (
              <Fragment key={row.requestId}>
                <Row
                  row={row}
                  keyName={keyName(keys, row.apiKeyId)}
                  now={now}
                  shown={shown}
                  open={open === row.requestId}
                  filters={filters}
                />
                {open === row.requestId && (
                  <tr className="details-row">
                    <td colSpan={columns.length + 1}>
                      <RequestDetails row={row} keyName={keyName(keys, row.apiKeyId)} />
                    </td>
                  </tr>
                )}
              </Fragment>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

/** The account; where room is short, also why it was chosen and with which key it was asked. */
function Served({ account, why, keyName }: { account: string | null; why: string; keyName: string | null }) {
  return (
    <td className="clip served" data-why={why ? "" : undefined}>
      <span title={account ?? undefined}>{account ? <Named name={account} /> : UNKNOWN}</span>
      {why && (
        <small className="muted second why-second" title={why}>
          {why}
        </small>
      )}
      {keyName && (
        <small className="muted second key-second" title={keyName}>
          {t("join.label", { name: t("filter.key") })} <bdi>{keyName}</bdi>
        </small>
      )}
    </td>
  );
}

function KeyCell({ name }: { name: string | null }) {
  return (
    <td className="clip by-key" title={name ?? undefined}>
      {name ? <bdi>{name}</bdi> : UNKNOWN}
    </td>
  );
}

/** The cells of a row by their columns. */
function Cells({ shown, cells }: { shown: string[]; cells: Record<string, ReactNode> }) {
  return shown.map((key) => <Fragment key={key}>{cells[key] ?? <td />}</Fragment>);
}

interface LiveProps {
  row: InFlight;
  accounts: Account[] | undefined;
  keyName: string | null;
  now: number;
  shown: string[];
}

function LiveRow({ row, accounts, keyName, now, shown }: LiveProps) {
  const why = told(row.reason, row.reasonSaid);
  const [beneath, second] = under(shown, why, keyName);
  return (
    <tr className="live-row">
      <th scope="row">{stamp(row.startedAt, now)}</th>
      <Cells
        shown={shown}
        cells={{
          account: <Served account={nameOf(accounts, row.accountId)} why={beneath} keyName={second} />,
          reason: <td className="muted why reason">{why}</td>,
          key: <KeyCell name={keyName} />,
          model: (
            <td className="model" title={row.model ?? undefined}>
              {row.model ?? UNKNOWN}
            </td>
          ),
          status: (
            <td>
              <span className="pulse" aria-hidden="true" />
              {t(row.firstEventMs === null ? "requests.waiting" : "requests.streaming")}
            </td>
          ),
          first: <td className="num">{duration(row.firstEventMs)}</td>,
          total: <td className="num">{duration(Math.max(0, now - Date.parse(row.startedAt)))}</td>,
        }}
      />
    </tr>
  );
}

/** What stands below the account, because it has no column of its own. */
function under(shown: string[], why: string, keyName: string | null): [string, string | null] {
  return [shown.includes("reason") ? "" : why, shown.includes("key") ? null : keyName];
}

interface RowProps {
  row: RequestRow;
  keyName: string | null;
  now: number;
  shown: string[];
  open: boolean;
  filters: Filters;
}

function Row({ row, keyName, now, shown, open, filters }: RowProps) {
  const time = stamp(row.requestedAt, now);
  const toggle = () => filters.change({ open: open ? null : row.requestId });
  return (
    <tr className="openable" data-open={open || undefined} onClick={toggle}>
      <th scope="row" title={full(row.requestedAt)}>
        <button
          type="button"
          className="row-button"
          data-row
          aria-expanded={open}
          aria-label={t("requests.show", { time })}
          onClick={(event) => {
            event.stopPropagation();
            toggle();
          }}
        >
          {time}
        </button>
      </th>
      <Cells shown={shown} cells={cellsOf(row, keyName, shown)} />
    </tr>
  );
}

/** What a request cost; a price that is an estimate, or missing, says so. */
function RequestCost({ row }: { row: RequestRow }) {
  if (row.priceStatus === "unpriced") return <span className="muted">{t("calls.noPrice")}</span>;
  return (
    <>
      {money(row.costUsd)}
      {row.priceStatus === "estimated" && <abbr title={t("calls.estimated")}>*</abbr>}
    </>
  );
}

function cellsOf(row: RequestRow, keyName: string | null, shown: string[]): Record<string, ReactNode> {
  const why = told(row.reason, row.reasonSaid);
  const [beneath, second] = under(shown, why, keyName);
  const figure = (text: string, title?: string) => (
    <td className="num" title={title}>
      {text}
    </td>
  );
  return {
    account: <Served account={row.accountName ?? row.accountId} why={beneath} keyName={second} />,
    reason: <td className="muted why reason">{why || UNKNOWN}</td>,
    key: <KeyCell name={keyName} />,
    model: (
      <td className="model" title={row.model ?? undefined}>
        {row.model ?? UNKNOWN}
        {row.reasoningEffort && <span className="muted"> {row.reasoningEffort}</span>}
      </td>
    ),
    status: (
      <td>
        <RequestStatus status={row.status} />
      </td>
    ),
    tokens: figure(count(row.tokens), exact(row.tokens)),
    cached: <td className="num muted">{count(row.cachedInputTokens)}</td>,
    cost: (
      <td className="num">
        <RequestCost row={row} />
      </td>
    ),
    first: figure(duration(row.firstEventMs)),
    total: figure(duration(row.latencyMs)),
    attempts: figure(count(row.attempts.length)),
  };
}

function Pages({ filters, total }: { filters: Filters; total: number }) {
  const { page, size } = filters;
  const last = Math.ceil(total / size);
  const go = (to: number) => filters.change({ page: to > 1 ? String(to) : null, open: null });
  const from = Math.min(total, (page - 1) * size + 1);
  return (
    <nav className="pages" aria-label={t("page.nav")}>
      <span className="note">
        {t("requests.page", {
          from: count(from),
          to: count(Math.min(total, page * size)),
          total: count(total),
        })}
      </span>
      <span className="tools">
        <button type="button" disabled={page <= 1} onClick={() => go(1)}>
          {t("page.first")}
        </button>
        <button type="button" disabled={page <= 1} onClick={() => go(Math.min(page - 1, last))}>
          {t("page.previous")}
        </button>
        <button type="button" disabled={page >= last} onClick={() => go(page + 1)}>
          {t("page.next")}
        </button>
      </span>
    </nav>
  );
}
