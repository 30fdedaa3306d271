/** The page of one call: what the server tells of it, and the rules of how it is shown. Pure. */
import type { CallDetail } from "./api";

export interface Segment {
  kind: "start" | "retry" | "waiting" | "streaming" | "model" | "tool" | "approval";
  startMs: number;
  endMs: number;
  callId: string | null;
  name: string | null;
  success: boolean | null;
  source: "log" | "proxy" | "telemetry";
  /** How many failed, of a retry. */
  attempts: number | null;
}

export interface Turn {
  turnId: string | null;
  calls: number;
  startedAt: string;
  endedAt: string;
  segments: Segment[];
}

export interface Telemetry {
  at: string;
  model: string | null;
  user: string | null;
  inputTokens: number;
  cachedInputTokens: number;
  outputTokens: number;
  totalTokens: number;
  firstTokenMs: number | null;
  terminal: string | null;
  version: string | null;
}

export interface Deltas {
  inputTokens: number;
  cachedInputTokens: number;
  uncachedInputTokens: number;
  cacheWriteTokens: number;
  cacheWrite1hTokens: number;
  outputTokens: number;
  reasoningTokens: number | null;
  totalTokens: number;
  cacheRatio: number | null;
  costUsd: number | null;
  contextPercent: number | null;
  reading: string;
}

/** What the call's page knows beyond the list's panel. */
export interface Investigated extends CallDetail {
  deltas: Deltas | null;
  log: { file: string; offset: number; archived: boolean; missing: boolean } | null;
  telemetry: Telemetry | null;
  turn: Turn | null;
  confidence: Record<"exact" | "derived" | "estimated", string[]>;
}

export interface Entry {
  id: string;
  at: string | null;
  kind: string;
  label: string | null;
  scope: "earlier" | "call" | "after";
  text: string | null;
  chars: number | null;
  shortened: boolean;
  hidden: boolean;
  usage: Record<string, number | null> | null;
  figures: Record<string, unknown>;
  compaction: { items: number; history: { role: string; text: string | null; chars: number }[] | null } | null;
  sinceTurnMs: number | null;
  sincePreviousMs: number | null;
  durationMs: number | null;
  bytes: number;
}

export interface Evidence {
  callId: string;
  mode: "quick" | "full";
  state: string;
  sentence: string | null;
  entries: Entry[];
  log?: { file: string; offset: number; archived: boolean; packed: boolean; moved: boolean };
  omitted?: { olderEntries: number; moreBefore: boolean; longLines: number; unreadable: number };
  timing?: { entries: number; elapsedMs: number | null; slowestGapMs: number | null };
  tools?: { toolCallId: string; name: string | null; startedAt: string; endedAt: string }[];
  estimates?: {
    uncachedTokens: number;
    newVisibleTokens: number;
    candidateTokens: number;
    remainingTokens: number;
    serializedTokens: number;
    groups: { key: string; chars: number; tokens: number }[] | null;
  };
  redactions?: { total: number };
}

export const callPath = (id: string) => `/calls/${encodeURIComponent(id)}`;

/** The turn with the log's tools, where telemetry told of none; times from one beginning. */
export function wholeTurn(turn: Turn | null, tools: Evidence["tools"] = []): Turn | null {
  if (!turn || !tools.length || turn.segments.some(({ kind }) => kind === "tool")) return turn;
  const start = Date.parse(turn.startedAt);
  const end = Date.parse(turn.endedAt);
  const more: Segment[] = tools
    .map(({ name, startedAt, endedAt }) => ({
      kind: "tool" as const,
      startMs: Date.parse(startedAt) - start,
      endMs: Date.parse(endedAt) - start,
      callId: null,
      name,
      success: null,
      source: "log" as const,
      attempts: null,
    }))
    // Another turn's tool, by a clock that was set since, is none of this one.
    .filter(({ startMs, endMs }) => startMs >= -60_000 && endMs >= startMs);
  const first = Math.min(0, ...more.map(({ startMs }) => startMs));
  const segments = [...turn.segments, ...more]
    .map((part) => ({ ...part, startMs: part.startMs - first, endMs: part.endMs - first }))
    .sort((a, b) => a.startMs - b.startMs || a.endMs - b.endMs);
  const last = Math.max(end - start, ...more.map(({ endMs }) => endMs));
  return {
    ...turn,
    startedAt: new Date(start + first).toISOString(),
    endedAt: new Date(start + last).toISOString(),
    segments,
  };
}

/** How long each kind of step took in all, in the order of a turn; overlaps count once a kind. */
export function stepSums(segments: Segment[]): { kind: Segment["kind"]; ms: number }[] {
  const order: Segment["kind"][] = ["start", "retry", "waiting", "streaming", "model", "approval", "tool"];
  return order
    .map((kind) => ({ kind, ms: covered(segments.filter((part) => part.kind === kind)) }))
    .filter(({ kind }) => segments.some((part) => part.kind === kind));
}

function covered(parts: Segment[]): number {
  let sum = 0;
  let reached = -Infinity;
  for (const { startMs, endMs } of [...parts].sort((a, b) => a.startMs - b.startMs)) {
    sum += Math.max(0, endMs - Math.max(startMs, reached));
    reached = Math.max(reached, endMs);
  }
  return sum;
}
