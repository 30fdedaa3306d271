/** The panels of the SigNoz dashboard: what the server tells of each, and where its rows are. Pure. */
import { query } from "./api";
import { dayOf } from "./format";

export interface Item {
  name: string | null;
  value: number;
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
}

export interface Talk {
  conversation: string | null;
  threadId?: string | null;
  title?: string | null;
  kind?: string | null;
  modelCalls: number;
  tokens?: number;
  model?: string | null;
  lastAt?: string;
  toolCalls?: number | null;
  toolDurationMs?: number | null;
  durationMs?: number;
}

interface Measured {
  value?: number | null;
  items?: Item[];
  points?: PanelPoint[];
  rows?: Talk[];
  estimated?: boolean;
}

export interface Panel extends Measured {
  id: PanelId;
  sources?: { ledger: number | null; telemetry: number | null };
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

const HALF_A_DAY = 12 * 3_600_000;
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
}

/** A day (it is one in any zone within half a day of the server's), or the day of an hour. */
export function dayAt(time: string, step: Step): string {
  return dayOf(Date.parse(time) + (step === "hour" ? 0 : HALF_A_DAY));
}

/** The first and the last day of a point, whose step ends where the next point begins. */
export function daysOf(points: PanelPoint[], index: number, page: PanelPage): { from: string; to: string } {
  const from = dayAt(points[index]?.t ?? page.from, page.step);
  if (page.step === "hour" || page.step === "day") return { from, to: from };
  const next = points[index + 1]?.t;
  return { from, to: dayOf(next ? Date.parse(next) - HALF_A_DAY : Date.parse(page.to) - 1) };
}

/** The address of a list of the ledger, for the scope's time and provider. */
export function rows(path: string, scope: Scope, more: Record<string, string> = {}): string {
  const from = scope.from === "first" ? "" : scope.from.slice(0, 10);
  const range = from || scope.to ? { range: "custom", from, to: scope.to ?? "" } : { range: "all" };
  return path + query({ ...range, provider: scope.provider, ...more });
}

/** The telemetry events behind a number, as the value of the address' `events`. */
export function eventsOf(more: Record<string, string>): string {
  return new URLSearchParams(more).toString();
}

/** The event of a provider: Codex and Claude Code have names of their own. */
export function eventName(name: string, provider: string): string {
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
