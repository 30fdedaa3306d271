/** The columns of the call table: what each shows, how it sorts, and its CSV name. */
import type { ReactNode } from "react";
import { nameIn, type Named } from "./accounts";
import type { CallDetail, CallRow } from "./api";
import {
  count, creditDigits, credits, duration, exact, full, joined, modelName, money, moneyDigits, pair, share, stamp, UNKNOWN,
} from "./format"; // prettier-ignore
import { titled, titleOf } from "./threads";
import { t, tIf, type Word } from "./words";

export interface Context {
  now: number;
  accounts: Named[] | undefined;
}

export interface Column {
  key: string;
  word: Word;
  /** The server's sort key. */
  sort: string;
  /** These read best upwards first: names, and the worst cache on top. */
  upFirst?: boolean;
  number?: boolean;
  width: number;
  grow?: boolean;
  hidden?: boolean;
  /** `free`: what its figure leaves free, as `padding` says. */
  show: (call: CallRow, context: Context, free?: string) => ReactNode;
  /** What stands behind a figure's decimal point: its digits, and a mark; null where there is no figure. */
  tail?: (call: CallRow) => Tail | null;
  title?: (call: CallRow) => string;
}

export interface Tail {
  digits: number;
  mark: boolean;
}

/** What a cell leaves free behind its figure, so that decimal points stand below each other. Pure. */
export function padding(own: Tail | null, all: readonly (Tail | null)[]): string {
  if (!own) return "";
  const digits = Math.max(...all.map((one) => one?.digits ?? 0));
  const zeros = "0".repeat(digits - own.digits);
  const mark = !own.mark && all.some((one) => one?.mark) ? "*" : "";
  return (zeros && own.digits === 0 ? `.${zeros}` : zeros) + mark;
}

const tokens = (
  key: string,
  word: Word,
  sort: string,
  pick: (call: CallRow) => number | null,
  width = 82,
): Column => ({
  key,
  word,
  sort,
  number: true,
  width,
  show: (call) => count(pick(call)),
  title: (call) => exact(pick(call)),
});

/** A figure with room behind its last digit; a sign of the currency stands behind that. */
function roomy(text: string, free: string): ReactNode {
  const [, head = text, rest = ""] = /^(.*\p{Nd})(\P{Nd}*)$/su.exec(text) ?? [];
  if (!free) return text;
  return (
    <>
      {head}
      <span aria-hidden="true" className="free">
        {free.replace("*", "")}
      </span>
      {rest}
      {free.endsWith("*") && (
        <span aria-hidden="true" className="free">
          *
        </span>
      )}
    </>
  );
}

/** The cost of a call; an estimate says so, and no price is never zero. */
export function cost(call: CallRow, free = ""): ReactNode {
  if (call.priceStatus === "unpriced" || call.costUsd === null)
    return <span className="muted">{t("calls.noPrice")}</span>;
  return (
    <>
      {roomy(money(call.costUsd), free)}
      {call.priceStatus === "estimated" && <abbr title={t("calls.estimated")}>*</abbr>}
    </>
  );
}

/** The same as text. */
export function costText(call: CallRow): string {
  if (call.priceStatus === "unpriced" || call.costUsd === null) return t("calls.noPrice");
  return money(call.costUsd) + (call.priceStatus === "estimated" ? "*" : "");
}

/** Whether the credits are by the rate of another model. */
function inferred({ credits, creditConfidence }: CallRow): boolean {
  return credits !== null && creditConfidence === "estimated";
}

/** How sure the credits are, and by which model's rate. */
function creditTitle(call: CallRow): string {
  const how = t(`calls.credit.${call.creditConfidence ?? "unpriced"}`);
  return call.creditModel ? pair(how, modelName(call.creditModel)) : how;
}

export function seenBy(call: CallRow): string {
  return joined(call.witnesses.map((name) => tIf(`calls.witness.${name}`, name)));
}

export const COLUMNS: Column[] = [
  {
    key: "time",
    word: "calls.col.time",
    sort: "time",
    width: 112,
    show: (c, { now }) => stamp(c.at, now),
    title: (c) => full(c.at),
  },
  {
    key: "thread",
    word: "calls.col.thread",
    sort: "thread",
    upFirst: true,
    width: 120,
    grow: true,
    show: (c) =>
      c.threadTitle ? (
        <bdi>{titled(c.threadTitle)}</bdi>
      ) : (
        <span className="muted">{titleOf(null, c.threadId ?? c.sessionId)}</span>
      ),
    title: (c) => titled(c.threadTitle) ?? c.threadId ?? c.sessionId ?? "",
  },
  {
    key: "project",
    word: "calls.col.project",
    sort: "project",
    upFirst: true,
    hidden: true,
    width: 120,
    show: (c) => c.project ?? UNKNOWN,
    title: (c) => c.project ?? "",
  },
  {
    key: "model",
    word: "calls.col.model",
    sort: "model",
    upFirst: true,
    width: 134,
    show: (c) => modelName(c.model),
    title: (c) => c.model ?? "",
  },
  {
    key: "effort",
    word: "calls.col.effort",
    sort: "effort",
    upFirst: true,
    width: 74,
    show: (c) => c.effort ?? UNKNOWN,
  },
  tokens("tokens", "calls.col.tokens", "tokens", (c) => c.totalTokens),
  tokens("cached", "calls.col.cached", "cached", (c) => c.cachedInputTokens),
  tokens("uncached", "calls.col.new", "uncached", (c) => c.uncachedInputTokens, 92),
  tokens("output", "calls.col.output", "output", (c) => c.outputTokens, 70),
  tokens("reasoning", "calls.col.reasoning", "reasoning", (c) => c.reasoningTokens, 82),
  {
    key: "cache",
    word: "calls.col.cache",
    sort: "cache",
    upFirst: true,
    number: true,
    width: 66,
    show: (c) => share(c.cacheRatio),
  },
  {
    key: "cost",
    word: "calls.col.cost",
    sort: "cost",
    number: true,
    width: 78,
    show: (c, _, free) => cost(c, free),
    tail: (c) =>
      c.priceStatus === "unpriced" || c.costUsd === null
        ? null
        : { digits: moneyDigits(c.costUsd), mark: c.priceStatus === "estimated" },
    title: (c) => `${t(`calls.price.${c.priceStatus}`)}\n${pair(t("calls.credits"), credits(c.credits))} (${creditTitle(c)})`,
  },
  {
    key: "duration",
    word: "calls.col.duration",
    sort: "duration",
    number: true,
    width: 80,
    show: (c) => duration(c.durationMs, true),
  },
  { ...tokens("input", "calls.col.input", "input", (c) => c.inputTokens), hidden: true },
  {
    key: "context",
    word: "calls.col.context",
    sort: "context",
    number: true,
    width: 84,
    hidden: true,
    show: (c) => share(c.contextPercent === null ? null : c.contextPercent / 100),
  },
  {
    key: "gap",
    word: "calls.col.gap",
    sort: "gap",
    number: true,
    width: 88,
    hidden: true,
    show: (c) => duration(c.gapMs, true),
  },
  { ...tokens("cumulative", "call.cumulative", "cumulative", (c) => c.cumulativeTokens, 92), hidden: true },
  {
    key: "credits",
    word: "calls.credits",
    sort: "credits",
    number: true,
    width: 80,
    hidden: true,
    show: (c, _, free = "") => roomy(credits(c.credits) + (inferred(c) ? "*" : ""), free),
    tail: (c) => (c.credits === null ? null : { digits: creditDigits(c.credits), mark: inferred(c) }),
    title: creditTitle,
  },
  {
    key: "provider",
    word: "calls.provider",
    sort: "provider",
    upFirst: true,
    width: 90,
    hidden: true,
    show: (c) => tIf(`provider.${c.provider}`, c.provider),
  },
  {
    key: "initiator",
    word: "calls.col.initiator",
    sort: "initiator",
    upFirst: true,
    width: 96,
    hidden: true,
    show: (c) => tIf(`calls.initiator.${c.initiator ?? "unknown"}`, c.initiator ?? UNKNOWN),
  },
  {
    key: "account",
    word: "calls.col.account",
    sort: "account",
    upFirst: true,
    width: 170,
    hidden: true,
    show: (c, { accounts }) => nameIn(accounts, c.accountId) ?? UNKNOWN,
  },
  { key: "seen", word: "calls.col.seen", sort: "seen", width: 150, hidden: true, show: seenBy, title: seenBy },
];

/** Of the usual columns those that leave first where room is short; the title grows by what they leave. */
const YIELDING = ["reasoning", "effort", "duration", "output", "cached", "uncached", "cache", "model"];
const ROOMY = 220;
/** The first two leave for the title's sake already. */
const FOR_TITLE = 2;

/** Those that come where the usual ones leave room, the first one first. */
export const FILLING: readonly string[] = ["gap", "initiator", "context", "credits", "project"];
/** What they leave to the title. */
const FULL = 320;

/** What columns need; a title that grows may be promised more than its least. */
function needed(columns: Column[], spare: number): number {
  return columns.reduce((sum, { width, grow }) => sum + (grow ? Math.max(width, spare) : width), 0);
}

/** The columns that fit into so many pixels; the one that orders the list stays. Pure. */
export function fitting(columns: Column[], room: number, order: string): Column[] {
  const usual = columns.filter(({ key, sort }) => !FILLING.includes(key) || sort === order);
  let left = usual;
  for (const [place, key] of YIELDING.entries()) {
    if (needed(left, place < FOR_TITLE ? ROOMY : 0) > room)
      left = left.filter((column) => column.key !== key || column.sort === order);
  }
  if (left.length < usual.length) return left;
  for (const key of FILLING) {
    const more = columns.filter((column) => left.includes(column) || column.key === key);
    if (needed(more, FULL) <= room) left = more;
  }
  return left;
}

/** How long the provider keeps a prompt that nobody asks for, at the least. */
const KEPT_MS = 5 * 60_000;

/** What to do about the cache: a break is its reason only where there was one. Pure. */
export function cacheAdvice({ cacheLabel, gapMs }: Partial<CallDetail>): string {
  if (cacheLabel === "cold" && gapMs == null) return t("call.first");
  const key = cacheLabel === "cold" && Number(gapMs) >= KEPT_MS ? "cold-break" : cacheLabel;
  return tIf(`cache.next.${key}`, "");
}
