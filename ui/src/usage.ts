/** The filters that every usage page shares and carries along in the address. */
import { useCallback, useEffect } from "react";
import { query } from "./api";
import { useToday, useZone } from "./live";
import { DAY_RANGES, days, moment, oneOf, reversed } from "./range";
import { changed, useAddress, type Change } from "./url";

/** The pages that one filter bar serves. */
export const USAGE_PATHS = ["/trends", "/insights", "/calls", "/threads", "/diagnostics"];

const SHARED = ["q", "range", "from", "to", "provider", "account", "model", "effort", "project", "tag", "history"];

/** What of a search part goes along to another usage page. Pure. */
export function carried(search: string): string {
  const kept = [...new URLSearchParams(search)].filter(([key]) => SHARED.includes(key));
  const text = new URLSearchParams(kept).toString();
  return text && `?${text}`;
}

/** Where another page is: one filter bar, so what it says goes along from one usage page to the next. Pure. */
export function going(place: string, path: string, search: string): string {
  const usage = (one: string) => USAGE_PATHS.some((page) => one === page || one.startsWith(`${page}/`));
  return usage(place) && usage(path) ? place + carried(search) : place;
}

/** The address of the rows behind a number: the shared filters of a search part and more. Pure. */
export function onward(
  path: string,
  search: string,
  more: Record<string, string | string[] | null> = {},
): string {
  return path + changed(carried(search), more);
}

/** What changes nothing in which rows a list holds, or in their order. */
const IN_PLACE = ["open", "rows", "expand", "nested", "events"];

/** The shared filters as the address has them; `fallback` is the span when it names none. */
export function useUsage(fallback = "all") {
  const address = useAddress();
  const from = moment(address.get("from"));
  const to = moment(address.get("to"));
  const named = oneOf(address.get("range"), DAY_RANGES) || (from || to ? "custom" : "");
  const range = named || fallback;
  const span = days(range, useToday(), from, to);
  const shared = {
    q: address.get("q"),
    provider: oneOf(address.get("provider"), ["codex", "claude"]),
    model: address.all("model"),
    effort: address.all("effort"),
    project: address.all("project"),
    account: address.all("account"),
    tag: address.all("tag"),
    // Archived sessions count when they are asked for: "all" in the address, nothing in a question.
    history: address.get("history") === "all" ? "" : "active",
    tz: useZone(),
    ...span,
  };
  const narrowed = Boolean(
    shared.q || shared.provider || shared.model.length || shared.effort.length || shared.project.length || shared.account.length ||
      shared.tag.length || named,
  );
  // Another filter or order is another list, which begins at its top.
  const { change: keep } = address;
  const change = useCallback(
    (next: Change, how?: { replace?: boolean }) =>
      keep(Object.keys(next).every((key) => IN_PLACE.includes(key)) ? next : { rows: null, nested: null, ...next }, how),
    [keep],
  );
  return { ...address, change, fallback, range, span, shared, narrowed, wrong: reversed(span) };
}

export type Usage = ReturnType<typeof useUsage>;

/** The shared filters as the query part of an endpoint's address. */
export function asked(usage: Usage, more: Parameters<typeof query>[0] = {}): string {
  return query({ ...usage.shared, ...more });
}

/** What takes every filter of the usage pages away. */
export const NO_FILTER: Record<string, null> = Object.fromEntries(
  [
    ...SHARED, "price", "credit", "preset", "titling", "thread", "session", "fact", "open", "sort", "direction",
    "rows", "nested",
  ].map(
    (key) => [key, null],
  ),
);

const MOST_ROWS = 20_000;

interface List {
  /** How many rows are loaded; null while they are those of another filter. */
  loaded: number | null;
  /** How many there are without asking for more. */
  first: number;
  /** Loads the next ones; null when there are none, or they are on the way. */
  more: (() => void) | null;
}

/** Keep in the address how much of a list was loaded, and load as much when it is opened again. */
export function useLoaded(usage: Usage, { loaded, first, more }: List): void {
  const wanted = Math.min(Number(usage.get("rows")) || 0, MOST_ROWS);
  const { change } = usage;
  useEffect(() => {
    if (loaded === null) return;
    if (loaded > Math.max(first, wanted)) change({ rows: String(loaded) }, { replace: true });
    else if (wanted > loaded) more?.();
  }, [loaded, first, wanted, more, change]);
}

export interface Nest {
  sort: string;
  up: boolean;
  rows: number;
}

/** How an opened thread's calls are ordered, and how many were loaded, as the address says it. Pure. */
export function nestOf(kept: string[], thread: string): Nest {
  const found = kept.find((one) => one.startsWith(`${thread}~`))?.slice(thread.length + 1) ?? "";
  const [sort = "", way = "", rows = ""] = found.split("~");
  return { sort: sort || "time", up: way === "asc", rows: Math.min(Number(rows) || 0, MOST_ROWS) };
}

/** The address' list with one thread's calls kept otherwise. Pure. */
export function nested(kept: string[], thread: string, { sort, up, rows }: Nest): string[] {
  const others = kept.filter((one) => !one.startsWith(`${thread}~`));
  if (sort === "time" && !up && !rows) return others;
  return [...others, [thread, sort, up ? "asc" : "desc", rows || ""].join("~")];
}
