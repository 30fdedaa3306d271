/** Stacked bars over time with names beside their colours; a bar leads to the calls behind it. */
import { useState } from "react";
import { Link } from "wouter";
import { axisWidth, ticks } from "../axis";
import { compact, count, joined, money, pair, UNKNOWN } from "../format";
import { useWidth } from "../hooks";
import { t } from "../words";
import { Cost } from "./Cost";

const HEIGHT = 200;
const LEAST_LEFT = 56;
const TOP = 12;
const BOTTOM = 26;

export interface Bar {
  key: string;
  label: string;
  /** Short enough for the axis. */
  tick: string;
  /** Unknown ones are null, and a gap. */
  values: (number | null)[];
  href: string;
  costUsd?: number | null;
  /** How many calls have no price, and so are not in the cost. */
  unpriced?: number;
  /** How many have a price that is an estimate. */
  estimated?: number;
}

interface Props {
  label: string;
  names: string[];
  bars: Bar[];
  /** The classes of the colours, in the order of the names. */
  colours?: string[];
  unit?: "tokens" | "usd" | "plain";
}

const FOUR = ["c1", "c2", "c3", "c4", "c0"];

export function whole(bar: Bar): number {
  return bar.values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/** The bars and their legend; pointing at one shows its numbers in the legend. */
export function Stack({ label, names, bars, colours = FOUR, unit = "tokens" }: Props) {
  const [key, choose] = useState<string | null>(null);
  const chosen = bars.find((bar) => bar.key === key) ?? null;
  const short = unit === "usd" ? money : compact;
  return (
    <>
      <Drawing
        label={label}
        names={names}
        bars={bars}
        colours={colours}
        short={short}
        counted={unit === "plain"}
        chosen={chosen}
        choose={choose}
      />
      <div className="chart-foot">
        <ul className="legend" aria-live="off">
          {names.map((name, index) => (
            <li key={name}>
              <i className={`swatch ${colours[index]}`} />
              {name}
              {chosen && (
                <b>
                  {unit === "usd" ? (
                    <Cost usd={chosen.values[index]} unpriced={chosen.unpriced} estimated={chosen.estimated} />
                  ) : (
                    short(chosen.values[index])
                  )}
                </b>
              )}
            </li>
          ))}
          {chosen && (
            <li className="legend-day">
              {chosen.label}
              {unit === "tokens" && (
                <b>
                  <Cost usd={chosen.costUsd} unpriced={chosen.unpriced} estimated={chosen.estimated} />
                </b>
              )}
            </li>
          )}
        </ul>
      </div>
    </>
  );
}

interface DrawingProps {
  label: string;
  names: string[];
  bars: Bar[];
  colours: string[];
  short: (value: number | null | undefined) => string;
  /** Of whole things, of which there is no half. */
  counted: boolean;
  chosen: Bar | null;
  choose: (key: string | null) => void;
}

function Drawing({ label, names, bars, colours, short, counted, chosen, choose }: DrawingProps) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const most = Math.max(0.0001, ...bars.map(whole));
  const inner = HEIGHT - TOP - BOTTOM;
  const y = (value: number) => TOP + inner - (value / most) * inner;
  const marks = ticks(Math.max(0, ...bars.map(whole))).filter((value) => !counted || Number.isInteger(value));
  const left = axisWidth(marks.map(short), LEAST_LEFT);
  const step = Math.max(0, width - left) / Math.max(1, bars.length);
  const every = Math.max(1, Math.ceil(60 / step));
  return (
    <div ref={ref} className="chart">
      {width > 0 && (
        <svg
          width={width}
          height={HEIGHT}
          role="group"
          aria-label={label}
          onMouseLeave={() => choose(null)}
        >
          {marks.map((value) => (
            <g key={value} aria-hidden="true">
              <line className="grid-line" x1={left} x2={width} y1={y(value)} y2={y(value)} />
              <text className="axis" x={left - 8} y={y(value) + 4} textAnchor="end">
                {short(value)}
              </text>
            </g>
          ))}
          {bars.map((bar, index) => (
            <Column
              key={bar.key}
              bar={bar}
              names={names}
              colours={colours}
              short={short}
              x={left + index * step}
              step={step}
              y={y}
              dim={chosen !== null && chosen !== bar}
              labelled={index % every === 0 && index * step + 30 < width - left}
              choose={choose}
            />
          ))}
        </svg>
      )}
    </div>
  );
}

interface ColumnProps {
  bar: Bar;
  names: string[];
  colours: string[];
  short: (value: number | null | undefined) => string;
  x: number;
  step: number;
  y: (value: number) => number;
  dim: boolean;
  labelled: boolean;
  choose: (key: string | null) => void;
}

function Column({ bar, names, colours, short, x, step, y, dim, labelled, choose }: ColumnProps) {
  const width = Math.min(28, Math.max(2, step * 0.62));
  const left = x + (step - width) / 2;
  let below = 0;
  const parts = bar.values
    .map((value, index) => {
      const part = { from: below, to: below + (value ?? 0), colour: colours[index] ?? "c0" };
      below = part.to;
      return part;
    })
    .filter(({ from, to }) => to > from);
  const said = joined(names.map((name, index) => `${name} ${short(bar.values[index])}`));
  return (
    <Link
      href={bar.href}
      aria-label={`${pair(bar.label, said)}. ${t("chart.dayOpen", { day: bar.label })}`}
      className="column"
      data-dim={dim || undefined}
      onMouseEnter={() => choose(bar.key)}
      onFocus={() => choose(bar.key)}
      onBlur={() => choose(null)}
    >
      <rect className="hit" x={x} y={TOP} width={step} height={HEIGHT - TOP - BOTTOM} />
      {parts.map(({ from, to, colour }, index) => (
        <path
          key={colour}
          className={colour}
          d={block(left, y(to), width, y(from) - y(to), index === parts.length - 1)}
        />
      ))}
      {bar.values.every((value) => value === null) && (
        <text className="axis" x={x + step / 2} y={HEIGHT - BOTTOM - 6} textAnchor="middle" aria-hidden="true">
          {UNKNOWN}
        </text>
      )}
      {labelled && (
        <text className="axis" x={x + step / 2} y={HEIGHT - 6} textAnchor="middle">
          {bar.tick}
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

interface TableProps {
  label: string;
  names: string[];
  bars: Bar[];
  unit?: "tokens" | "usd" | "plain";
}

/** The same numbers as a table, newest first. */
export function StackTable({ label, names, bars, unit = "tokens" }: TableProps) {
  return (
    <div className="scroll short" tabIndex={0} role="group" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("series.day")}</th>
            {names.map((name) => (
              <th scope="col" className="num" key={name}>
                {name}
              </th>
            ))}
            {unit === "tokens" && (
              <>
                <th scope="col" className="num">
                  {t("series.total")}
                </th>
                <th scope="col" className="num">
                  {t("series.cost")}
                </th>
              </>
            )}
          </tr>
        </thead>
        <tbody>
          {[...bars].reverse().map((bar) => (
            <tr key={bar.key}>
              <th scope="row">
                <Link href={bar.href}>{bar.label}</Link>
              </th>
              {names.map((name, index) => (
                <td className="num" key={name}>
                  {unit === "usd" ? (
                    <Cost usd={bar.values[index]} unpriced={bar.unpriced} estimated={bar.estimated} />
                  ) : (
                    count(bar.values[index])
                  )}
                </td>
              ))}
              {unit === "tokens" && (
                <>
                  <td className="num">{count(whole(bar))}</td>
                  <td className="num">
                    <Cost usd={bar.costUsd} unpriced={bar.unpriced} estimated={bar.estimated} />
                  </td>
                </>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
