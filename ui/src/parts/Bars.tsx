/** Tokens a day as stacked bars, with a table of the same numbers and a CSV. */
import { useState } from "react";
import type { Day } from "../api";
import { csv, download } from "../csv";
import { day as dayName } from "../format";
import { t } from "../words";
import { ChartHead } from "./ChartHead";
import { Stack, StackTable } from "./Stack";

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
  const names = SERIES.map(({ word }) => t(word));
  const bars = days.map((day) => ({
    key: day.day,
    label: dayName(day.day),
    tick: dayName(day.day),
    values: SERIES.map(({ key }) => day[key]),
    href: `/calls?range=custom&from=${day.day}&to=${day.day}&history=all`,
    costUsd: day.costUsd,
    unpriced: day.unpriced,
    estimated: day.estimated,
  }));
  return (
    <>
      <ChartHead title={title} source={source} table={table} show={setTable} save={() => save(days)} />
      {table ? (
        <StackTable label={title} names={names} bars={bars} />
      ) : (
        <Stack label={t("chart.label")} names={names} bars={bars} />
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
    "unpriced_calls",
  ];
  const rows = days.map((d) => [
    d.day,
    d.calls,
    d.cachedInput,
    d.uncachedInput,
    d.output,
    d.reasoningOutput,
    d.costUsd,
    d.unpriced,
  ]);
  download(`brimline-days-${days.at(-1)?.day ?? ""}.csv`, [csv(heading, rows)]);
}
