/** The server's JSON (docs/API.md) and the one way to fetch it. */
import { told, type Said } from "./told";
import { t } from "./words";

export interface Pace {
  expectedRemaining: number;
  delta: number;
  state: "on pace" | "in reserve" | "in deficit";
  runsOutAt: string | null;
}

export interface Allowance {
  key: string;
  name: string;
  usedPercent: number | null;
  remainingPercent: number | null;
  windowMinutes: number | null;
  resetAt: string | null;
  observedAt: string | null;
  stale: boolean;
  level: "ok" | "low" | "critical" | "spent" | null;
  pace: Pace | null;
}

export type AccountStatus =
  "active" | "paused" | "rate_limited" | "quota_exceeded" | "sign_in_needed" | "deactivated";

export interface TokenState {
  expiresAt?: string | null;
  state: string | null;
}

export interface Account {
  accountId: string;
  /** Null where the privacy mode hides names. */
  email: string | null;
  displayName: string;
  alias: string | null;
  planType: string | null;
  status: AccountStatus;
  statusReason: string | null;
  statusSaid?: Said | null;
  blockedUntil: string | null;
  pausedUntil: string | null;
  serving: boolean;
  activeStreams: number;
  priority: number;
  routingPolicy: string | null;
  workspaceId: string | null;
  workspaceLabel: string | null;
  chatgptAccountId: string | null;
  availableResetCredits: number | null;
  credits: { has: boolean; unlimited: boolean; balance: number | string | null } | null;
  /** A window is used up, and credits pay. */
  onCredits: boolean;
  usageError?: string | null;
  usageErrorSaid?: Said | null;
  lastUsedAt: string | null;
  lastRefreshAt: string | null;
  windows: Allowance[];
  auth?: { access: TokenState; refresh: TokenState; idToken: TokenState } | null;
}

export interface ResetCredit {
  id: string;
  status: string;
  title: string | null;
  description: string | null;
  expiresAt: string | null;
}

export interface ExplainedAccount {
  accountId: string;
  name: string;
  planType: string | null;
  state: string;
  reason: string;
  reasonSaid?: Said | null;
  sharePercent: number;
  headroomPercent: number;
  retryAt: string | null;
  activeStreams: number;
}

/** A dry run: who would serve such a request now, and why nobody else would. */
export interface Explained {
  at: string;
  strategy: string;
  limit: string | null;
  waiting: number;
  choice: {
    accountId: string | null;
    name: string | null;
    state: string;
    reason: string;
    reasonSaid?: Said | null;
    retryAt: string | null;
  };
  candidates: ExplainedAccount[];
}

export interface ExportedAuth {
  noteSaid?: Said | null;
  filename: string;
  note: string | null;
  codexAuthJson: unknown;
  opencodeAuthJson: unknown;
}

export interface Day {
  day: string;
  calls: number;
  cachedInput: number;
  uncachedInput: number;
  output: number;
  reasoningOutput: number | null;
  costUsd: number | null;
  /** How many calls have no price, and so are not in the cost. */
  unpriced: number;
  /** How many have a price that is an estimate. */
  estimated?: number;
}

export interface Attention {
  level: "critical" | "warn" | "info";
  title: string;
  titleSaid?: Said | null;
  text: string;
  textSaid?: Said | null;
  href: string | null;
}

export interface Overview {
  lastSyncAt: string | null;
  /** As many as were asked for. */
  accounts: Account[];
  /** Accounts in rotation whose allowance nobody has told yet. */
  unmeasured: number;
  pool: {
    windows: Allowance[];
    accounts: { total: number; active: number; paused: number; blocked: number; signInNeeded: number };
    state: string;
    onCredits: boolean;
  };
  today: {
    calls: number;
    threads: number;
    tokens: number;
    costUsd: number | null;
    unpriced: number;
    estimated?: number;
  };
  days: Day[];
  attention: Attention[];
  ledger: { calls: number; files: number; lastIndexedAt: string | null };
}

export interface Attempt {
  account: string | null;
  accountName?: string | null;
  outcome: string;
  outcomeSaid?: Said | null;
  status: number | null;
  ms: number | null;
  reason: string | null;
  reasonSaid?: Said | null;
}

export interface RequestRow {
  requestedAt: string;
  requestId: string;
  accountId: string | null;
  accountName: string | null;
  model: string | null;
  reasoningEffort: string | null;
  status: string;
  errorCode: string | null;
  errorMessage: string | null;
  errorSaid?: Said | null;
  tokens: number | null;
  cachedInputTokens: number | null;
  inputTokens: number | null;
  outputTokens: number | null;
  reasoningTokens: number | null;
  costUsd: number | null;
  /** How sure the cost is; null while no tokens are known. */
  priceStatus?: "exact" | "estimated" | "unpriced" | null;
  latencyMs: number | null;
  firstEventMs: number | null;
  endpoint: string | null;
  httpStatus: number | null;
  responseId: string | null;
  sessionId: string | null;
  reason: string | null;
  reasonSaid?: Said | null;
  attempts: Attempt[];
  client: string | null;
  serviceTier: string | null;
  apiKeyId: string | null;
  /** What the cost is made of; null when that is not known. */
  costParts: { uncachedInput: number; cachedInput: number; output: number } | null;
}

export interface RequestPage {
  requests: RequestRow[];
  total: number;
  hasMore: boolean;
}

export interface InFlight {
  requestId: string;
  startedAt: string;
  model: string | null;
  accountId: string | null;
  apiKeyId?: string | null;
  endpoint: string | null;
  reason?: string | null;
  reasonSaid?: Said | null;
  firstEventMs: number | null;
}

export interface CallRow {
  id: string;
  at: string;
  provider: string;
  sessionId: string | null;
  threadId: string | null;
  threadTitle: string | null;
  project: string | null;
  /** What the answer (Claude) or the request through the proxy says of its speed. */
  tier?: string | null;
  model: string | null;
  effort: string | null;
  initiator: string | null;
  /** Whose work within the thread it was, and what that helper is called. */
  kind: "main" | "subagent" | "review" | "title";
  role: string | null;
  durationMs: number | null;
  gapMs?: number | null;
  /** Of its session, this call included. */
  cumulativeTokens: number | null;
  inputTokens: number;
  cachedInputTokens: number;
  uncachedInputTokens: number;
  cacheWriteTokens: number;
  cacheWrite1hTokens: number;
  outputTokens: number;
  reasoningTokens: number | null;
  totalTokens: number;
  cacheRatio: number | null;
  contextPercent: number | null;
  costUsd: number | null;
  priceStatus: "exact" | "estimated" | "unpriced";
  credits: number | null;
  creditModel?: string | null;
  creditConfidence?: "exact" | "estimated" | "user_override" | "unpriced";
  accountId: string | null;
  witnesses: string[];
  requestId: string | null;
}

export interface CallTotals {
  calls: number;
  input: number;
  cachedInput: number;
  uncachedInput: number;
  output: number;
  reasoningOutput: number | null;
  totalTokens: number;
  costUsd: number | null;
  unpriced: number;
  estimated?: number;
  credits?: number | null;
}

export interface CallPage {
  calls: CallRow[];
  total: number;
  totals: CallTotals;
  /** How often the fact came that was asked for. */
  occurrences?: number | null;
  hasMore: boolean;
  nextCursor: string | null;
}

export interface CallDetail extends CallRow {
  previous: string | null;
  next: string | null;
  request: RequestRow | null;
  recommendations?: { key: string; severity: Severity; score: number }[];
  cacheLabel?: string | null;
  cwd?: string | null;
  /** The folder within its project. */
  relativeCwd?: string | null;
  branch?: string | null;
  tags?: string[];
  remoteLabel?: string | null;
  remoteHash?: string | null;
  priceModel?: string | null;
  priceSource?: RateSource | null;
  creditSource?: RateSource | null;
  allowanceImpact?: { key: string; percent: number }[];
}

/** A list of rates: the user's own file, or one that Brimline brings along. */
export interface RateSource {
  file: string | null;
  name: string | null;
  at: string | null;
}

/** What a span of days used; a session counts once, however many days it lasted. */
export interface Sum {
  from: string | null;
  to: string | null;
  calls: number;
  tokens: number;
  sessions: number;
  daysWithUsage: number;
  highestDay: { day: string; tokens: number } | null;
  costUsd: number | null;
  unpriced: number;
  estimated?: number;
}

export interface TrendSums {
  range: Sum;
  ytd: Sum;
  today: Sum;
  weeks: Sum[];
  providers: string[];
}

export interface TrendDay extends Day {
  sessions: number;
  series: Record<string, number>;
}

export interface Trends {
  days: TrendDay[];
  names: string[];
}

export interface Heat {
  tokens: number[][];
  calls: number[][];
}

export type Severity = "high" | "medium" | "review";

export interface ThreadRow {
  id: string;
  title: string | null;
  provider: string;
  project: string | null;
  startedAt: string;
  lastAt: string;
  calls: number;
  sessions: number;
  subagents: number;
  models: { name: string | null; calls: number }[];
  efforts: { name: string | null; calls: number }[];
  inputTokens: number;
  cachedInputTokens: number;
  uncachedInputTokens: number;
  outputTokens: number;
  reasoningTokens: number | null;
  totalTokens: number;
  costUsd: number | null;
  unpriced: number;
  estimated?: number;
  priceStatus: "exact" | "estimated" | "mixed" | "unpriced";
  credits: number | null;
  cacheRatio: number | null;
  maxContextPercent: number | null;
  durationMs: number | null;
  attention: number;
  severity: Severity;
  flags: string[];
  /** Its own session's calls, those of helpers that it started, and those attached by folder and time. */
  directCalls?: number;
  spawnedCalls?: number;
  attachedCalls?: number;
}

export interface ThreadPage {
  threads: ThreadRow[];
  /** How many threads that only find a title are not among them. */
  leftOut: number;
  total: number;
  totals: CallTotals;
  hasMore: boolean;
  nextCursor: string | null;
}

export interface ThreadSession {
  id: string;
  parentId: string | null;
  /** Whether its log names the parent, or that was told by folder and time. */
  attachment: "logged" | "inferred" | null;
  kind: "main" | "subagent" | "review" | "title";
  role: string | null;
  title: string | null;
  startedAt: string | null;
  lastAt: string | null;
  calls: number;
  totalTokens: number;
  costUsd: number | null;
  unpriced: number;
  estimated?: number;
  cacheRatio: number | null;
}

export interface CurvePoint {
  callId: string;
  /** Which call of the thread it is, from 1. */
  number: number;
  at: string;
  sessionId: string;
  cacheRatio: number | null;
  contextPercent: number | null;
  totalTokens: number;
  cumulativeTokens: number;
  costUsd: number | null;
}

export interface Lifecycle {
  key: string;
  callId: string | null;
  at: string | null;
  from: number | null;
  to: number | null;
  value: number | null;
}

export interface ThreadDetail extends ThreadRow {
  sessionList: ThreadSession[];
  /** The session that the story of cache and context is about. */
  ownSessionId: string;
  curve: CurvePoint[];
  lifecycle: Lifecycle[];
  /** Why the thread should be started afresh; null while it goes well. */
  advice?: {
    key: string;
    contextPercent: number | null;
    cacheRatio: number | null;
    carriedTokens: number;
    callId: string;
  } | null;
}

export interface Card {
  key: string;
  severity: Severity;
  count: number;
  value: number | null;
  unit: "usd" | "ratio" | "percent" | "credits" | "tokens";
  threadId: string | null;
  threadTitle: string | null;
  callId: string | null;
  preset: string | null;
  /** Of the calls behind a cost: how many have no price, and whether a price is an estimate. */
  unpriced: number;
  estimated: boolean;
}

export interface Preset {
  key: string;
  view: "calls" | "threads";
  sort: string;
  direction: "asc" | "desc";
  count: number;
}

export interface Insights {
  cards: Card[];
  presets: Preset[];
  threads: ThreadRow[];
  thresholds: Record<string, number>;
}

export interface Live {
  revisions: Record<string, number>;
  indexing: { filesDone: number; filesTotal: number; bytesDone: number; bytesTotal: number } | null;
  activeStreams: number;
  notices: string[];
  noticesSaid?: (Said | null)[];
  /** The day it is where the server counts days. */
  today: string;
  /** The zone of the settings; empty where the viewer's own counts. */
  zone?: string;
  /** Where Codex keeps its own files. */
  codexHome?: string;
  /** The admin token could be guessed. */
  shortToken?: boolean;
}

export interface Session {
  authenticated: boolean;
  required: boolean;
  methods: ("password" | "token")[];
  totpRequired?: boolean;
  csrfToken?: string | null;
}

export interface KeyLimit {
  id: number;
  limitType: "total_tokens" | "input_tokens" | "output_tokens" | "cost_usd" | "requests" | "credits";
  limitWindow: string;
  maxValue: number;
  currentValue: number;
  modelFilter: string | null;
  resetAt: string | null;
}

export interface ApiKey {
  id: string;
  name: string;
  keyPrefix: string;
  allowedModels: string[] | null;
  assignedAccountIds: string[] | null;
  expiresAt: string | null;
  isActive: boolean;
  createdAt: string | null;
  lastUsedAt: string | null;
  limits: KeyLimit[];
}

export type Settings = Record<string, unknown>;

export interface Point {
  t: string;
  v: number | null;
}

/** What the server said no with, or status 0 when nothing answered; the message is for the user. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** Called when the server no longer knows who we are. */
export const onSignedOut: { call: () => void } = { call: () => undefined };

// What a request that changes something must repeat (docs/API.md); it changes with the session.
let csrf = "";

function remember(body: unknown): void {
  const token = (body as { csrfToken?: unknown } | null)?.csrfToken;
  if (typeof token === "string") csrf = token;
}

/** Which sentence of the server's the error is, so that it can be said in the reader's language. */
function anew(response: Response): Said | null {
  try {
    return JSON.parse(response.headers.get("X-Brimline-Said") ?? "null") as Said | null;
  } catch {
    return null;
  }
}

/** Fetch JSON. Throws `ApiError` with a sentence for the user. */
export async function api<T>(path: string, init: RequestInit = {}): Promise<T> {
  const headers = new Headers(init.headers);
  if (csrf && init.method && init.method !== "GET") headers.set("X-CSRF-Token", csrf);
  const response = await fetch(path, { credentials: "same-origin", ...init, headers }).catch((error) => {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, "away", t("away.text"));
  });
  const body = await response.json().catch(() => null);
  remember(body);
  if (response.ok && (body !== null || response.status === 204)) return body as T;
  const said = body?.error as { code?: string; message?: string } | undefined;
  // A wrong password is a 401 too, but no lost session.
  if (response.status === 401 && said?.code !== "invalid_credentials") onSignedOut.call();
  throw new ApiError(
    response.status,
    said?.code ?? `http_${response.status}`,
    told(said?.message, anew(response)) || `${response.status} ${response.statusText}`.trim(),
  );
}

/** Send JSON with a method. */
export function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  return api<T>(path, {
    method,
    ...(body !== undefined && {
      body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
    }),
  });
}

/** The query part of an address; lists repeat their key, empty values are left out. */
export function query(values: Record<string, string | number | string[] | undefined>): string {
  const found = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== "") found.append(key, String(one));
    }
  }
  const text = found.toString();
  return text && `?${text}`;
}
