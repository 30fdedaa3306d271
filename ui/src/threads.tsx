/** The columns of a table of threads, and how its cells read. */
import type { ReactNode } from "react";
import type { ThreadRow } from "./api";
import { beside, compact, count, credits, exact, full, joined, modelName, pair, share, stamp, UNKNOWN } from "./format";
import { severityMark } from "./insights";
import en from "./locales/en.json";
import { Cost } from "./parts/Cost";
import { Sign } from "./parts/Sign";
import { t, tIf, type Word } from "./words";

export interface ThreadColumn {
  key: string;
  word: Word;
  sort?: string;
  upFirst?: boolean;
  number?: boolean;
  show: (thread: ThreadRow, now: number) => ReactNode;
  title?: (thread: ThreadRow) => string;
}

/** A thread's title; what the server calls one that only finds a title for another, in the reader's language. */
export function titled(title: string | null | undefined): string | null {
  return title === en["say.thread.titling"] ? t("say.thread.titling") : (title ?? null);
}

/** What a thread or session is called; without a title the beginning of its id, as far as ids differ. */
export function titleOf(title: string | null, id: string | null): string {
  return titled(title) ?? id?.slice(0, 13) ?? t("calls.untitled");
}

/** Several values and how often, the most frequent first: "gpt-5.5 +2". */
export function mix(found: { name: string | null; calls: number }[], short = (name: string | null) => name ?? UNKNOWN): string {
  const [first, ...rest] = found;
  if (!first) return UNKNOWN;
  return rest.length ? `${short(first.name)} +${rest.length}` : short(first.name);
}

function listed(found: { name: string | null; calls: number }[]): string {
  return found.map(({ name, calls }) => pair(name ?? UNKNOWN, count(calls))).join("\n");
}

/** What a thread cost; an estimate and a missing price say so. */
export function threadCost(thread: ThreadRow): ReactNode {
  if (thread.costUsd === null) return <span className="muted">{t("calls.noPrice")}</span>;
  const estimated = thread.flags.includes("estimated-pricing");
  return <Cost usd={thread.costUsd} unpriced={thread.unpriced} estimated={estimated} />;
}

/** What stands out in a thread; most of it is so in some of its calls, and not in the whole. */
export function flagged({ calls, flags }: ThreadRow, most = flags.length): string {
  const shown = flags.slice(0, most);
  const some = calls > 1 ? shown.filter((flag) => flag !== OF_ALL) : [];
  const names = (listed: string[]) => joined(listed.map((flag) => tIf(`flag.${flag}`, flag)));
  const rest = names(shown.filter((flag) => !some.includes(flag)));
  return joined([some.length > 0 ? t("threads.some", { flags: names(some) }) : "", rest].filter(Boolean));
}

const OF_ALL = "subagent-attribution";

/** How many of a thread's calls are its own, of helpers that it started, and attached to it; "" where that is unknown. */
export function origins({ directCalls, spawnedCalls, attachedCalls }: ThreadRow): string {
  const parts: [Word, number | undefined][] = [
    ["threads.direct", directCalls],
    ["threads.spawned", spawnedCalls],
    ["threads.attached", attachedCalls],
  ];
  return beside(parts.map(([word, calls]) => calls !== undefined && pair(t(word), count(calls))));
}

/** How much attention a thread asks for, as words and a shape. */
export function Attention({ thread }: { thread: ThreadRow }) {
  return (
    <span title={flagged(thread)}>
      <Sign mark={severityMark(thread.severity)} />
      {count(Math.round(thread.attention))}
      <span className="hidden"> {t(`severity.${thread.severity}`)}</span>
    </span>
  );
}

/** What the first column, which every table draws for itself, sorts by. */
export const TITLE_COLUMN: Pick<ThreadColumn, "word" | "sort" | "upFirst" | "number"> = {
  word: "calls.col.thread",
  sort: "thread",
  upFirst: true,
};

export const THREAD_COLUMNS: ThreadColumn[] = [
  {
    key: "time",
    word: "threads.col.latest",
    sort: "time",
    show: (row, now) => stamp(row.lastAt, now),
    title: (row) => full(row.lastAt),
  },
  {
    key: "calls",
    word: "series.calls",
    sort: "calls",
    number: true,
    show: (row) => count(row.calls),
  },
  {
    key: "model",
    word: "calls.col.model",
    sort: "model",
    upFirst: true,
    show: (row) => mix(row.models, modelName),
    title: (row) => listed(row.models),
  },
  {
    key: "effort",
    word: "calls.col.effort",
    sort: "effort",
    upFirst: true,
    show: (row) => mix(row.efforts),
    title: (row) => listed(row.efforts),
  },
  {
    key: "tokens",
    word: "calls.col.tokens",
    sort: "tokens",
    number: true,
    show: (row) => compact(row.totalTokens),
    title: (row) => exact(row.totalTokens),
  },
  {
    key: "cache",
    word: "calls.col.cache",
    sort: "cache",
    upFirst: true,
    number: true,
    show: (row) => share(row.cacheRatio),
  },
  {
    key: "context",
    word: "threads.col.context",
    sort: "context",
    number: true,
    show: (row) => share(row.maxContextPercent === null ? null : row.maxContextPercent / 100),
  },
  { key: "cost", word: "calls.col.cost", sort: "cost", number: true, show: threadCost },
  {
    key: "credits",
    word: "calls.credits",
    sort: "credits",
    number: true,
    show: (row) => credits(row.credits),
  },
  {
    key: "signals",
    word: "threads.col.signals",
    number: true,
    show: (row) => count(row.flags.length),
    title: (row) => row.flags.map((flag) => tIf(`flag.${flag}`, flag)).join("\n"),
  },
  {
    key: "attention",
    word: "threads.col.attention",
    sort: "attention",
    number: true,
    show: (row) => <Attention thread={row} />,
  },
];
