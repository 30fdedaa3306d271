/** When work happens: tokens by weekday and hour, as a map with five steps of one colour. */
import { useState } from "react";
import type { Heat } from "../api";
import { csv, download } from "../csv";
import { compact, count, weekday } from "../format";
import { useWidth } from "../hooks";
import { t } from "../words";
import { ChartHead } from "./ChartHead";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const DAYS = Array.from({ length: 7 }, (_, day) => day);
const LEFT = 48;
const CELL = 26;

const STRONGEST = 4;

/**
 * Which of five steps a value has; by rank, so that one long night does not pale the rest. The most is always the
 * strongest, and what is as much as that is, too. Pure.
 */
export function step(value: number, sorted: number[]): number {
  if (value <= 0 || !sorted.length) return -1;
  const notMore = sorted.findLastIndex((other) => other <= value) + 1;
  return Math.max(0, Math.ceil((notMore / sorted.length) * (STRONGEST + 1)) - 1);
}

/** Of a table by day and hour, what its weekday and hour hold most. */
function peak(rows: number[][]): { day: number; hour: number; value: number } {
  let found = { day: 0, hour: 0, value: 0 };
  rows.forEach((row, day) =>
    row.forEach((value, hour) => {
      if (value > found.value) found = { day, hour, value };
    }),
  );
  return found;
}

const two = (hour: number) => String(hour).padStart(2, "0");

export function HeatMap({ heat }: { heat: Heat }) {
  const [table, setTable] = useState(false);
  const most = peak(heat.tokens);
  const summary = most.value
    ? t("trends.heat.peak", {
        day: weekday(most.day, "long"),
        hour: `${two(most.hour)}:00`,
        tokens: compact(most.value),
      })
    : t("trends.empty");
  const save = () => {
    const rows = DAYS.flatMap((day) =>
      HOURS.map((hour) => [day + 1, hour, heat.calls[day]?.[hour] ?? 0, heat.tokens[day]?.[hour] ?? 0]),
    );
    download("brimline-week.csv", [csv(["weekday_iso", "hour", "calls", "tokens"], rows)]);
  };
  return (
    <>
      <ChartHead
        title={t("trends.heat")}
        source={t("trends.heat.zone")}
        table={table}
        show={setTable}
        save={save}
      />
      {table ? (
        <Table heat={heat} />
      ) : (
        <>
          <Drawing heat={heat} label={`${t("trends.heat")}. ${summary}`} />
          <p className="note">{summary}</p>
        </>
      )}
    </>
  );
}

function Drawing({ heat, label }: { heat: Heat; label: string }) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const wide = Math.max(0, width - LEFT) / 24;
  const sorted = heat.tokens
    .flat()
    .filter((value) => value > 0)
    .sort((a, b) => a - b);
  return (
    <div ref={ref} className="chart heat">
      {width > 0 && (
        <svg width={width} height={7 * CELL + 22} role="img" aria-label={label}>
          {DAYS.map((day) => (
            <g key={day}>
              <text className="axis" x={LEFT - 8} y={day * CELL + 17} textAnchor="end">
                {weekday(day)}
              </text>
              {HOURS.map((hour) => {
                const value = heat.tokens[day]?.[hour] ?? 0;
                const level = step(value, sorted);
                return (
                  <rect
                    key={hour}
                    className={level < 0 ? "qn" : `q${level}`}
                    x={LEFT + hour * wide + 1}
                    y={day * CELL + 1}
                    width={Math.max(1, wide - 2)}
                    height={CELL - 2}
                    rx={3}
                  >
                    <title>
                      {t("trends.heat.cell", {
                        day: weekday(day, "long"),
                        hour: `${two(hour)}:00`,
                        tokens: count(value),
                        calls: count(heat.calls[day]?.[hour] ?? 0),
                      })}
                    </title>
                  </rect>
                );
              })}
            </g>
          ))}
          {HOURS.filter((hour) => hour % 3 === 0).map((hour) => (
            <text key={hour} className="axis" x={LEFT + hour * wide + 1} y={7 * CELL + 16}>
              {two(hour)}
            </text>
          ))}
        </svg>
      )}
    </div>
  );
}

function Table({ heat }: { heat: Heat }) {
  return (
    <div className="scroll short" tabIndex={0} role="group" aria-label={t("trends.heat")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("trends.heat.hour")}</th>
            {DAYS.map((day) => (
              <th scope="col" className="num" key={day}>
                {weekday(day)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {HOURS.map((hour) => (
            <tr key={hour}>
              <th scope="row">{two(hour)}:00</th>
              {DAYS.map((day) => (
                <td className="num" key={day}>
                  {count(heat.tokens[day]?.[hour] ?? 0)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
