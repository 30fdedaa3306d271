/** The address is the state of a page: filters, sort, page and what is open. */
import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";

export type Change = Record<string, string | string[] | null>;

/** A search part with some values changed; null or empty takes a key away. Pure. */
export function changed(search: string, change: Change): string {
  const found = new URLSearchParams(search);
  for (const [key, value] of Object.entries(change)) {
    found.delete(key);
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one) found.append(key, one);
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}

/** Read and change the search part. A change is a step back can undo, unless it is typing. */
export function useAddress() {
  const [path, go] = useLocation();
  const search = useSearch();
  const values = useMemo(() => new URLSearchParams(search), [search]);
  const change = useCallback(
    (next: Change, { replace = false } = {}) => {
      // Read now: two changes in one event must not undo each other.
      const to = location.pathname + changed(location.search, next);
      if (to !== location.pathname + location.search) go(to, { replace });
    },
    [go],
  );
  return {
    path,
    search,
    get: (key: string) => values.get(key) ?? "",
    all: (key: string) => values.getAll(key),
    change,
  };
}
