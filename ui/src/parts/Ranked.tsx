/** The days by rank: a bar for tokens and a thin one for sessions, each on its own scale, and the numbers. */
import { useState } from "react";
import { Link } from "wouter";
import type { TrendDay } from "../api";
import { ranked, tokensOf } from "../buckets";
import { csv, download } from "../csv";
import { compact, count, day as dayName, exact } from "../format";
import { onward, type Usage } from "../usage";
import { t } from "../words";
import { Cost } from "./Cost";
import { One } from "./Filters";

const SHOWN = 14;
const ORDERS = ["tokens", "sessions", "day"] as const;

export function RankedDays({ days, usage }: { days: TrendDay[]; usage: Usage }) {
  const [all, setAll] = useState(false);
  const order = ORDERS.find((one) => one === usage.get("rank")) ?? "tokens";
  const rows = ranked(days, order);
  const most = Math.max(1, ...rows.map(tokensOf));
  const sessions = Math.max(1, ...rows.map((day) => day.sessions));
  return (
    <>
      <div className="card-head">
        <h2>{t("trends.ranked")}</h2>
        <span className="tools">
          <One
            label={t("trends.rank.by")}
            value={order}
            options={ORDERS.map((value) => ({ value, label: t(`trends.rank.${value}`) }))}
            change={(next) => usage.change({ rank: next === "tokens" ? null : next })}
          />
          <button type="button" className="quiet" onClick={() => save(rows)}>
            {t("do.csv")}
          </button>
        </span>
      </div>
      <div className="scroll" tabIndex={0} role="group" aria-label={t("trends.ranked")}>
        <table className="ranked">
          <thead>
            <tr>
              <th scope="col" className="num">
                {t("trends.rank")}
              </th>
              <th scope="col">{t("series.day")}</th>
              <th scope="col" className="wide">
                {t("trends.rank.bars")}
              </th>
              {(["tokens", "sessions"] as const).map((key) => (
                <th
                  key={key}
                  scope="col"
                  className="num"
                  aria-sort={order === key ? "descending" : undefined}
                >
                  {t(`trends.rank.${key}`)}
                </th>
              ))}
              <th scope="col" className="num">
                {t("series.calls")}
              </th>
              <th scope="col" className="num">
                {t("series.cached")}
              </th>
              <th scope="col" className="num">
                {t("series.new")}
              </th>
              <th scope="col" className="num">
                {t("series.output")}
              </th>
              <th scope="col" className="num">
                {t("series.cost")}
              </th>
            </tr>
          </thead>
          <tbody>
            {(all ? rows : rows.slice(0, SHOWN)).map((day, index) => (
              <tr key={day.day} className={order !== "day" && index < 3 ? "top" : undefined}>
                <td className="num">{index + 1}</td>
                <th scope="row">
                  <Link href={onward("/calls", usage.search, { range: "custom", from: day.day, to: day.day })}>
                    {dayName(day.day)}
                  </Link>
                </th>
                <td className="wide" aria-hidden="true">
                  <div className="rank-bars">
                    <i className="rank-bar" style={{ width: `${(tokensOf(day) / most) * 100}%` }} />
                    <i className="rank-bar thin" style={{ width: `${(day.sessions / sessions) * 100}%` }} />
                  </div>
                </td>
                <td className="num strong" title={exact(tokensOf(day))}>
                  {count(tokensOf(day))}
                </td>
                <td className="num">{count(day.sessions)}</td>
                <td className="num">{count(day.calls)}</td>
                <td className="num">{compact(day.cachedInput)}</td>
                <td className="num">{compact(day.uncachedInput)}</td>
                <td className="num">{compact(day.output)}</td>
                <td className="num">
                  <Cost usd={day.costUsd} unpriced={day.unpriced} estimated={day.estimated} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="pages">
        <span className="note">{t("trends.rank.note")}</span>
        {rows.length > SHOWN && (
          <button type="button" onClick={() => setAll(!all)}>
            {all ? t("trends.rank.fewer") : t("trends.rank.all", { count: rows.length })}
          </button>
        )}
      </div>
    </>
  );
}

function save(rows: TrendDay[]): void {
  const heading = [
    "rank",
    "day",
    "tokens",
    "sessions",
    "calls",
    "cached_input",
    "uncached_input",
    "output",
    "reasoning_output",
    "cost_usd",
    "unpriced_calls",
  ];
  const lines = rows.map((d, index) => [
    index + 1,
    d.day,
    tokensOf(d),
    d.sessions,
    d.calls,
    d.cachedInput,
    d.uncachedInput,
    d.output,
    d.reasoningOutput,
    d.costUsd,
    d.unpriced,
  ]);
  download("brimline-days-ranked.csv", [csv(heading, lines)]);
}
