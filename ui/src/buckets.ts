/** Days gathered into bars: days, weeks from Monday, or months, so that a chart stays readable. Pure. */
import type { TrendDay } from "./api";

export interface Bucket {
  key: string;
  /** Both days are part of it. */
  from: string;
  to: string;
  calls: number;
  input: number;
  cached: number;
  tokens: number;
  costUsd: number | null;
  /** Calls without a price, which are not in the cost. */
  unpriced: number;
  /** Calls whose price is an estimate. */
  estimated: number;
  series: Record<string, number>;
}

export type Grain = "day" | "week" | "month";
export const OTHER = "\u0000other";
const SHOWN = 4;

/** Which bars suit so many days. */
export function grain(days: number): Grain {
  return days <= 92 ? "day" : days <= 800 ? "week" : "month";
}

/** The Monday of a day's week. */
export function monday(day: string): string {
  const at = new Date(`${day}T12:00:00Z`);
  at.setUTCDate(at.getUTCDate() - ((at.getUTCDay() + 6) % 7));
  return at.toISOString().slice(0, 10);
}

/** The names that get a colour of their own, the largest first; the others share one. */
export function leading(names: string[], keepAll: boolean): string[] {
  return keepAll || names.length <= SHOWN ? names : [...names.slice(0, SHOWN), OTHER];
}

/** Days as bars. A cost is unknown only while no day of the bar has one. */
export function gather(days: TrendDay[], by: Grain, names: string[]): Bucket[] {
  const found = new Map<string, Bucket>();
  for (const day of days) {
    const key = by === "day" ? day.day : by === "week" ? monday(day.day) : day.day.slice(0, 7);
    const bucket = found.get(key) ?? {
      key,
      from: day.day,
      to: day.day,
      calls: 0,
      input: 0,
      cached: 0,
      tokens: 0,
      costUsd: null,
      unpriced: 0,
      estimated: 0,
      series: {},
    };
    found.set(key, bucket);
    add(bucket, day, names);
  }
  return [...found.values()];
}

function add(bucket: Bucket, day: TrendDay, names: string[]): void {
  bucket.to = day.day;
  bucket.calls += day.calls;
  bucket.unpriced += day.unpriced;
  bucket.estimated += day.estimated ?? 0;
  bucket.input += day.cachedInput + day.uncachedInput;
  bucket.cached += day.cachedInput;
  bucket.tokens += day.cachedInput + day.uncachedInput + day.output;
  // A day without calls costs nothing; one whose calls have no price is unknown.
  if (day.calls && day.costUsd !== null) bucket.costUsd = (bucket.costUsd ?? 0) + day.costUsd;
  for (const [name, tokens] of Object.entries(day.series)) {
    const place = names.includes(name) ? name : OTHER;
    bucket.series[place] = (bucket.series[place] ?? 0) + tokens;
  }
}

/** Days by rank: the most tokens, sessions, or the newest first; ties as a person would expect. */
export function ranked(days: TrendDay[], by: "tokens" | "sessions" | "day"): TrendDay[] {
  const used = days.filter(({ calls }) => calls > 0);
  const newest = (a: TrendDay, b: TrendDay) => (a.day < b.day ? 1 : -1);
  return used.sort((a, b) => {
    if (by === "day") return newest(a, b);
    const [first, second] = by === "tokens" ? [tokensOf, sessionsOf] : [sessionsOf, tokensOf];
    return first(b) - first(a) || second(b) - second(a) || newest(a, b);
  });
}

export function tokensOf(day: TrendDay): number {
  return day.cachedInput + day.uncachedInput + day.output;
}

function sessionsOf(day: TrendDay): number {
  return day.sessions;
}
