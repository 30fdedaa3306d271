/** Named spans of time that addresses carry, and what they mean today. Pure. */
export const DAY_RANGES = ["all", "today", "week", "7d", "30d", "month", "ytd", "custom"] as const;
export const TIME_RANGES = ["all", "1h", "24h", "7d", "30d"] as const;
const HOURS: Record<string, number> = { "1h": 1, "24h": 24, "7d": 168, "30d": 720 };
const DAY = 24 * 3600 * 1000;

export interface Span {
  from?: string;
  to?: string;
}

/** The calendar days (both included) a range means while `today` is today; empty for all time. */
export function days(range: string, today: string, from = "", to = ""): Span {
  // A day is a name; in UTC no summer time moves the sums.
  const noon = Date.parse(`${today}T12:00:00Z`);
  const ago = (count: number) => new Date(noon - count * DAY).toISOString().slice(0, 10);
  switch (range) {
    case "today":
      return { from: today, to: today };
    case "7d":
      return { from: ago(6), to: today };
    case "30d":
      return { from: ago(29), to: today };
    case "week":
      return { from: ago((new Date(noon).getUTCDay() + 6) % 7), to: today };
    case "month":
      return { from: `${today.slice(0, 8)}01`, to: today };
    case "ytd":
      return { from: `${today.slice(0, 4)}-01-01`, to: today };
    case "custom":
      return { ...(from && { from }), ...(to && { to }) };
    default:
      return {};
  }
}

/** The value if it is one of those, else the fallback: an address may say anything. Pure. */
export function oneOf(value: string, known: readonly string[], fallback = ""): string {
  return known.includes(value) ? value : fallback;
}

/** A day, or a moment of it, as an address names it; "" for what is neither. Pure. */
export function moment(value: string): string {
  const day = /^\d{4}-\d{2}-\d{2}(?=T|$)/.exec(value)?.[0];
  const noon = day && new Date(`${day}T12:00:00Z`);
  // A thirty-first of February would become a day of March.
  const real = noon && !Number.isNaN(noon.getTime()) && noon.toISOString().startsWith(day);
  return real && !Number.isNaN(Date.parse(value)) ? value : "";
}

/** Whether a custom span ends before it starts. */
export function reversed({ from, to }: Span): boolean {
  return Boolean(from && to && from > to);
}

/** The moment a sliding range starts, ISO; undefined for all time. */
export function since(range: string, now: number): string | undefined {
  const hours = HOURS[range];
  return hours ? new Date(now - hours * 3600 * 1000).toISOString() : undefined;
}
