/** Which work was it? Threads as a person would name them; each opens to its calls and sub-agents. */
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Fragment, type MouseEvent, type ReactNode } from "react";
import { Link } from "wouter";
import { api, query, type CallTotals, type ThreadPage, type ThreadRow } from "../api";
import { fetchFile } from "../csv";
import { beside, count, credits, dayOf, exact, money, pair, share, UNKNOWN } from "../format";
import { useFits, useNow, useTitle, useWide } from "../hooks";
import { NAMED } from "../insights";
import { OrArchived } from "../parts/Archived";
import { CopyLink, Off, PresetChip, Presets, shownOf } from "../parts/Chips";
import { ColumnTools, useChosen } from "../parts/Columns";
import { CREDITS, PRICES, SureBar } from "../parts/Confidence";
import { Credits, TotalCost, useUnrated } from "../parts/Cost";
import { Menu } from "../parts/Menu";
import { NestedCalls } from "../parts/NestedCalls";
import { NoThread } from "../parts/NoThread";
import { OwnFileProblems } from "../parts/OwnFiles";
import { PrivacyMode } from "../parts/Privacy";
import { ReadLogs } from "../parts/ReadLogs";
import { Failure, Skeleton } from "../parts/States";
import { ToTop } from "../parts/ToTop";
import { mix, THREAD_COLUMNS, TITLE_COLUMN, origins, titleOf, type ThreadColumn } from "../threads";
import { NO_FILTER, useLoaded, useUsage } from "../usage";
import { oneOf } from "../range";
import { t } from "../words";

const PAGE = 50;
const MOST_OPEN = 30;

function useThreadFilters() {
  const usage = useUsage();
  const sort =
    [TITLE_COLUMN, ...THREAD_COLUMNS].find((column) => column.sort === usage.get("sort"))?.sort ?? "time";
  const up = usage.get("direction") === "asc";
  const price = oneOf(usage.get("price"), PRICES);
  const asked = {
    ...usage.shared,
    priceStatus: price,
    creditConfidence: price ? "" : oneOf(usage.get("credit"), CREDITS),
    preset: oneOf(usage.get("preset"), NAMED.filter(({ view }) => view === "threads").map(({ key }) => key)),
    sort,
    direction: up ? "asc" : "desc",
  };
  const hiding = usage.get("titling") === "hide";
  const own = Boolean(asked.preset || asked.priceStatus || asked.creditConfidence || hiding);
  return { ...usage, sort, up, hiding, asked: { ...asked, titling: hiding ? "hide" : "" }, own };
}

type Filters = ReturnType<typeof useThreadFilters>;

/** What of the filters single calls are narrowed by, so that a thread opens to those it was summed from. */
function narrowing({ q, effort, priceStatus, creditConfidence }: Filters["asked"]) {
  return { q, effort, priceStatus, creditConfidence };
}

export function Threads() {
  useTitle(t("threads.title"));
  const filters = useThreadFilters();
  const found = useInfiniteQuery({
    queryKey: ["threads", filters.asked],
    queryFn: ({ signal, pageParam }) =>
      api<ThreadPage>(`/api/threads${query({ ...filters.asked, limit: PAGE, cursor: pageParam })}`, {
        signal,
      }),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? undefined,
    placeholderData: keepPreviousData,
    meta: { topics: ["calls", "settings"] },
    enabled: !filters.wrong,
  });
  const first = found.data?.pages[0];
  const rows = found.data?.pages.flatMap(({ threads }) => threads) ?? [];
  const more = found.hasNextPage && !found.isFetchingNextPage ? () => void found.fetchNextPage() : null;
  useLoaded(filters, { loaded: !first || found.isPlaceholderData ? null : rows.length, first: PAGE, more });
  return (
    <div className="full">
      <header>
        <h1>{t("threads.title")}</h1>
        <span className="tools">
          {first && <span className="note">{t("threads.count", { count: first.total })}</span>}
          <PrivacyMode />
          {(rows.length > 0 || filters.narrowed || filters.own) && <ReadLogs />}
        </span>
      </header>
      <SureBar filters={filters} />
      <div className="chips">
        <PresetChip preset={filters.asked.preset} usage={filters} />
        <Titling filters={filters} leftOut={first?.leftOut} />
        <span className="tools push">
          <Presets preset={filters.asked.preset} usage={filters} />
          <CopyLink />
        </span>
      </div>
      <OwnFileProblems names={["thresholds", "projects", "pricing", "rate-card"]} />
      {first && first.total > 0 && <Totals totals={first.totals} threads={first.total} asked={filters.asked} />}
      {!first ? (
        <section className="card">
          {found.isError ? (
            <Failure error={found.error} retry={() => void found.refetch()} />
          ) : (
            !filters.wrong && <Skeleton lines={10} />
          )}
        </section>
      ) : rows.length ? (
        <>
          <Table rows={rows} filters={filters} busy={found.isPlaceholderData} />
          <div className="pages">
            <span className="note" role="status">
              {shownOf(rows.length, first.total)}
            </span>
            <span className="tools">
              {found.hasNextPage && (
                <button
                  type="button"
                  disabled={found.isFetchingNextPage}
                  onClick={() => void found.fetchNextPage()}
                >
                  {t("calls.more")}
                </button>
              )}
              <Csv filters={filters} />
            </span>
          </div>
        </>
      ) : (
        <section className="card">
          <OrArchived usage={filters} asked={filters.asked} title={t("threads.noMatch")}>
            <NoThread
              filtered={filters.narrowed || filters.own}
              clear={() => filters.change(NO_FILTER)}
              action={<ReadLogs primary />}
            />
          </OrArchived>
        </section>
      )}
      <ToTop />
    </div>
  );
}

/** That threads which only find a title are hidden, or may be: every other page counts them. */
function Titling({ filters, leftOut }: { filters: Filters; leftOut: number | undefined }) {
  const { hiding, asked, change, wrong } = filters;
  const there = useQuery({
    queryKey: ["threads-titling", asked],
    queryFn: ({ signal }) =>
      api<ThreadPage>(`/api/threads${query({ ...asked, titling: "hide", limit: 1 })}`, { signal }),
    placeholderData: keepPreviousData,
    meta: { topics: ["calls"] },
    enabled: !hiding && !wrong,
  }).data?.leftOut;
  if (hiding) {
    if (leftOut === undefined) return null;
    const text = t("threads.titling.hidden", { count: leftOut });
    return <Off text={text} title={t("threads.titling.text")} off={() => change({ titling: null })} />;
  }
  if (!there) return null;
  return (
    <button type="button" className="chip" title={t("threads.titling.text")} onClick={() => change({ titling: "hide" })}>
      {t("threads.titling.hide", { count: there })}
    </button>
  );
}

interface TotalsProps {
  totals: CallTotals;
  threads: number;
  asked: Filters["asked"];
}

function Totals({ totals, threads, asked }: TotalsProps) {
  // What the list of threads is narrowed and ordered by besides is none of its calls' concern.
  const unrated = useUnrated({ ...asked, preset: "", titling: "", sort: "", direction: "" }, totals);
  const parts: [string, ReactNode, string][] = [
    [t("threads.total"), count(threads), exact(threads)],
    [t("calls.total.calls"), count(totals.calls), exact(totals.calls)],
    [t("calls.total.tokens"), count(totals.totalTokens), exact(totals.totalTokens)],
    [t("calls.total.cached"), count(totals.cachedInput), exact(totals.cachedInput)],
    [t("calls.total.new"), count(totals.uncachedInput), exact(totals.uncachedInput)],
    [t("calls.total.cost"), <TotalCost key="cost" totals={totals} />, money(totals.costUsd)],
  ];
  if (totals.credits != null)
    parts.push([t("calls.total.credits"), <Credits key="credits" sum={totals.credits} unrated={unrated} />, credits(totals.credits)]);
  return (
    <dl className="card totals" aria-label={t("threads.totals")}>
      {parts.map(([name, shown, whole]) => (
        <div key={name}>
          <dd title={whole}>{shown}</dd>
          <dt>{name}</dt>
        </div>
      ))}
    </dl>
  );
}

/** The columns that leave first where room is short. Model and effort then stand below the title; which
 * signals they are says the attention's title; the others stand where the thread opens. */
const YIELDING = ["model", "effort", "context", "credits", "signals"];
/** Those of them that leave a small window already, for the titles' sake. */
const SOME_YIELDING = ["effort", "credits", "signals"];
/** What leaves a screen of usual width already, for the titles' sake. */
const FIRST_YIELDING = ["context"];

function Table({ rows, filters, busy }: { rows: ThreadRow[]; filters: Filters; busy: boolean }) {
  const now = useNow();
  const wide = useWide(1100);
  const wider = useWide(1300);
  const widest = useWide(1600);
  const { chosen, free, choose } = useChosen("threads", THREAD_COLUMNS);
  const left = widest ? [] : wider ? FIRST_YIELDING : wide ? SOME_YIELDING : YIELDING;
  const columns = THREAD_COLUMNS.filter(({ key }) => (free ? !left.includes(key) : chosen.includes(key)));
  const shown = columns.map(({ key }) => key);
  const opened = filters.all("expand");
  const [holder, fits] = useFits<HTMLDivElement>();
  const toggle = (id: string) =>
    filters.change(
      {
        expand: opened.includes(id)
          ? opened.filter((one) => one !== id)
          : [...opened, id].slice(-MOST_OPEN),
      },
      { replace: true },
    );
  return (
    <section className="card table-card" aria-busy={busy}>
      <ColumnTools columns={THREAD_COLUMNS} shown={shown} free={free} choose={choose} />
      <div
        ref={holder}
        className="scroll"
        data-fits={fits === null ? undefined : fits ? "yes" : "no"}
        tabIndex={0}
        role="group"
        aria-label={t("threads.title")}
      >
        <table className="rows threads">
          <thead>
            <tr>
              <Heading column={TITLE_COLUMN} filters={filters} />
              {columns.map((column) => (
                <Heading key={column.key} column={column} filters={filters} />
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => {
              const open = opened.includes(row.id);
              return (
                <Fragment key={row.id}>
                  <Row row={row} columns={columns} now={now} open={open} toggle={() => toggle(row.id)} />
                  {open && (
                    <tr className="details-row">
                      <td colSpan={columns.length + 1}>
                        <div className="nest">
                          <Notes row={row} shown={shown} />
                          <NestedCalls
                            thread={row.id}
                            usage={filters}
                            narrowed={narrowing(filters.asked)}
                            label={t("threads.callsOf", { title: titleOf(row.title, row.id) })}
                          />
                        </div>
                      </td>
                    </tr>
                  )}
                </Fragment>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Heading({ column, filters }: { column: typeof TITLE_COLUMN | ThreadColumn; filters: Filters }) {
  const sorted = column.sort === filters.sort;
  const order = () => {
    const up = sorted ? !filters.up : Boolean(column.upFirst);
    filters.change({
      sort: column.sort === "time" ? null : (column.sort ?? null),
      direction: up ? "asc" : null,
    });
  };
  return (
    <th
      scope="col"
      className={"key" in column ? placed(column) : undefined}
      title={t(column.word)}
      aria-sort={sorted ? (filters.up ? "ascending" : "descending") : undefined}
    >
      {column.sort ? (
        <button type="button" className="sorter" onClick={order}>
          {t(column.word)}
          <span aria-hidden="true" className="arrow">
            {sorted ? (filters.up ? "↑" : "↓") : ""}
          </span>
        </button>
      ) : (
        t(column.word)
      )}
    </th>
  );
}

interface RowProps {
  row: ThreadRow;
  columns: ThreadColumn[];
  now: number;
  open: boolean;
  toggle: () => void;
}

/** Whether a click meant the row: not a link or a button in it, nor the end of marking text. */
function ofRow({ target }: MouseEvent): boolean {
  const own = target instanceof Element && target.closest("a, button");
  return !own && !getSelection()?.toString();
}

function placed({ key, number }: ThreadColumn): string | undefined {
  if (key === "model" || key === "effort") return "clip";
  return number ? "num" : undefined;
}

function Row({ row, columns, now, open, toggle }: RowProps) {
  const title = titleOf(row.title, row.id);
  const named = beside([title, row.project]);
  const has = (key: string) => columns.some((column) => column.key === key);
  const under = [row.project, !has("model") && mix(row.models), !has("effort") && mix(row.efforts)];
  return (
    <tr className="openable" data-open={open || undefined} onClick={(event) => ofRow(event) && toggle()}>
      <th scope="row" className="thread-name" title={named}>
        <span className="named">
          <button
            type="button"
            className="row-button"
            data-row
            aria-expanded={open}
            aria-label={t("threads.show", { title })}
            onClick={toggle}
          >
            <span className="twist" aria-hidden="true" data-open={open || undefined} />
          </button>
          <Link href={`/threads/${encodeURIComponent(row.id)}`} dir="auto">
            {title}
          </Link>
          {row.project && <span className="muted project" dir="auto">{row.project}</span>}
        </span>
        <small className="muted narrow-only under">
          {beside(under.filter((one) => one !== UNKNOWN))}
        </small>
      </th>
      {columns.map((column) => (
        <td key={column.key} className={placed(column)} title={column.title?.(row)}>
          {column.show(row, now)}
        </td>
      ))}
    </tr>
  );
}

function Notes({ row, shown }: { row: ThreadRow; shown: string[] }) {
  const parts = [
    row.sessions > 1 && t("threads.sessions", { count: row.sessions }),
    row.subagents > 0 && t("threads.subagents", { count: row.subagents }),
    Boolean(row.spawnedCalls || row.attachedCalls) && origins(row),
    row.unpriced > 0 && t("trends.unpriced", { count: row.unpriced }),
  ].filter(Boolean);
  const folded = [
    !shown.includes("context") &&
      row.maxContextPercent !== null &&
      pair(t("threads.col.context"), share(row.maxContextPercent / 100)),
    !shown.includes("credits") && row.credits !== null && pair(t("calls.credits"), credits(row.credits)),
  ].filter(Boolean);
  return (
    <p className="note">
      {[...folded, ...parts].map((part) => `${part} · `)}
      <Link className="link" href={`/threads/${encodeURIComponent(row.id)}`}>
        {t("threads.open")}
      </Link>
    </p>
  );
}

/** The calls behind the list, or the list itself: everything that the filter finds. */
function Csv({ filters }: { filters: Filters }) {
  const save = (what: "calls" | "threads") => {
    const asked = what === "calls" ? { ...filters.asked, preset: "", titling: "", sort: "", direction: "" } : filters.asked;
    fetchFile(`/api/exports/${what}.csv${query(asked)}`, `brimline-${what}-${dayOf(Date.now())}.csv`);
  };
  return (
    <Menu
      label={t("calls.csv")}
      items={[
        { label: t("threads.csv.calls"), run: () => save("calls") },
        { label: t("threads.csv.threads"), run: () => save("threads") },
      ]}
    >
      {t("calls.csv")} <span aria-hidden="true">▾</span>
    </Menu>
  );
}
