/** What the diagnostics say (docs/API.md, “Diagnostics”), and the ways to ask. */
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { api, query, send } from "./api";
import { refetch } from "./live";
import { onward, type Usage } from "./usage";

export interface Fact {
  fact_type: string;
  fact_name: string;
  occurrences: number;
  associated_calls: number;
  associated_total_tokens: number;
  associated_uncached_input_tokens: number;
  associated_output_tokens: number;
  avg_cache_ratio: number | null;
  largest_call_tokens: number;
  largest_record_id: string | null;
  action_hint: string | null;
}

export interface Snapshot {
  computed_at: string;
  source_logs_scanned: number;
  usage_rows_scanned: number;
}

interface Section {
  status: "ready" | "missing";
  snapshot: Snapshot | null;
  notes: string[];
}

export interface Told {
  calls: number;
  outputs: number;
  outputs_with_original_token_count: number;
  outputs_missing_original_token_count: number;
  original_token_sum: number | null;
}

export interface PathRow {
  path_label: string;
  path_hash: string;
}

export interface Overview extends Section {
  usage_rows: number;
  session_count: number;
  thread_count: number;
  total_tokens: number;
  uncached_input_tokens: number;
  cache_ratio: number | null;
  diagnostic_fact_rows: number;
}

export interface ToolOutput extends Section {
  summary: { function_calls?: number };
  functions: (Told & { function: string })[];
  command_roots: (Told & { root: string })[];
}

export interface Commands extends Section {
  commands: { root: string; total: number; children: { child: string; count: number }[] }[];
}

export interface Git extends Section {
  interactions: {
    root: string;
    operation: string;
    category: string;
    mutability: string;
    calls: number;
    original_token_sum: number | null;
  }[];
}

/** One tool run of many, and the call that it belongs to. */
export interface Occasion {
  path_label: string;
  record_id: string;
  event_timestamp: string;
}

export interface Reads extends Section {
  top_paths: (PathRow & { read_events: number; original_token_sum: number | null })[];
  largest_commands: (Occasion & { reader: string; paths: number; original_token_sum: number })[];
}

export interface Changes extends Section {
  top_paths: (PathRow & { modifications: number })[];
  by_extension: { extension: string; modifications: number; unique_paths: number }[];
  largest_events: (Occasion & { path_count: number })[];
}

interface Yield {
  read_events: number;
  productive_read_events: number;
  productive_read_pct: number | null;
}

export interface Productivity extends Section {
  summary: Partial<Yield>;
  readers: (Yield & { reader: string })[];
}

export interface Group {
  label?: string;
  project?: string;
  session?: string;
  total_tokens: number;
  input_tokens: number;
  cached_input_tokens: number;
  uncached_input_tokens: number;
  output_tokens: number;
  reasoning_output_tokens: number;
  calls: number;
  estimated_cost_usd: number | null;
  usage_credits: number | null;
  share: number | null;
}

export interface Dimension {
  dimension: "source_log" | "cwd" | "day";
  group_count: number;
  top_1_share: number | null;
  top_3_share: number | null;
  top_5_share: number | null;
  effective_group_count: number | null;
  top_rows: Group[];
}

export interface Concentration extends Section {
  dimensions: Dimension[];
}

export interface Status {
  running: boolean;
  progress: { filesDone: number; filesTotal: number; bytesDone: number; bytesTotal: number } | null;
  computedAt: string | null;
  error: string | null;
}

/** The page's filters as the routes want them; archived sessions count when the page counts them. */
function asked(usage: Usage): string {
  return query({ ...usage.shared, include_archived: usage.shared.history ? "0" : "1" });
}

/** One section, as it is stored, or computed for the filters. */
export function useSection<T extends Section>(name: string, usage: Usage) {
  const search = asked(usage);
  return useQuery({
    queryKey: ["diagnostics", name, search],
    queryFn: ({ signal }) => api<T>(`/api/diagnostics/${name}${search}`, { signal }),
    meta: { topics: ["diagnostics", "settings"] },
    placeholderData: keepPreviousData,
    enabled: !usage.wrong,
  });
}

/** Every fact; there are as many as there are names, so the page sorts and narrows them itself. */
export function useFacts(usage: Usage) {
  const search = asked(usage);
  return useQuery({
    queryKey: ["diagnostics", "facts", search],
    queryFn: ({ signal }) => api<{ rows: Fact[] }>(`/api/diagnostics/facts${search}&limit=0`, { signal }),
    meta: { topics: ["diagnostics", "settings"] },
    placeholderData: keepPreviousData,
    enabled: !usage.wrong,
  });
}

const POLL_MS = 400;

/** How a refresh stands, and the way to ask for one; what it made is fetched when it is done. */
export function useRefresh() {
  const client = useQueryClient();
  const status = useQuery({
    queryKey: ["diagnostics-status"],
    queryFn: ({ signal }) => api<Status>("/api/diagnostics/status", { signal }),
    meta: { topics: ["diagnostics", "calls"] },
    refetchInterval: ({ state }) => (state.data?.running ? POLL_MS : false),
  });
  const running = status.data?.running ?? false;
  const before = useRef(running);
  useEffect(() => {
    if (before.current && !running) refetch(client, ["diagnostics"]);
    before.current = running;
  }, [running, client]);
  const ask = useMutation({
    mutationFn: () => send<Status>("POST", "/api/diagnostics/refresh", { wait: false }),
    onSuccess: (now) => client.setQueryData(["diagnostics-status"], { ...now, running: true }),
  });
  return { status: status.data, running: running || ask.isPending, error: ask.error, refresh: () => ask.mutate() };
}

/** The calls behind a number: those of the page's filters that have this fact. */
export function behind(usage: Usage, type: string, name: string): string {
  return onward("/calls", usage.search, { fact: `${type}:${name}` });
}
