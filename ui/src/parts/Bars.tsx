/** Tokens a day as stacked bars, with a table of the same numbers and a CSV. */
import { useState } from "react";
import { Link } from "wouter";
import type { Day } from "../api";
import { ticks } from "../axis";
import { csv, download } from "../csv";
import { compact, count, day as dayName, money } from "../format";
import { useWidth } from "../hooks";
import { t } from "../words";
import { ChartHead } from "./ChartHead";

const HEIGHT = 200;
const LEFT = 52;
const TOP = 12;
const BOTTOM = 26;
const SERIES = [
  { key: "cachedInput", word: "series.cached" },
  { key: "uncachedInput", word: "series.new" },
  { key: "output", word: "series.output" },
] as const;

/** All tokens of a day. */
export function total(day: Day): number {
  return day.cachedInput + day.uncachedInput + day.output;
}

interface Props {
  title: string;
  source: string;
  days: Day[];
}

export function DayBars({ title, source, days }: Props) {
  const [table, setTable] = useState(false);
  const [chosen, setChosen] = useState<Day | null>(null);
  return (
    <>
      <ChartHead title={title} source={source} table={table} show={setTable} save={() => save(days)} />
      {table ? (
        <Table days={days} />
      ) : (
        <>
          <Drawing days={days} chosen={chosen} choose={setChosen} />
          <div className="chart-foot">
            <Legend day={chosen} />
          </div>
        </>
      )}
    </>
  );
}

function save(days: Day[]): void {
  const heading = [
    "day",
    "calls",
    "cached_input",
    "uncached_input",
    "output",
    "reasoning_output",
    "cost_usd",
  ];
  const rows = days.map((d) => [
    d.day,
    d.calls,
    d.cachedInput,
    d.uncachedInput,
    d.output,
    d.reasoningOutput,
    d.costUsd,
  ]);
  download(`brimline-days-${days.at(-1)?.day ?? ""}.csv`, [csv(heading, rows)]);
}

/** The names of the series; with a day chosen, its numbers beside them. */
function Legend({ day }: { day: Day | null }) {
  return (
    <ul className="legend" aria-live="off">
      {SERIES.map(({ key, word }, index) => (
        <li key={key}>
          <i className={`swatch c${index + 1}`} />
          {t(word)}
          {day && <b>{compact(day[key])}</b>}
        </li>
      ))}
      {day && (
        <li className="legend-day">
          {dayName(day.day)} <b>{money(day.costUsd)}</b>
        </li>
      )}
    </ul>
  );
}

interface DrawingProps {
  days: Day[];
  chosen: Day | null;
  choose: (day: Day | null) => void;
}

function Drawing({ days, chosen, choose }: DrawingProps) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const most = Math.max(1, ...days.map(total));
  const marks = ticks(most);
  const inner = HEIGHT - TOP - BOTTOM;
  const y = (value: number) => TOP + inner - (value / most) * inner;
  const step = Math.max(0, width - LEFT) / days.length;
  return (
    <div ref={ref} className="chart">
      {width > 0 && (
        <svg
          width={width}
          height={HEIGHT}
          role="group"
          aria-label={t("chart.label")}
          onMouseLeave={() => choose(null)}
        >
          {marks.map((value) => (
            <g key={value} aria-hidden="true">
              <line className="grid-line" x1={LEFT} x2={width} y1={y(value)} y2={y(value)} />
              <text className="axis" x={LEFT - 8} y={y(value) + 4} textAnchor="end">
                {compact(value)}
              </text>
            </g>
          ))}
          {days.map((day, index) => (
            <Column
              key={day.day}
              day={day}
              x={LEFT + index * step}
              step={step}
              y={y}
              dim={chosen !== null && chosen !== day}
              labelled={index % labelEvery(step) === 0}
              choose={choose}
            />
          ))}
        </svg>
      )}
    </div>
  );
}

/** Day names are about 46 px wide; show as many as fit. */
function labelEvery(step: number): number {
  return Math.max(1, Math.ceil(56 / step));
}

interface ColumnProps {
  day: Day;
  x: number;
  step: number;
  y: (value: number) => number;
  dim: boolean;
  labelled: boolean;
  choose: (day: Day | null) => void;
}

function Column({ day, x, step, y, dim, labelled, choose }: ColumnProps) {
  const width = Math.min(28, Math.max(2, step * 0.62));
  const left = x + (step - width) / 2;
  let below = 0;
  const parts = SERIES.map(({ key }, index) => {
    const part = { key, from: below, to: below + day[key], colour: `c${index + 1}` };
    below = part.to;
    return part;
  }).filter(({ from, to }) => to > from);
  return (
    <Link
      href={`/calls?range=custom&from=${day.day}&to=${day.day}`}
      aria-label={`${t("chart.day", { day: dayName(day.day), total: count(total(day)) })}, ${t(
        "chart.dayParts",
        {
          cached: compact(day.cachedInput),
          fresh: compact(day.uncachedInput),
          output: compact(day.output),
        },
      )}. ${t("chart.dayOpen", { day: dayName(day.day) })}`}
      className="column"
      data-dim={dim || undefined}
      onMouseEnter={() => choose(day)}
      onFocus={() => choose(day)}
      onBlur={() => choose(null)}
    >
      <rect className="hit" x={x} y={TOP} width={step} height={HEIGHT - TOP - BOTTOM} />
      {parts.map(({ key, from, to, colour }, index) => (
        <path
          key={key}
          className={colour}
          d={block(left, y(to), width, y(from) - y(to), index === parts.length - 1)}
        />
      ))}
      {labelled && (
        <text className="axis" x={x + step / 2} y={HEIGHT - 6} textAnchor="middle">
          {dayName(day.day)}
        </text>
      )}
    </Link>
  );
}

/** A block whose upper corners are round when it is the topmost. */
function block(x: number, y: number, width: number, height: number, top: boolean): string {
  const r = top ? Math.min(3, height, width / 2) : 0;
  const corner = (dx: number, dy: number) => (r ? `a${r} ${r} 0 0 1 ${dx} ${dy}` : "");
  return `M${x} ${y + height}V${y + r}${corner(r, -r)}H${x + width - r}${corner(r, r)}V${y + height}Z`;
}

function Table({ days }: { days: Day[] }) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={t("overview.days")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("series.day")}</th>
            <th scope="col" className="num">
              {t("series.calls")}
            </th>
            {SERIES.map(({ key, word }) => (
              <th scope="col" className="num" key={key}>
                {t(word)}
              </th>
            ))}
            <th scope="col" className="num">
              {t("series.total")}
            </th>
            <th scope="col" className="num">
              {t("series.cost")}
            </th>
          </tr>
        </thead>
        <tbody>
          {[...days].reverse().map((day) => (
            <tr key={day.day}>
              <th scope="row">
                <Link href={`/calls?range=custom&from=${day.day}&to=${day.day}`}>{dayName(day.day)}</Link>
              </th>
              <td className="num">{count(day.calls)}</td>
              {SERIES.map(({ key }) => (
                <td className="num" key={key}>
                  {count(day[key])}
                </td>
              ))}
              <td className="num">{count(total(day))}</td>
              <td className="num">{money(day.costUsd)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
