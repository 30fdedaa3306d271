/** How numbers, money and times are shown. Pure; unknown is always an en dash. */
import { direction } from "./languages";
import { language, t } from "./words";

export const UNKNOWN = "–";
type Maybe<T> = T | null | undefined;
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const formats = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat>();

function numbers(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = `n${language()}${JSON.stringify(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(language(), options));
  return formats.get(key) as Intl.NumberFormat;
}

let chosen = "";

/** Show times in this zone from now on; in the browser's when it is empty or not known here. */
export function inZone(zone: string): void {
  try {
    if (zone) new Intl.DateTimeFormat("en", { timeZone: zone });
    chosen = zone;
  } catch {
    chosen = "";
  }
}

function dates(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `d${language()}${chosen}${JSON.stringify(options)}`;
  if (!formats.has(key))
    formats.set(key, new Intl.DateTimeFormat(language(), { timeZone: chosen || undefined, ...options }));
  return formats.get(key) as Intl.DateTimeFormat;
}

/** A model as tables call it: without the day of its snapshot, which the full name beside it tells. */
export function modelName(model: Maybe<string>): string {
  return model ? model.replace(/[-@]20\d{6}$/, "") : UNKNOWN;
}

/** Things one after the other, with the comma of the language. */
export function joined(parts: readonly string[]): string {
  return parts.length ? parts.reduce((first, next) => t("join.list", { first, next })) : "";
}

/** A name and its value: "Model: gpt-5.5"; the colon stands as the language wants it. */
export function pair(name: string, value: string): string {
  return t("join.pair", { name, value });
}

/** A text that may run the other way than the sentence it stands in: kept in one piece. */
export function isolated(text: string): string {
  return `\u2068${text}\u2069`;
}

/** Texts of people or programs one after the other, each kept in one piece; those that are not left out. */
export function beside(parts: readonly (string | null | undefined | false)[]): string {
  return parts.flatMap((one) => (one ? [isolated(one)] : [])).join(" · ");
}

/** A count with grouping; compact from a thousand million on ("2.51 B"). */
export function count(n: Maybe<number>): string {
  if (n == null) return UNKNOWN;
  if (Math.abs(n) >= 1e9) return compact(n);
  return numbers({ maximumFractionDigits: 0 }).format(n);
}

/** The same count in full, for where the compact one is hovered. */
export function exact(n: Maybe<number>): string {
  return n == null ? UNKNOWN : numbers({ maximumFractionDigits: 0 }).format(n);
}

/** A short number for axes and readouts: 40 M, 1.5 k. */
export function compact(n: Maybe<number>): string {
  if (n == null) return UNKNOWN;
  const size = Math.abs(n);
  const short = (value: number, digits = 1) =>
    numbers({ maximumFractionDigits: Math.abs(value) < 100 ? digits : 0 }).format(value);
  // 999,950 would round to "1,000 k", so the next unit starts where rounding reaches it.
  // A tenth of a thousand million would hide what a day uses.
  if (size >= 999.5e6) return t("unit.B", { n: short(n / 1e9, 2) });
  if (size >= 999.5e3) return t("unit.M", { n: short(n / 1e6) });
  if (size >= 1e3) return t("unit.k", { n: short(n / 1e3) });
  return short(n);
}

/** How many decimals an amount of dollars has. */
export function moneyDigits(usd: number): number {
  return usd !== 0 && Math.abs(usd) < 0.01 ? 4 : 2;
}

/** Dollars: four decimals below a cent, else two. */
export function money(usd: Maybe<number>): string {
  if (usd == null) return UNKNOWN;
  const size = Math.abs(usd);
  const digits = moneyDigits(usd);
  if (size > 0 && size < 0.00005) return "<$0.0001";
  return numbers({
    style: "currency",
    currency: "USD",
    currencyDisplay: "narrowSymbol",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
    .format(usd)
    // Some languages have no narrow sign; a dollar is a dollar on every page.
    .replace("US$", "$");
}

/** How many decimals an amount of credits has. */
export function creditDigits(n: number): number {
  return Math.abs(n) < 1 ? 2 : Math.abs(n) < 100 ? 1 : 0;
}

/** Credits: two decimals below one, one below a hundred, else whole. */
export function credits(n: Maybe<number>): string {
  if (n == null) return UNKNOWN;
  const digits = creditDigits(n);
  return numbers({ minimumFractionDigits: digits, maximumFractionDigits: digits }).format(n);
}

/** A whole percentage; never "0%" while something is left, nor "100%" while something is gone. */
export function percent(value: Maybe<number>): string {
  if (value == null) return UNKNOWN;
  // Isolated, as the sign would stand behind the number in a text from right to left.
  if (value > 0 && value < 1) return direction(language()) === "rtl" ? `\u2066<${percent(1)}\u2069` : `<${percent(1)}`;
  if (value > 99 && value < 100) return percent(99);
  return numbers({ style: "percent", maximumFractionDigits: 0 }).format(value / 100);
}

/** A number with one decimal. */
export function decimal(n: number): string {
  return numbers({ minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(n);
}

/** A ratio of 0 to 1 as a percentage with one decimal. */
export function share(ratio: Maybe<number>): string {
  if (ratio == null) return UNKNOWN;
  return numbers({ style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(ratio);
}

/** How long something took; `aligned` seconds always have their decimal, to stand in a column. */
export function duration(ms: Maybe<number>, aligned = false): string {
  if (ms == null) return UNKNOWN;
  if (ms < SECOND) return t("unit.ms", { n: count(Math.round(ms)) });
  if (ms < MINUTE) {
    const digits = { minimumFractionDigits: aligned ? 1 : 0, maximumFractionDigits: 1 };
    return t("unit.s", { n: numbers(digits).format(ms / SECOND) });
  }
  return span(ms);
}

/** A length of time in its two largest units: "2 h 10 m"; minutes have two digits beside hours. */
export function span(ms: number): string {
  const left = Math.max(0, ms);
  if (left < MINUTE) return t("unit.s", { n: Math.floor(left / SECOND) });
  const days = Math.floor(left / DAY);
  const hours = Math.floor((left % DAY) / HOUR);
  const minutes = Math.floor((left % HOUR) / MINUTE);
  if (days) return join(t("unit.d", { n: days }), hours && t("unit.h", { n: hours }));
  if (hours) {
    return join(t("unit.h", { n: hours }), t("unit.m", { n: String(minutes).padStart(2, "0") }));
  }
  const seconds = Math.floor((left % MINUTE) / SECOND);
  return join(t("unit.m", { n: minutes }), minutes < 5 && seconds && t("unit.s", { n: seconds }));
}

function join(first: string, second: string | 0 | false): string {
  return second ? `${first} ${second}` : first;
}

/** When a window resets: a countdown within a day, else the weekday, else the date. */
export function reset(iso: Maybe<string>, now: number): string {
  const at = iso ? Date.parse(iso) : NaN;
  if (!(at > now)) return UNKNOWN;
  if (at - now < DAY) return span(Math.ceil((at - now) / MINUTE) * MINUTE);
  return soon(at, now);
}

/** A time to come, in words a person would say: "14:30", "Thu 09:00", "Dec 3 09:00". */
export function when(iso: Maybe<string>, now: number, weekday: "short" | "long" = "short"): string {
  const at = iso ? Date.parse(iso) : NaN;
  return Number.isNaN(at) ? UNKNOWN : soon(at, now, weekday);
}

function soon(at: number, now: number, weekday: "short" | "long" = "short"): string {
  const time = clock(at);
  if (dayOf(at) === dayOf(now)) return time;
  const of = (time: number) => dates({ weekday }).format(time);
  // The weekday of today would mean today.
  const near = Math.abs(at - now) < 6.5 * DAY && of(at) !== of(now);
  const date = dates(near ? { weekday } : { month: "short", day: "numeric" }).format(at);
  return `${date} ${time}`;
}

/** The time of day. */
export function clock(at: number): string {
  return dates({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(at);
}

/** How long ago: "just now", "12 s ago", "5 m ago", "3 h ago", "2 d ago". */
export function ago(iso: Maybe<string>, now: number): string {
  const at = iso ? Date.parse(iso) : NaN;
  if (Number.isNaN(at)) return t("time.never");
  const gone = now - at;
  if (gone < 5 * SECOND) return t("time.now");
  const [unit, size] =
    gone < MINUTE
      ? (["unit.s", SECOND] as const)
      : gone < HOUR
        ? (["unit.m", MINUTE] as const)
        : gone < DAY
          ? (["unit.h", HOUR] as const)
          : (["unit.d", DAY] as const);
  return t("time.ago", { span: t(unit, { n: Math.floor(gone / size) }) });
}

/** The time of a row: today only the clock, this year month and day as well, else the year too. */
export function stamp(iso: Maybe<string>, now: number): string {
  const at = iso ? Date.parse(iso) : NaN;
  if (Number.isNaN(at)) return UNKNOWN;
  if (dayOf(at) === dayOf(now)) return dates({ timeStyle: "medium", hourCycle: "h23" }).format(at);
  const sameYear = dayOf(at).slice(0, 4) === dayOf(now).slice(0, 4);
  const date = dates(
    sameYear ? { month: "short", day: "numeric" } : { year: "numeric", month: "short", day: "numeric" },
  ).format(at);
  return `${date} ${clock(at)}`;
}

/** A time in full, for tooltips and details. */
export function full(iso: Maybe<string>): string {
  const at = iso ? Date.parse(iso) : NaN;
  if (Number.isNaN(at)) return UNKNOWN;
  return dates({ dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }).format(at);
}

/** A calendar day "2026-11-08" as "Nov 8"; the day is a name, so no time zone moves it. */
export function day(name: string): string {
  const at = Date.parse(`${name}T00:00:00Z`);
  if (Number.isNaN(at)) return name;
  return dates({ month: "short", day: "numeric", timeZone: "UTC" }).format(at);
}

/** A month "2026-11" as "Nov 2026". */
export function month(name: string): string {
  const at = Date.parse(`${name}-01T00:00:00Z`);
  if (Number.isNaN(at)) return name;
  return dates({ month: "short", year: "numeric", timeZone: "UTC" }).format(at);
}

/** The name of a weekday, 0 for Monday. */
export function weekday(index: number, length: "short" | "long" = "short"): string {
  // 5 January 2026 is a Monday.
  return dates({ weekday: length, timeZone: "UTC" }).format(Date.UTC(2026, 0, 5 + index));
}

const zones = new Map<string, Intl.DateTimeFormat | null>();

function dayIn(at: number, zone: string): string {
  if (!zones.has(zone)) {
    try {
      zones.set(zone, new Intl.DateTimeFormat("en", { timeZone: zone, calendar: "gregory", numberingSystem: "latn", year: "numeric", month: "2-digit", day: "2-digit" }));
    } catch {
      zones.set(zone, null); // the server knows it, this browser does not
    }
  }
  const parts = Object.fromEntries((zones.get(zone)?.formatToParts(at) ?? []).map(({ type, value }) => [type, value]));
  return parts.year ? `${parts.year.padStart(4, "0")}-${parts.month}-${parts.day}` : "";
}

/** The calendar day of a moment as YYYY-MM-DD, in a zone that has a name, else in the viewer's. */
export function dayOf(at: number, zone = chosen): string {
  const named = zone && dayIn(at, zone);
  if (named) return named;
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
