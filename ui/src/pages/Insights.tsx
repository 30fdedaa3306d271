/** What needs attention? Ranked cards, presets that open calls or threads already filtered, top threads. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { api, type Card, type Insights as Data, type Preset, type ThreadPage, type ThreadRow } from "../api";
import { beside, compact, count, exact, share } from "../format";
import { useTitle } from "../hooks";
import { cardLink, PRESETS, presetLink, severityMark, worth } from "../insights";
import { AllowanceCard } from "../parts/AllowanceCard";
import { OrArchived } from "../parts/Archived";
import { CopyLink, shownOf } from "../parts/Chips";
import { Cost } from "../parts/Cost";
import { NoThread } from "../parts/NoThread";
import { OwnFileProblems } from "../parts/OwnFiles";
import { PrivacyMode } from "../parts/Privacy";
import { ReadLogs } from "../parts/ReadLogs";
import { Sign } from "../parts/Sign";
import { Empty, Failure, Skeleton } from "../parts/States";
import { ToTop } from "../parts/ToTop";
import { UsageBar, useLimits } from "../parts/UsageBar";
import { Attention, flagged, threadCost, titled, titleOf } from "../threads";
import { asked, NO_FILTER, onward, useUsage, type Usage } from "../usage";
import { t, tIf } from "../words";

export function Insights() {
  useTitle(t("insights.title"));
  const usage = useUsage();
  const found = useQuery({
    queryKey: ["insights", usage.shared],
    queryFn: ({ signal }) => api<Data>(`/api/insights${asked(usage)}`, { signal }),
    meta: { topics: ["calls", "settings"] },
    placeholderData: keepPreviousData,
    enabled: !usage.wrong,
  });
  return (
    <>
      <header>
        <h1>{t("insights.title")}</h1>
        <span className="tools">
          <PrivacyMode />
          <ReadLogs />
          <CopyLink />
        </span>
      </header>
      <UsageBar usage={usage} />
      <OwnFileProblems names={["thresholds", "projects", "pricing", "rate-card", "allowance"]} />
      {found.data ? (
        <Loaded data={found.data} usage={usage} />
      ) : (
        !usage.wrong && (
          <section className="card">
            {found.isError ? (
              <Failure error={found.error} retry={() => void found.refetch()} />
            ) : (
              <Skeleton lines={8} />
            )}
          </section>
        )
      )}
    </>
  );
}

function Loaded({ data, usage }: { data: Data; usage: Usage }) {
  const { search } = usage;
  // What matches nothing passes every threshold: that nothing needs attention would be no news of it.
  const unmatched = !data.cards.length && !data.threads.length;
  return (
    <>
      <section aria-label={t("overview.attention")}>
        {data.cards.length ? (
          <ul className="insights">
            {data.cards.map((card) => (
              <Attentive key={card.key} card={card} search={search} />
            ))}
          </ul>
        ) : (
          <div className="card">
            {unmatched ? <Unmatched usage={usage} /> : <Empty title={t("overview.attention.none")}>{t("insights.noneText")}</Empty>}
          </div>
        )}
      </section>
      <section className="card">
        <h2>{t("insights.presets")}</h2>
        <Presets found={data.presets} search={search} />
      </section>
      {!unmatched && (
        <section className="card">
          <div className="card-head">
            <h2>{t("insights.top")}</h2>
            <Link className="link note" href={onward("/threads", search, { sort: "attention" })}>
              {t("insights.allThreads")}
            </Link>
          </div>
          {data.threads.length ? (
            <Asking data={data} usage={usage} />
          ) : (
            <Unmatched usage={usage} />
          )}
        </section>
      )}
      <AllowanceCard />
      <ToTop />
    </>
  );
}

function Unmatched({ usage }: { usage: Usage }) {
  const q = usage.get("q");
  return (
    <OrArchived usage={usage} asked={{ q }} title={t("threads.noMatch")}>
      <NoThread filtered={usage.narrowed || !!q} clear={() => usage.change(NO_FILTER)} />
    </OrArchived>
  );
}

function Attentive({ card, search }: { card: Card; search: string }) {
  const to = cardLink(card, search);
  const title = titled(card.threadTitle);
  const limits = useLimits();
  const said = card.count > 0 ? t("overview.today.calls", { count: card.count }) : tIf(`card.${card.key}.text`, "", limits);
  const inside = (
    <>
      <span className="note">
        <Sign mark={severityMark(card.severity)} />
        {t(`severity.${card.severity}`)}
      </span>
      <b>{tIf(`card.${card.key}`, card.key)}</b>
      <strong title={card.unit === "tokens" ? exact(card.value) : undefined}>
        {card.unit === "usd" ? <Cost usd={card.value} unpriced={card.unpriced} estimated={card.estimated} /> : worth(card)}
      </strong>
      <small>
        {title ? <bdi>{title}</bdi> : said}
      </small>
      <small className="muted">{tIf(`card.${card.key}.text`, "", limits)}</small>
    </>
  );
  return (
    <li className="card">
      {to ? (
        <Link href={to}>{inside}</Link>
      ) : (
        <div>{inside}</div>
      )}
    </li>
  );
}

function Presets({ found, search }: { found: Preset[]; search: string }) {
  const limits = useLimits();
  return (
    <ul className="presets">
      {PRESETS.map(({ key, view }) => {
        const number = found.find((preset) => preset.key === key)?.count;
        return (
          <li key={key}>
            <Link href={presetLink(key, search) ?? "/calls"}>
              <b>{t(`preset.${key}`)}</b>
              {number !== undefined && (
                <span className="chip">
                  {view === "threads"
                    ? t("threads.count", { count: number })
                    : t("calls.count", { count: number })}
                </span>
              )}
              <span className="note">{t(`preset.${key}.text`, limits)}</span>
            </Link>
          </li>
        );
      })}
    </ul>
  );
}

const MORE = 40;
const MOST = 500;

/** The threads that ask most for attention; how many of them are shown stands in the address. */
function Asking({ data, usage }: { data: Data; usage: Usage }) {
  const first = data.threads.length;
  const total = data.presets.find(({ key }) => key === "highest-cost")?.count ?? first;
  const wanted = Math.min(Number(usage.get("rows")) || 0, MOST);
  const found = useQuery({
    queryKey: ["insights-threads", usage.shared, usage.get("q"), wanted],
    queryFn: ({ signal }) =>
      api<ThreadPage>(`/api/threads${asked(usage, { q: usage.get("q"), sort: "attention", limit: wanted })}`, { signal }),
    meta: { topics: ["calls", "settings"] },
    placeholderData: keepPreviousData,
    enabled: wanted > first && !usage.wrong,
  });
  const rows = wanted > first && found.data ? found.data.threads : data.threads;
  return (
    <>
      <Top rows={rows} />
      <div className="pages">
        <span className="note" role="status">
          {shownOf(rows.length, total)}
        </span>
        {rows.length < Math.min(total, MOST) && (
          <button
            type="button"
            disabled={found.isFetching}
            onClick={() => usage.change({ rows: String(Math.min(rows.length + MORE, MOST)) }, { replace: true })}
          >
            {t("calls.more")}
          </button>
        )}
      </div>
    </>
  );
}

/** The first two things that stand out in a thread. */
function why(row: ThreadRow): string {
  return flagged(row, 2);
}

function Top({ rows }: { rows: ThreadRow[] }) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={t("insights.top")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("calls.col.thread")}</th>
            <th scope="col" className="wide-only">
              {t("insights.why")}
            </th>
            <th scope="col" className="num wide-only">
              {t("series.calls")}
            </th>
            <th scope="col" className="num">
              {t("calls.col.tokens")}
            </th>
            <th scope="col" className="num wide-only">
              {t("calls.col.cache")}
            </th>
            <th scope="col" className="num">
              {t("calls.col.cost")}
            </th>
            <th scope="col" className="num">
              {t("threads.col.attention")}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.id}>
              <th scope="row" className="thread-name" title={beside([titled(row.title), row.project]) || undefined}>
                <span className="named">
                  <Link href={`/threads/${encodeURIComponent(row.id)}`} dir="auto">
                    {titleOf(row.title, row.id)}
                  </Link>
                  {row.project && <span className="muted project" dir="auto">{row.project}</span>}
                </span>
                <small className="muted narrow-only under">{beside([row.project, why(row)])}</small>
              </th>
              <td className="muted why wide-only">{why(row)}</td>
              <td className="num wide-only">{count(row.calls)}</td>
              <td className="num" title={exact(row.totalTokens)}>
                {compact(row.totalTokens)}
              </td>
              <td className="num wide-only">{share(row.cacheRatio)}</td>
              <td className="num">{threadCost(row)}</td>
              <td className="num">
                <Attention thread={row} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
