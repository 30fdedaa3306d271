/** How does use develop? Year to date, tokens over time, cost, cache, the week's heat map, ranked days. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo, useState, type ReactNode } from "react";
import { Link } from "wouter";
import { api, type Heat, type Sum, type TrendDay, type Trends as Data, type TrendSums } from "../api";
import { gather, grain, leading, OTHER, type Bucket, type Grain } from "../buckets";
import { csv, download } from "../csv";
import { count, day as dayName, exact, month, share, UNKNOWN } from "../format";
import { useTitle } from "../hooks";
import { OrArchived } from "../parts/Archived";
import { CopyLink } from "../parts/Chips";
import { ChartHead } from "../parts/ChartHead";
import { CodexHome } from "../parts/CodexHome";
import { Cost } from "../parts/Cost";
import { One } from "../parts/Filters";
import { HeatMap } from "../parts/Heat";
import { NoPrice } from "../parts/NoPrice";
import { Panels } from "../parts/Panels";
import { RankedDays } from "../parts/Ranked";
import { OwnFileProblems } from "../parts/OwnFiles";
import { PrivacyMode } from "../parts/Privacy";
import { ReadLogs } from "../parts/ReadLogs";
import { Stack, StackTable, type Bar } from "../parts/Stack";
import { Empty, Failure, Skeleton } from "../parts/States";
import { ToTop } from "../parts/ToTop";
import { Trend } from "../parts/Trend";
import { UsageBar, useOptions } from "../parts/UsageBar";
import { nameIn, useNames } from "../accounts";
import { asked, NO_FILTER, onward, useUsage, type Usage } from "../usage";
import { t, tIf } from "../words";

const HEADINGS = ["kind", "model", "project", "account"] as const;
const FRESH_MS = 5 * 60_000;

/** Ask an endpoint of the trends with the page's filters; anew when calls change, and every five minutes. */
function useTrends<T>(path: string, usage: Usage, more: Record<string, string> = {}) {
  // All time has no start of its own; the server knows the first day.
  const from = usage.span.from ?? "first";
  return useQuery({
    queryKey: ["trends", path, usage.shared, more],
    queryFn: ({ signal }) => api<T>(`${path}${asked(usage, { from, ...more })}`, { signal }),
    meta: { topics: ["calls", "settings"] },
    placeholderData: keepPreviousData,
    refetchInterval: FRESH_MS,
    enabled: !usage.wrong,
  });
}

export function Trends() {
  useTitle(t("trends.title"));
  const usage = useUsage("30d");
  const found = HEADINGS.find((one) => one === usage.get("by")) ?? "kind";
  const days = useTrends<Data>("/api/trends", usage, { by: found });
  const sums = useTrends<TrendSums>("/api/trends/summary", usage);
  const empty = days.data && !days.data.days.some(({ calls }) => calls);
  return (
    <>
      <header>
        <h1>{t("trends.title")}</h1>
        <span className="tools">
          <PrivacyMode />
          <ReadLogs />
          <CopyLink />
        </span>
      </header>
      <UsageBar usage={usage} />
      <OwnFileProblems names={["projects", "pricing", "rate-card"]} />
      <Part found={sums}>{(data) => <Sums data={data} />}</Part>
      <Part found={days} lines={8}>
        {(data) => (
          <section className="card">
            <Tokens data={data} by={found} usage={usage} range={sums.data?.range} />
          </section>
        )}
      </Part>
      {days.data && !empty && <Rest days={days.data.days} usage={usage} />}
      <Panels place="trends" usage={usage} />
      <ToTop />
    </>
  );
}

interface PartProps<T> {
  found: { data: T | undefined; isPending: boolean; error: Parameters<typeof Failure>[0]["error"] | null; refetch: () => unknown };
  lines?: number;
  children: (data: T) => ReactNode;
}

/** A card while its numbers load or could not be loaded, then what they make. */
export function Part<T>({ found, lines = 3, children }: PartProps<T>) {
  if (found.data !== undefined) return <>{children(found.data)}</>;
  return (
    <section className="card">
      {found.error ? (
        <Failure error={found.error} retry={() => void found.refetch()} />
      ) : (
        <Skeleton lines={lines} />
      )}
    </section>
  );
}

/** Eight figures: the year so far, and the weeks; they follow the filters, not the time. */
function Sums({ data }: { data: TrendSums }) {
  const { ytd, today, weeks } = data;
  const best = ytd.highestDay;
  return (
    <section className="card sums" aria-label={t("trends.sums")}>
      <div className="card-head">
        <h2>{t("trends.sums")}</h2>
        <span className="chip">{t("overview.days.source")}</span>
      </div>
      <dl>
        <Figure name={t("trends.ytd")} value={count(ytd.tokens)} title={exact(ytd.tokens)} note={<Spent sum={ytd} />} />
        <Figure name={t("trends.days")} value={count(ytd.daysWithUsage)} note={t("trends.thisYear")} />
        <Figure name={t("trends.sessions")} value={count(ytd.sessions)} note={t("trends.thisYear")} />
        <Figure
          name={t("trends.highest")}
          value={count(best?.tokens)}
          title={exact(best?.tokens)}
          note={best ? dayName(best.day) : UNKNOWN}
        />
      </dl>
      <dl>
        <Figure name={t("range.today")} value={count(today.tokens)} title={exact(today.tokens)} note={bySession(today)} />
        {weeks.slice(0, 3).map((week, index) => (
          <Figure
            key={week.from}
            name={t(`trends.week.${index}` as "trends.week.0")}
            value={count(week.tokens)}
            title={exact(week.tokens)}
            note={`${week.from ? dayName(week.from) : UNKNOWN} – ${week.to ? dayName(week.to) : UNKNOWN} · ${bySession(week)}`}
          />
        ))}
      </dl>
    </section>
  );
}

function Figure({ name, value, note, title }: { name: string; value: string; note: ReactNode; title?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd title={title}>
        <strong>{value}</strong>
        <small>{note}</small>
      </dd>
    </div>
  );
}

function bySession(sum: Sum): string {
  return t("trends.sessions.count", { count: sum.sessions });
}

/** The estimated cost of a sum, and that a part of it has no price. */
function Spent({ sum }: { sum: Sum }) {
  const without = sum.unpriced > 0 && t("trends.unpriced", { count: sum.unpriced });
  if (sum.costUsd === null && without) return without;
  return (
    <>
      <Around text={t("trends.cost.estimated", { cost: HERE })}>
        <Cost usd={sum.costUsd} unpriced={sum.unpriced} estimated={sum.estimated} />
      </Around>
      {without && `, ${without}`}
    </>
  );
}

const HERE = "\u0000";

/** A sentence with something in it that is no text. */
function Around({ text, children }: { text: string; children: ReactNode }) {
  const [before, ...after] = text.split(HERE);
  return (
    <>
      {before}
      {children}
      {after}
    </>
  );
}

/** A bar's name: its day, its week's days, or its month. */
function named(bucket: Bucket, by: Grain): string {
  if (by === "month") return month(bucket.key);
  return by === "day" || bucket.from === bucket.to
    ? dayName(bucket.from)
    : `${dayName(bucket.from)} – ${dayName(bucket.to)}`;
}

interface TokensProps {
  data: Data;
  by: (typeof HEADINGS)[number];
  usage: Usage;
  range: Sum | undefined;
}

function Tokens({ data, by, usage, range }: TokensProps) {
  const [table, setTable] = useState(false);
  const accounts = useNames();
  const step = grain(data.days.length);
  const keys = leading(data.names, by === "kind");
  const say = (name: string) => {
    if (name === OTHER) return t("trends.other");
    if (by === "kind") return tIf(`trends.kind.${name}`, name);
    return by === "account" ? (nameIn(accounts, name) ?? name) : name;
  };
  const buckets = useMemo(() => gather(data.days, step, data.names.slice(0, 4)), [data, step]);
  const bars: Bar[] = buckets.map((bucket) => ({
    key: bucket.key,
    label: named(bucket, step),
    tick: step === "month" ? month(bucket.key) : dayName(bucket.from),
    values: keys.map((key) => bucket.series[key] ?? 0),
    href: callsOf(bucket, usage),
    costUsd: bucket.calls ? bucket.costUsd : 0,
    unpriced: bucket.unpriced,
    estimated: bucket.estimated,
  }));
  const title = t(`trends.over.${step}`);
  if (!data.days.some(({ calls }) => calls)) return <Nothing usage={usage} title={title} />;
  return (
    <>
      <ChartHead
        title={title}
        source={t("overview.days.source")}
        table={table}
        show={setTable}
        save={() =>
          download(`brimline-tokens-by-${by}-${data.days.at(-1)?.day ?? ""}.csv`, [
            csv(
              [step, ...keys.map(say), "cost_usd"],
              bars.map((bar, index) => [buckets[index]?.key, ...bar.values, bar.costUsd]),
            ),
          ])
        }
      />
      <div className="chart-tools">
        <One
          label={t("trends.by")}
          value={by}
          options={HEADINGS.map((value) => ({ value, label: t(`trends.by.${value}`) }))}
          change={(next) => usage.change({ by: next === "kind" ? null : next })}
        />
        {range && (
          <p className="note">
            <Around
              text={t("trends.rangeSum", { tokens: count(range.tokens), sessions: bySession(range), cost: HERE })}
            >
              <Spent sum={range} />
            </Around>
          </p>
        )}
      </div>
      {table ? (
        <StackTable label={title} names={keys.map(say)} bars={bars} />
      ) : (
        <Stack
          label={title}
          names={keys.map(say)}
          bars={bars}
          colours={keys.map((key, index) => (key === OTHER ? "c0" : `c${index + 1}`))}
        />
      )}
    </>
  );
}

function callsOf(bucket: Bucket, usage: Usage): string {
  return onward("/calls", usage.search, { range: "custom", from: bucket.from, to: bucket.to });
}

function Nothing({ usage, title }: { usage: Usage; title: string }) {
  const nothingAtAll = useOptions()?.models.length === 0;
  return (
    <>
      <h2>{title}</h2>
      <OrArchived usage={usage} title={t("trends.empty")}>
        <Empty
          title={t("trends.empty")}
          action={
            usage.narrowed && (
              <button type="button" onClick={() => usage.change({ ...NO_FILTER, range: "all" })}>
                {t("trends.showAll")}
              </button>
            )
          }
        >
          {nothingAtAll ? <CodexHome word="calls.emptyText" /> : t("trends.emptyText")}
        </Empty>
      </OrArchived>
    </>
  );
}

function Rest({ days, usage }: { days: TrendDay[]; usage: Usage }) {
  const heat = useTrends<Heat>("/api/trends/heat", usage);
  const step = grain(days.length);
  const buckets = useMemo(() => gather(days, step, []), [days, step]);
  return (
    <>
      <div className="grid even">
        <section className="card">
          <Costs buckets={buckets} step={step} usage={usage} />
        </section>
        <section className="card">
          <Cache buckets={buckets} />
        </section>
      </div>
      <Part found={heat}>
        {(data) => (
          <section className="card">
            <HeatMap heat={data} />
          </section>
        )}
      </Part>
      <section className="card">
        <RankedDays days={days} usage={usage} />
      </section>
    </>
  );
}

/** The time of the page, also where its address leaves it out. */
function spanOf({ range, get }: Usage): Record<string, string> {
  return range === "custom" ? { range, from: get("from"), to: get("to") } : { range };
}

function Costs({ buckets, step, usage }: { buckets: Bucket[]; step: Grain; usage: Usage }) {
  const [table, setTable] = useState(false);
  const title = t("trends.cost");
  const names = [t("series.cost")];
  const unpriced = buckets.reduce((sum, bucket) => sum + bucket.unpriced, 0);
  const none = !buckets.some(({ costUsd }) => costUsd !== null);
  const bars = buckets.map((bucket) => ({
    key: bucket.key,
    label: named(bucket, step),
    tick: step === "month" ? month(bucket.key) : dayName(bucket.from),
    // A day without calls costs nothing; of one whose calls have no price nobody knows.
    values: [bucket.calls ? bucket.costUsd : 0],
    href: callsOf(bucket, usage),
    unpriced: bucket.unpriced,
    estimated: bucket.estimated,
  }));
  return (
    <>
      <ChartHead
        title={title}
        source={t("calls.estimated")}
        table={table}
        show={setTable}
        save={() =>
          download(`brimline-cost-${buckets.at(-1)?.to ?? ""}.csv`, [
            csv(
              [step, "cost_usd", "unpriced_calls"],
              buckets.map(({ key, calls, costUsd, unpriced: without }) => [key, calls ? costUsd : 0, without]),
            ),
          ])
        }
      />
      {none ? (
        <Empty title={t("trends.cost.none")} />
      ) : table ? (
        <StackTable label={title} names={names} bars={bars} unit="usd" />
      ) : (
        <Stack label={title} names={names} bars={bars} colours={["c2"]} unit="usd" />
      )}
      {unpriced > 0 && !none && (
        <p className="note">
          <Link className="link" href={onward("/calls", usage.search, { ...spanOf(usage), price: "unpriced" })}>
            {t("overview.today.unpriced", { count: unpriced })}
          </Link>
        </p>
      )}
      {none && <NoPrice asked={usage.shared} inside />}
    </>
  );
}

function Cache({ buckets }: { buckets: Bucket[] }) {
  const lines = useMemo(
    () => [
      {
        name: t("trends.cache"),
        points: buckets
          .filter(({ input }) => input > 0)
          .map(({ from, cached, input }) => ({
            // Noon, so that no time zone moves the point to another day.
            t: new Date(`${from}T12:00:00`).toISOString(),
            v: (cached / input) * 100,
          })),
      },
    ],
    [buckets],
  );
  const input = buckets.reduce((sum, bucket) => sum + bucket.input, 0);
  const cached = buckets.reduce((sum, bucket) => sum + bucket.cached, 0);
  return (
    <Trend
      title={t("trends.cache")}
      source={t("trends.cache.mean", { share: share(input ? cached / input : null) })}
      lines={lines}
      label={t("trends.cache.label")}
      file="cache"
      daily
    />
  );
}

