/** The panels of the SigNoz dashboard: what the server tells of each, and where its rows are. Pure. */
import { query } from "./api";
import { dayOf } from "./format";

/** How much of a number each source has: their rows lie in two lists. */
export interface Sources {
  ledger: number | null;
  telemetry: number | null;
  /** Of tool calls: those that a log tells of. */
  log?: number;
}

export interface Item {
  name: string | null;
  value: number;
  sources?: Sources;
  /** The account that served all of a user's calls in the ledger. */
  account?: string | null;
  /** The only conversation of a user. */
  conversation?: string | null;
  succeeded?: number;
  failed?: number;
  successPercent?: number | null;
  p95Ms?: number | null;
  conversations?: number;
  tokens?: number;
}

export interface PanelPoint {
  t: string;
  v: number | null;
  /** Of the value: what only telemetry has. */
  told?: number;
}

export interface Talk {
  conversation: string | null;
  threadId?: string | null;
  title?: string | null;
  kind?: string | null;
  modelCalls: number;
  /** Of the model calls: those that only telemetry has. */
  told?: number;
  tokens?: number;
  model?: string | null;
  lastAt?: string;
  toolCalls?: number | null;
  toolsFrom?: "telemetry" | "log" | null;
  toolDurationMs?: number | null;
  durationMs?: number;
}

interface Measured {
  value?: number | null;
  items?: Item[];
  points?: PanelPoint[];
  rows?: Talk[];
  estimated?: boolean;
  /** How many rows there are; `hasMore`: the largest of them are here. */
  total?: number;
  hasMore?: boolean;
}

export interface Panel extends Measured {
  id: PanelId;
  sources?: Sources;
  literal: Measured | null;
  failed?: number;
  failedBy?: { proxy: number; telemetry: number };
  successPercent?: number | null;
  surfaces?: Item[];
  configured?: Item[];
  tools?: { points?: PanelPoint[]; value?: number | null; succeeded?: number; failed?: number };
  requests?: { points: PanelPoint[]; value: number | null };
}

export interface Coverage {
  calls: number;
  log: number;
  proxy: number;
  telemetry: number;
  telemetryOnly: number;
  telemetryPercent: number | null;
}

export type Step = "hour" | "day" | "week" | "month";

export interface PanelPage {
  from: string;
  to: string;
  step: Step;
  provider: string;
  coverage: Coverage;
  panels: Panel[];
}

const HOUR = 3_600_000;
const HALF_A_DAY = 12 * HOUR;
export const TILES = ["input", "output", "cached", "cacheRate", "conversations", "modelCalls"] as const;
export const PLACES = {
  trends: [...TILES, "models", "modelTokens", "conversationsOverTime", "tokensOverTime"],
  diagnostics: [
    "tools",
    "decisions",
    "terminals",
    "users",
    "success",
    "commandDuration",
    "conversationDetails",
  ],
  requests: ["success"],
} as const;

export type Place = keyof typeof PLACES;
export type PanelId = (typeof PLACES)[Place][number];

/** What only telemetry knows: nothing to show while it is off. */
export const TELEMETRY_ONLY: readonly PanelId[] = ["tools", "decisions", "terminals", "commandDuration"];

/** Whose panels, and of which time: both ends as the address of a page names them. */
export interface Scope {
  from: string;
  to?: string;
  provider: string;
  /** The zone that days are counted in; empty where only the server knows it. */
  tz: string;
}

/** The day that begins at a moment: without a zone's name its middle tells, in any zone half a day from ours. */
export function dayAt(time: string, tz: string): string {
  return dayOf(Date.parse(time) + (tz ? 0 : HALF_A_DAY), tz);
}

/** The hour of a point, or its first and last day, whose step ends where the next point begins. */
export function daysOf(
  points: PanelPoint[],
  index: number,
  { step, from: first, to: last }: Pick<PanelPage, "step" | "from" | "to">,
  tz: string,
): { from: string; to: string } {
  const start = points[index]?.t ?? first;
  if (step === "hour") return { from: start, to: new Date(Date.parse(start) + HOUR).toISOString() };
  const from = dayAt(start, tz);
  if (step === "day") return { from, to: from };
  const next = points[index + 1]?.t;
  return { from, to: dayOf(next ? Date.parse(next) - (tz ? 1 : HALF_A_DAY) : Date.parse(last) - 1, tz) };
}

/** The address of a list of the ledger, for the scope's time and provider. */
export function rows(path: string, scope: Scope, more: Record<string, string> = {}): string {
  const from = scope.from === "first" ? "" : scope.from;
  const range = from || scope.to ? { range: "custom", from, to: scope.to ?? "" } : { range: "all" };
  // A panel counts archived sessions, too.
  return path + query({ ...range, provider: scope.provider === ALL ? "" : scope.provider, history: "all", ...more });
}

/** The telemetry events behind a number, as the value of the address' `events`. */
export function eventsOf(more: Record<string, string>): string {
  return new URLSearchParams(more).toString();
}

/** How the list of the ledger's rows is kept in `events` beside the filters of the telemetry. */
export const BESIDE = { calls: "calls", fact: "callsFact", threads: "threads" } as const;

/** The telemetry that nobody else has, for the filters of a number. */
export function provisional(filters: Record<string, string>): Record<string, string> {
  const { user, ...rest } = filters;
  if (user === LOCAL_USER) return { has: "provisional", ...rest, lacks: "user" };
  return { has: "provisional", ...filters };
}

/** What the server calls a user whom nothing names. */
export const LOCAL_USER = "local user";

type RowsPlace = { events: Record<string, string> } | { counted: string } | { calls: Record<string, string> };

/**
 * Where the rows of a number lie: in the ledger, in the telemetry that nobody else has, or in
 * both, which have a list together.
 */
export function placeOf({ ledger, telemetry }: Sources, filters: Record<string, string>): RowsPlace {
  const { conversation, model, from, to, user } = filters;
  if (ledger && telemetry) return { counted: countedOf(filters) };
  if (telemetry) return { events: provisional(filters) };
  return {
    calls: {
      ...(conversation && { session: conversation }),
      ...(model && { model }),
      ...(from && { from }),
      ...(to && { to }),
      ...(user && { fact: `user:${user}` }),
    },
  };
}

/** The filters of the list of both sources, as the value of the address' `counted`; never empty. */
export function countedOf(filters: Record<string, string>): string {
  return new URLSearchParams(Object.keys(filters).length ? filters : { all: "1" }).toString();
}

/** Both providers together, as the server calls them. */
export const ALL = "all";

/** The event of a provider: Codex and Claude Code have names of their own; the bare one is both's. */
export function eventName(name: string, provider: string): string {
  if (provider === ALL) return name;
  return `${provider === "claude" ? "claude_code" : "codex"}.${name}`;
}

/** Which events SigNoz' own query takes for a panel, and for one item of it. */
export function literalEvents(id: PanelId, item: string | null = null): Record<string, string> {
  const column = { models: "model", modelTokens: "model", tools: "tool", users: "user", terminals: "terminal" }[
    id as string
  ];
  if (column) return { has: column, ...(item ? { [column]: item } : {}) };
  if (id === "decisions") return { has: "decision", ...(item ? { decision: item } : {}) };
  if (id === "success") return { has: "success", ...(item ? { success: String(item.startsWith("true")) } : {}) };
  if (id === "modelCalls") return { has: "callId" };
  if (id === "commandDuration" || id === "conversationDetails") return { has: "durationMs" };
  if (id === "conversations" || id === "conversationsOverTime") return { has: "conversation" };
  return { has: "tokens" };
}
