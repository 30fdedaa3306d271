/** Server state: what is fetched, and what is fetched again when `/api/live` says it changed. */
import { QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { api, ApiError, type Live } from "./api";
import { dayOf } from "./format";
import { useNow } from "./hooks";

export type Topic = "accounts" | "requests" | "calls" | "settings" | "keys" | "telemetry" | "diagnostics";

declare module "@tanstack/react-query" {
  interface Register {
    queryMeta: { topics?: Topic[] };
    defaultError: ApiError;
  }
}

export const VISIBLE_MS = 1_000;
export const HIDDEN_MS = 60_000;

/** A client that never refetches by itself: `/api/live` says when. */
export function makeClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: Infinity,
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        // An answer that says no stays no; a server that is away gets one more try.
        retry: (failures, error) => error.status === 0 && failures < 1,
        retryDelay: 500,
      },
    },
  });
}

/** Topics whose number moved between two answers; all of them when the server started anew. */
export function moved(
  before: Record<string, number> | undefined,
  after: Record<string, number>,
): Topic[] | "all" {
  if (!before) return [];
  if (before.started !== after.started) return "all";
  const names = Object.keys(after).filter((name) => name !== "started");
  return names.filter((name) => after[name] !== before[name]) as Topic[];
}

/** Fetch anew what shows one of these topics. */
export function refetch(client: QueryClient, topics: Topic[] | "all"): void {
  void client.invalidateQueries({
    predicate: ({ meta, queryKey }) =>
      queryKey[0] !== "live" && (topics === "all" || topics.some((topic) => meta?.topics?.includes(topic))),
  });
}

function visible(): boolean {
  return document.visibilityState === "visible";
}

export function useVisible(): boolean {
  return useSyncExternalStore(
    (changed) => {
      document.addEventListener("visibilitychange", changed);
      return () => document.removeEventListener("visibilitychange", changed);
    },
    visible,
    () => true,
  );
}

const LIVE = {
  queryKey: ["live"],
  queryFn: ({ signal }: { signal: AbortSignal }) => api<Live>("/api/live", { signal }),
};

/** The zone that days are counted in: that of the settings, else the viewer's own. */
export function useZone(): string {
  return useQuery({ ...LIVE, enabled: false }).data?.zone || viewersZone();
}

/** What the server says of itself, as of its last pulse. */
export function useServer(): { codexHome: string; shortToken: boolean } {
  const { codexHome = "~/.codex", shortToken = false } = useQuery({ ...LIVE, enabled: false }).data ?? {};
  return { codexHome, shortToken };
}

/** The browser's zone; empty (the server's is meant) where it knows none. */
function viewersZone(): string {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  return zone === "Etc/Unknown" ? "" : zone;
}

/** Today in the zone that days are counted in. */
export function useToday(): string {
  const now = useNow();
  const live = useQuery({ ...LIVE, enabled: false }).data;
  return live?.zone ? live.today : dayOf(now);
}

/** The pulse of the page: revisions, indexing, notices; and whether the server is away. */
export function useLive(): { live: Live | undefined; away: boolean } {
  const client = useQueryClient();
  const seen = useVisible();
  const found = useQuery({
    ...LIVE,
    staleTime: 0,
    refetchInterval: seen ? VISIBLE_MS : HIDDEN_MS,
    refetchIntervalInBackground: true,
    refetchOnWindowFocus: true,
    retry: false,
  });
  const before = useRef<Record<string, number> | undefined>(undefined);
  const wasAway = useRef(false);
  const away = found.isError && found.error.status !== 401;
  const revisions = found.data?.revisions;
  useEffect(() => {
    if (away) wasAway.current = true;
    else if (wasAway.current && found.isSuccess) {
      wasAway.current = false;
      refetch(client, "all");
    }
  }, [away, found.isSuccess, client]);
  useEffect(() => {
    if (!revisions) return;
    const topics = moved(before.current, revisions);
    before.current = revisions;
    if (topics.length) refetch(client, topics);
  }, [revisions, client]);
  return { live: found.data, away };
}
