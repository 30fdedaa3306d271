/** The filters that every usage page shares and carries along in the address. */
import { query } from "./api";
import { useToday, useZone } from "./live";
import { days, reversed } from "./range";
import { changed, useAddress } from "./url";

/** The pages that one filter bar serves. */
export const USAGE_PATHS = ["/trends", "/insights", "/calls", "/threads", "/diagnostics"];

const SHARED = ["range", "from", "to", "provider", "account", "model", "project", "tag", "history"];

/** What of a search part goes along to another usage page. Pure. */
export function carried(search: string): string {
  const kept = [...new URLSearchParams(search)].filter(([key]) => SHARED.includes(key));
  const text = new URLSearchParams(kept).toString();
  return text && `?${text}`;
}

/** The address of a page with the shared filters of a search part and more. Pure. */
export function onward(
  path: string,
  search: string,
  more: Record<string, string | string[] | null> = {},
): string {
  return path + changed(carried(search), more);
}

/** The shared filters as the address has them; `fallback` is the span when it names none. */
export function useUsage(fallback = "all") {
  const address = useAddress();
  const named = address.get("range") || (address.get("from") || address.get("to") ? "custom" : "");
  const range = named || fallback;
  const span = days(range, useToday(), address.get("from"), address.get("to"));
  const shared = {
    provider: address.get("provider"),
    model: address.all("model"),
    project: address.all("project"),
    account: address.all("account"),
    tag: address.all("tag"),
    history: address.get("history") === "active" ? "active" : "",
    tz: useZone(),
    ...span,
  };
  const narrowed = Boolean(
    shared.provider || shared.model.length || shared.project.length || shared.account.length ||
      shared.tag.length || shared.history || named,
  );
  return { ...address, fallback, range, span, shared, narrowed, wrong: reversed(span) };
}

export type Usage = ReturnType<typeof useUsage>;

/** The shared filters as the query part of an endpoint's address. */
export function asked(usage: Usage, more: Parameters<typeof query>[0] = {}): string {
  return query({ ...usage.shared, ...more });
}

/** What takes every filter of the usage pages away. */
export const NO_FILTER: Record<string, null> = Object.fromEntries(
  [...SHARED, "q", "effort", "price", "credit", "preset", "thread", "session", "fact", "open", "sort", "direction"].map(
    (key) => [key, null],
  ),
);
