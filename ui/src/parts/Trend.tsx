/** Lines of percentages or durations over time (uPlot), with a table of the same points and a CSV. */
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Point } from "../api";
import { axisWidth } from "../axis";
import { csv, download } from "../csv";
import { clock, count, day as dayName, dayOf, duration, full, percent } from "../format";
import { useWidth } from "../hooks";
import { useTheme } from "../theme";
import { t } from "../words";
import { ChartHead } from "./ChartHead";

const HEIGHT = 200;
const COLOURS = 4;

/** The number of a line's colour; there are four, and then the one of all others. */
function colour(index: number): number {
  return index < COLOURS ? index + 1 : 0;
}

export interface Line {
  name: string;
  points: Point[];
}

interface Props {
  title: string;
  source: string;
  lines: Line[];
  label: string;
  file: string;
  /** Each point is a day; its time of day means nothing. */
  daily?: boolean;
  /** Points stand by the number of their call, however much time lies between them. */
  calls?: Numbered[];
  unit?: Unit;
}

/** A call by its place in the thread, from 1; points of the lines are in the same order. */
export interface Numbered {
  number: number;
  at: string;
}

/** What the values are: percentages of a whole, or lengths of time. */
type Unit = "percent" | "ms";
const SHOW: Record<Unit, (value: number | null | undefined) => string> = { percent, ms: duration };

/**
 * Every time that any line has, and each line's values at them. Pure.
 *
 * null breaks a line (nobody knows); undefined does not (another line was seen at that moment).
 */
export function joined(lines: Line[]): [number[], ...(number | null | undefined)[][]] {
  const times = new Set<number>();
  const maps = lines.map(({ points }) => {
    const map = new Map<number, number | null>();
    for (const { t: time, v } of points) {
      const at = Date.parse(time) / 1000;
      times.add(at);
      map.set(at, v);
    }
    return map;
  });
  const sorted = [...times].sort((a, b) => a - b);
  return [sorted, ...maps.map((map) => sorted.map((at) => map.get(at)))];
}

export function Trend({ title, source, lines, label, file, daily = false, calls, unit = "percent" }: Props) {
  const [table, setTable] = useState(false);
  const [at, setAt] = useState<number | null>(null);
  const data = useMemo<Data>(() => (calls ? numbered(lines, calls) : joined(lines)), [lines, calls]);
  const whens = useMemo(() => new Map(calls?.map(({ number, at: time }) => [number, time])), [calls]);
  const said = (place: number) => {
    if (calls) return [t("threads.curve.call", { number: count(place) }), full(whens.get(place) ?? null)].join(" · ");
    return daily ? dayName(dayOf(place * 1000)) : full(new Date(place * 1000).toISOString());
  };
  return (
    <>
      <ChartHead
        title={title}
        source={source}
        table={table}
        show={setTable}
        save={() => save(lines, data, file, calls)}
      />
      {table ? (
        <Table lines={lines} data={data} label={label} said={said} unit={unit} />
      ) : (
        <>
          <Drawing
            data={data}
            lines={lines}
            label={label}
            point={setAt}
            scale={calls ? "order" : daily ? "days" : "time"}
            unit={unit}
          />
          <ul className="legend">
            {lines.map(({ name }, index) => (
              <li key={name}>
                <i className={`swatch c${colour(index)}`} />
                {name}
                {at !== null && <b>{SHOW[unit](data[index + 1]?.[at])}</b>}
              </li>
            ))}
            {at !== null && <li>{said(data[0][at] ?? 0)}</li>}
          </ul>
        </>
      )}
    </>
  );
}

type Data = ReturnType<typeof joined>;

/** Each line's values at the numbers of their calls. Pure. */
export function numbered(lines: Line[], calls: Numbered[]): Data {
  return [calls.map(({ number }) => number), ...lines.map(({ points }) => points.map(({ v }) => v))];
}

function save(lines: Line[], data: Data, file: string, calls?: Numbered[]): void {
  const rows = data[0].map((place, index) => [
    ...(calls ? [place, calls[index]?.at] : [new Date(place * 1000).toISOString()]),
    ...lines.map((_, line) => data[line + 1]?.[index]),
  ]);
  const first = calls ? ["call", "time"] : ["time"];
  download(`brimline-${file}.csv`, [csv([...first, ...lines.map(({ name }) => name)], rows)]);
}

interface DrawingProps {
  lines: Line[];
  data: Data;
  label: string;
  point: (index: number | null) => void;
  scale: Scale;
  unit: Unit;
}

/** What stands below a chart: the time, whole days, or the numbers of calls. */
type Scale = "time" | "days" | "order";

function Drawing({ lines, data, label, point, scale, unit }: DrawingProps) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot>(null);
  const { dark, chosen } = useTheme();
  const names = lines.map(({ name }) => name).join("\n");
  const lone = data[0].length === 1;
  useEffect(() => {
    const holder = ref.current;
    if (!holder || !width) return;
    // Built anew when colours, size or lines change: a canvas does not follow CSS.
    plot.current = new uPlot(options(names.split("\n"), width, point, scale, unit, lone), data, holder);
    return () => plot.current?.destroy();
  }, [width, dark, chosen, names, point, scale, unit, lone]);
  useEffect(() => plot.current?.setData(data), [data]);
  return <div ref={ref} className="chart plot" role="img" aria-label={label} />;
}

const A_DAY = 86_400;

/** A time on the axis: the day, or the clock where days are wide apart. */
function moment(seconds: number, step: number): string {
  const at = seconds * 1000;
  return step < A_DAY ? clock(at) : dayName(dayOf(at));
}

/** Steps of whole days or of whole calls; uPlot would split them further. */
const STEPS: Partial<Record<Scale, number[]>> = {
  days: [1, 2, 7, 14, 28, 56, 91, 182, 364].map((days) => days * A_DAY),
  order: [1, 10, 100, 1000, 10_000, 100_000].flatMap((step) => [step, 2 * step, 5 * step]),
};

/** A single moment stands in the middle: uPlot would begin a day or years with it. */
function around(_plot: uPlot, low: number): [number, number] {
  return [low - 1, low + 1];
}

function options(
  names: string[],
  width: number,
  point: (index: number | null) => void,
  scale: Scale,
  unit: Unit,
  lone: boolean,
): uPlot.Options {
  const colours = getComputedStyle(document.documentElement);
  const token = (name: string) => colours.getPropertyValue(name).trim();
  const stroke = (index: number) => token(colour(index) ? `--c${colour(index)}` : "--other");
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: token("--muted"), font, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: { x: { time: scale !== "order", ...(lone && { range: around }) }, y: { range: unit === "percent" ? [0, 100] : (_, _low, high) => [0, Math.max(high, 1) * 1.1] } },
    axes: [
      {
        ...axis,
        grid: { show: false },
        space: 80,
        // Below the lowest mark of the other axis, which would touch the first label.
        gap: 10,
        size: 36,
        ...(STEPS[scale] && { incrs: STEPS[scale] }),
        ...(lone && { splits: ({ data }: uPlot) => [...data[0]] }),
        values: (_, splits, _axis, _space, step) =>
          splits.map((at) => (scale === "order" ? count(at) : moment(at, lone && scale === "time" ? 0 : lone ? A_DAY : step))),
      },
      {
        ...axis,
        size: (_, values) => axisWidth(values ?? [], unit === "percent" ? 52 : 64),
        ...(unit === "percent" && { splits: [0, 25, 50, 75, 100] }),
        values: (_, splits) => splits.map((value) => SHOW[unit](value)),
        grid: { stroke: token("--line"), width: 1 },
      },
    ],
    series: [
      {},
      ...names.map((label, index) => ({
        label,
        stroke: stroke(index),
        width: 2,
        // A lone value would be no line at all.
        points: { show: unit === "ms" || lone, size: 5, fill: stroke(index) },
      })),
    ],
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? null)] },
  };
}

interface TableProps {
  lines: Line[];
  data: Data;
  label: string;
  said: (seconds: number) => string;
  unit: Unit;
}

function Table({ lines, data, label, said, unit }: TableProps) {
  return (
    <div className="scroll short" tabIndex={0} role="group" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("requests.col.time")}</th>
            {lines.map(({ name }) => (
              <th scope="col" className="num" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {data[0]
            .map((time, index) => (
              <tr key={time}>
                <th scope="row">{said(time)}</th>
                {lines.map(({ name }, line) => (
                  <td className="num" key={name}>
                    {SHOW[unit](data[line + 1]?.[index])}
                  </td>
                ))}
              </tr>
            ))
            .reverse()}
        </tbody>
      </table>
    </div>
  );
}
