/** What did it cost? Every call that matches, sorted, with totals from the server. */
import {
  useInfiniteQuery,
  useQuery,
  keepPreviousData,
  useQueryClient,
} from "@tanstack/react-query";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from "react";
import { useNames, type Named } from "../accounts";
import { api, query, type CallPage, type CallTotals } from "../api";
import { COLUMNS, FILLING } from "../calls";
import { fetchFile } from "../csv";
import { count, credits, dayOf, exact, money, pair } from "../format";
import { useNow, useTitle } from "../hooks";
import { NAMED } from "../insights";
import { OrArchived } from "../parts/Archived";
import { CallPanel } from "../parts/CallPanel";
import { CallTable, DOUBLE_CLICK_MS } from "../parts/CallTable";
import { Chips } from "../parts/Chips";
import { CodexHome } from "../parts/CodexHome";
import { ColumnTools, useChosen } from "../parts/Columns";
import { CREDITS, PRICES, SureBar } from "../parts/Confidence";
import { Credits, TotalCost, useUnrated } from "../parts/Cost";
import { NoPrice } from "../parts/NoPrice";
import { OwnFileProblems } from "../parts/OwnFiles";
import { PrivacyMode } from "../parts/Privacy";
import { ReadLogs } from "../parts/ReadLogs";
import { Empty, Failure, Skeleton } from "../parts/States";
import { ToTop } from "../parts/ToTop";
import { useOptions } from "../parts/UsageBar";
import { oneOf } from "../range";
import { NO_FILTER, useLoaded, useUsage } from "../usage";
import { t, type Word } from "../words";

/** The first page is small, so that it is there at once; the next ones are read ahead of scrolling. */
const FIRST_PAGE = 100;
const PAGE = 500;

export function useFilters() {
  const usage = useUsage();
  const sort = COLUMNS.find((column) => column.sort === usage.get("sort"))?.sort ?? "time";
  const up = usage.get("direction") === "asc";
  const price = oneOf(usage.get("price"), PRICES);
  const asked = {
    ...usage.shared,
    priceStatus: price,
    creditConfidence: price ? "" : oneOf(usage.get("credit"), CREDITS),
    preset: oneOf(usage.get("preset"), NAMED.filter(({ view }) => view === "calls").map(({ key }) => key)),
    thread: usage.get("thread"),
    session: usage.get("session"),
    fact: usage.get("fact"),
    sort,
    direction: up ? "asc" : "desc",
  };
  const own = Boolean(
    asked.priceStatus ||
    asked.creditConfidence ||
    asked.preset ||
    asked.thread ||
    asked.session ||
    asked.fact,
  );
  return { ...usage, sort, up, asked, own, filtered: usage.narrowed || own };
}

export type CallFilters = ReturnType<typeof useFilters>;

export function Calls() {
  useTitle(t("calls.title"));
  const filters = useFilters();
  const accounts = useNames();
  const head = useQuery({
    queryKey: ["calls-head", filters.asked],
    queryFn: ({ signal }) => api<CallPage>(`/api/calls${query({ ...filters.asked, limit: 1 })}`, { signal }),
    meta: { topics: ["calls"] },
    placeholderData: keepPreviousData,
    enabled: !filters.wrong,
  });
  const open = filters.get("open");
  const unpriced = filters.asked.priceStatus === "unpriced" || filters.asked.preset === "pricing-gaps";
  return (
    <div className="full">
      <header>
        <h1>{t("calls.title")}</h1>
        <span className="tools">
          {head.data && <span className="note">{t("calls.count", { count: head.data.total })}</span>}
          {head.data && <Occurrences page={head.data} fact={filters.asked.fact} />}
          <PrivacyMode />
          {Boolean(head.data?.total || filters.filtered) && <ReadLogs />}
        </span>
      </header>
      <SureBar filters={filters} />
      <Chips filters={filters} unpriced={head.data?.totals.unpriced ?? 0} />
      <OwnFileProblems names={["projects", "pricing", "rate-card"]} />
      {!filters.wrong && (
        <>
          {head.data && <Totals totals={head.data.totals} asked={filters.asked} />}
          {unpriced && <NoPrice asked={filters.asked} />}
          <Rows filters={filters} accounts={accounts} head={head.data} headAt={head.dataUpdatedAt} />
        </>
      )}
      <CallPanel id={open} accounts={accounts} go={useSteps(filters)} />
      <ToTop />
    </div>
  );
}

/**
 * Opens another call in the panel, or closes it: a step that Back undoes, unless it is the second click of two,
 * which meets the panel of the first and leads to the call's page.
 */
function useSteps({ get, change }: CallFilters): (id: string | null) => void {
  const open = get("open");
  const since = useRef(-Infinity);
  useLayoutEffect(() => {
    since.current = performance.now();
  }, [open]);
  return (id) => change({ open: id }, { replace: id === null && performance.now() - since.current < DOUBLE_CLICK_MS });
}

/** How often the fact came, where that is not once a call; of a user or a client how many conversations. */
function Occurrences({ page: { total, occurrences }, fact }: { page: CallPage; fact: string }) {
  if (occurrences == null || occurrences === total) return null;
  const talks = fact.startsWith("user:") || fact.startsWith("client:");
  return <span className="note">{pair(t(talks ? "panels.conversations" : "diag.col.times"), count(occurrences))}</span>;
}

function Totals({ totals, asked }: { totals: CallTotals; asked: CallFilters["asked"] }) {
  const unrated = useUnrated(asked, totals);
  const parts: [Word, ReactNode, string][] = [
    ["calls.total.calls", count(totals.calls), exact(totals.calls)],
    ["calls.total.tokens", count(totals.totalTokens), exact(totals.totalTokens)],
    ["calls.total.cached", count(totals.cachedInput), exact(totals.cachedInput)],
    ["calls.total.new", count(totals.uncachedInput), exact(totals.uncachedInput)],
    ["calls.total.output", count(totals.output), exact(totals.output)],
    ["calls.total.cost", <TotalCost key="cost" totals={totals} />, money(totals.costUsd)],
  ];
  // Claude's logs do not tell how much of the output was reasoning.
  if (totals.reasoningOutput)
    parts.splice(5, 0, ["calls.total.reasoning", count(totals.reasoningOutput), exact(totals.reasoningOutput)]);
  if (totals.credits != null)
    parts.push(["calls.total.credits", <Credits key="credits" sum={totals.credits} unrated={unrated} />, credits(totals.credits)]);
  if (totals.unpriced) parts.push(["calls.total.unpriced", count(totals.unpriced), exact(totals.unpriced)]);
  if (totals.credits != null && unrated) parts.push(["calls.total.unrated", count(unrated), exact(unrated)]);
  return (
    <dl className="card totals" aria-label={t("calls.totals")}>
      {parts.map(([word, shown, whole]) => (
        <div key={word}>
          <dd title={whole}>{shown}</dd>
          <dt>{t(word)}</dt>
        </div>
      ))}
    </dl>
  );
}

interface RowsProps {
  filters: CallFilters;
  accounts: Named[] | undefined;
  /** The newest row and the totals, fetched anew with every change. */
  head: CallPage | undefined;
  headAt: number;
}

/** Whether what a list begins with is no longer what the server has. */
function differs(head: CallPage, shown: CallPage | undefined): boolean {
  const gist = (page: CallPage) => JSON.stringify([page.totals, page.calls[0]]);
  return shown !== undefined && gist(head) !== gist(shown);
}

function Rows({ filters, accounts, head, headAt }: RowsProps) {
  const { columns, free, choose } = useColumns(filters.sort);
  const [fit, setFit] = useState<string[]>([]);
  const [compact, setCompact] = useState(() => stored("calls.compact") === "1");
  const now = useNow();
  const client = useQueryClient();
  const found = useInfiniteQuery({
    queryKey: ["calls", filters.asked],
    queryFn: ({ signal, pageParam }) =>
      api<CallPage>(
        `/api/calls${query({ ...filters.asked, limit: pageParam ? PAGE : FIRST_PAGE, cursor: pageParam })}`,
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? undefined,
    placeholderData: keepPreviousData,
  });
  const more = found.hasNextPage && !found.isFetchingNextPage ? () => void found.fetchNextPage() : null;
  const rows = useMemo(() => found.data?.pages.flatMap(({ calls }) => calls) ?? [], [found.data]);
  useLoaded(filters, { loaded: found.isPlaceholderData ? null : rows.length, first: FIRST_PAGE, more });
  const total = head?.total ?? found.data?.pages[0]?.total ?? 0;
  // A short list follows by itself; a long one is left in place while it is read.
  const behind =
    head !== undefined &&
    !found.isPlaceholderData &&
    headAt > found.dataUpdatedAt &&
    differs(head, found.data?.pages[0]);
  const reload = () => void client.invalidateQueries({ queryKey: ["calls", filters.asked] });
  useFollow(behind && rows.length <= FIRST_PAGE && !found.isFetching, reload);
  if (found.isPending)
    return (
      <Card>
        <Skeleton lines={10} />
      </Card>
    );
  if (found.isError && !found.data) {
    return (
      <Card>
        <Failure error={found.error} retry={() => void found.refetch()} />
      </Card>
    );
  }
  if (!rows.length)
    return (
      <Card>
        <OrArchived usage={filters} asked={filters.asked} title={t("calls.noMatch")}>
          <Nothing filters={filters} />
        </OrArchived>
      </Card>
    );
  return (
    <>
      <CallTable
        rows={rows}
        columns={columns}
        free={free}
        fit={setFit}
        tools={<ColumnTools columns={CHOICES} shown={fit} free={free} choose={choose} />}
        compact={compact}
        context={{ now, accounts }}
        filters={filters}
        busy={found.isPlaceholderData}
        more={more}
      />
      <div className="pages">
        <span className="note" role="status">
          {found.isFetchingNextPage
            ? t("calls.loadingMore")
            : t("calls.shown", { shown: count(rows.length), total: count(total) })}
        </span>
        <span className="tools">
          {behind && rows.length > FIRST_PAGE && (
            <button type="button" className="primary" onClick={reload}>
              {t("do.reload")}
            </button>
          )}
          {found.hasNextPage && (
            <button
              type="button"
              disabled={found.isFetchingNextPage}
              onClick={() => void found.fetchNextPage()}
            >
              {t("calls.more")}
            </button>
          )}
          <label className="check note">
            <input
              type="checkbox"
              checked={compact}
              onChange={(event) => {
                setCompact(event.target.checked);
                store("calls.compact", event.target.checked ? "1" : "");
              }}
            />
            {t("calls.compact")}
          </label>
          <Csv filters={filters} />
        </span>
      </div>
    </>
  );
}

function Card({ children }: { children: ReactNode }) {
  return <section className="card">{children}</section>;
}

/** Reload when the list has fallen behind; a reload makes it newer than what it is compared with. */
function useFollow(behind: boolean, reload: () => void): void {
  const latest = useRef(reload);
  latest.current = reload;
  useEffect(() => {
    if (behind) latest.current();
  }, [behind]);
}

function stored(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

function store(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is switched off: the choice holds until the page is closed.
  }
}

const CHOICES = COLUMNS.filter(({ key }) => key !== "time");

/** The columns to show; the first and the one that orders the list are always there. */
function useColumns(order: string) {
  const { chosen, free, choose } = useChosen("calls", CHOICES);
  const columns = useMemo(
    () =>
      COLUMNS.filter(
        ({ key, sort, hidden }) => key === "time" || sort === order || (free ? !hidden || FILLING.includes(key) : chosen.includes(key)),
      ),
    [chosen, free, order],
  );
  return { columns, free, choose };
}

/** Everything the filter finds, as the server's own file. */
function Csv({ filters }: { filters: CallFilters }) {
  return (
    <button
      type="button"
      onClick={() =>
        fetchFile(`/api/exports/calls.csv${query(filters.asked)}`, `brimline-calls-${dayOf(Date.now())}.csv`)
      }
    >
      {t("calls.csv")}
    </button>
  );
}

function Nothing({ filters }: { filters: CallFilters }) {
  // A ledger that knows no model holds no call: other filters would show no more.
  const bare = useOptions()?.models.length === 0;
  if (filters.filtered && !bare) {
    return (
      <Empty
        title={t("calls.noMatch")}
        action={
          <button type="button" onClick={() => filters.change(NO_FILTER)}>
            {t("do.clear")}
          </button>
        }
      >
        {t("requests.noMatchText")}
      </Empty>
    );
  }
  return (
    <Empty
      title={t("calls.empty")}
      action={<ReadLogs primary />}
    >
      <CodexHome word="calls.emptyText" />
    </Empty>
  );
}
