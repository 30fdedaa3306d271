// A stand-in for the server while drawing pages: `node dev/mock.mjs [port]` serves dist/ and made-up data.
// It is never built into anything. The header x-scenario chooses what it plays: rich (default), empty, loading, failing, gate.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const DIST = process.env.DIST ?? fileURLToPath(new URL("../dist/", import.meta.url));
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'";
const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
};
const M = 60_000;
const H = 60 * M;
const D = 24 * H;
const iso = (ms) => new Date(Date.now() + ms).toISOString();

// One seed, so that pictures repeat.
let seed = 7;
const random = () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
const pick = (list) => list[Math.floor(random() * list.length)];

function window_(key, left, resetMs, minutes, expected, extra = {}) {
  const level = left <= 0 ? "spent" : left <= 10 ? "critical" : left <= 20 ? "low" : "ok";
  const delta = left - expected;
  return {
    key,
    name: minutes === 300 ? "5 h" : "week",
    usedPercent: 100 - left,
    remainingPercent: left,
    windowMinutes: minutes,
    resetAt: resetMs === null ? null : iso(resetMs),
    observedAt: iso(-12_000),
    stale: false,
    level,
    pace: {
      expectedRemaining: expected,
      delta,
      state: Math.abs(delta) < 2 ? "on pace" : delta > 0 ? "in reserve" : "in deficit",
      runsOutAt: delta < -2 ? iso(resetMs * 0.4) : null,
    },
    ...extra,
  };
}

function account(id, email, plan, windows, extra = {}) {
  return {
    accountId: id,
    email,
    displayName: extra.alias ?? email,
    alias: null,
    planType: plan,
    status: "active",
    statusReason: null,
    usage: {},
    blockedUntil: null,
    pausedUntil: null,
    serving: false,
    activeStreams: 0,
    priority: 0,
    routingPolicy: "normal",
    workspaceId: "ws-1",
    chatgptAccountId: id,
    credits: { has: false, unlimited: false, balance: null },
    lastUsedAt: iso(-3 * M),
    lastRefreshAt: iso(-2 * H),
    windows,
    auth: {
      access: { expiresAt: iso(50 * H), state: "ok" },
      refresh: { expiresAt: null, state: "stored" },
      idToken: { expiresAt: null, state: "parsed" },
    },
    ...extra,
  };
}

const accounts = [
  account(
    "acc-studio",
    "studio@example.com",
    "pro",
    [
      window_("primary", 71, 2 * H + 10 * M, 300, 54),
      window_("secondary", 48, 74 * H, 10080, 43),
      { ...window_("spark", 88, 60 * H, 10080, 40), name: "Spark, week" },
    ],
    { serving: true, activeStreams: 2 },
  ),
  account("acc-work", "work@example.com", "plus", [
    window_("primary", 18, H + 5 * M, 300, 40),
    window_("secondary", 62, 5 * D, 10080, 58),
  ]),
  account(
    "acc-lab",
    "lab@example.com",
    "plus",
    [window_("primary", 92, 4 * H + 20 * M, 300, 88), window_("secondary", 7, 4 * D + 6 * H, 10080, 29)],
    { alias: "Lab bench", displayName: "Lab bench" },
  ),
  account(
    "acc-spare",
    "spare@example.com",
    "plus",
    [window_("primary", 100, null, 300, 100, { pace: null }), window_("secondary", 100, 6 * D, 10080, 95)],
    { status: "paused" },
  ),
  account(
    "acc-team",
    "a.very.long.address.of.a.team@subsidiary.example.com",
    "team",
    [window_("primary", 0, 40 * M, 300, 20), window_("secondary", 33, 2 * D, 10080, 30)],
    {
      status: "rate_limited",
      blockedUntil: iso(40 * M),
      statusReason: "The provider answered 429: usage limit reached.",
    },
  ),
  account("acc-old", "old@example.com", "plus", [], {
    status: "sign_in_needed",
    statusReason: "The provider refused the stored sign-in.",
    auth: {
      access: { expiresAt: iso(-5 * D), state: "expired" },
      refresh: { expiresAt: null, state: "missing" },
      idToken: { expiresAt: null, state: "unknown" },
    },
  }),
  account("acc-week", "weekly@example.com", "free", [
    window_("secondary", 81, 3 * D, 10080, 44, { stale: true, observedAt: iso(-3 * H) }),
  ]),
];

const days = Array.from({ length: 14 }, (_, index) => {
  const cached = [12, 18, 22, 9, 4, 15, 26, 31, 24, 19, 8, 3, 27, 21][index] * 1e6;
  const fresh = [4, 5, 7, 3, 1, 4, 8, 9, 7, 5, 2, 1, 8, 6][index] * 1e6;
  const output = [1, 2, 2, 1, 0.7, 1, 2, 3, 2, 2, 1, 0.7, 3, 2][index] * 1e6;
  return {
    day: new Date(Date.now() - (13 - index) * D).toISOString().slice(0, 10),
    calls: 200 + index * 11,
    cachedInput: cached,
    uncachedInput: fresh,
    output,
    reasoningOutput: output / 3,
    costUsd: (cached * 0.13 + fresh * 1.25 + output * 10) / 1e6,
    series: {},
  };
});

const attention = [
  {
    level: "critical",
    title: "Lab bench runs out before its reset",
    text: "7% weekly left, 22 points behind an even pace.",
    href: "/accounts/acc-lab",
  },
  {
    level: "critical",
    title: "old@example.com must sign in again",
    text: "The provider refused the stored sign-in.",
    href: "/accounts/acc-old",
  },
  {
    level: "warn",
    title: "12 calls have no price",
    text: "gpt-5.4-mini is missing from the price table.",
    href: "/calls?price=unpriced",
  },
];

const overview = () => ({
  lastSyncAt: iso(-12_000),
  accounts: accounts.map(({ auth, ...rest }) => rest),
  summary: {},
  windows: {},
  trends: {},
  pool: {
    windows: [window_("primary", 60, 2 * H, 300, 50), window_("secondary", 39, 70 * H, 10080, 45)],
    accounts: {
      total: accounts.length,
      active: accounts.filter((a) => a.status === "active").length,
      paused: 1,
      blocked: 1,
      signInNeeded: 1,
    },
    state: "ok",
  },
  today: {
    calls: 342,
    threads: 9,
    tokens: 29e6,
    inputTokens: 27e6,
    cachedInputTokens: 21e6,
    outputTokens: 2e6,
    costUsd: 14.2,
    unpriced: 12,
  },
  days,
  attention,
  ledger: { calls: 30_000, files: 412, lastIndexedAt: iso(-20_000) },
});

const MODELS = ["gpt-5.5-codex", "gpt-5.5", "gpt-5.4-mini", "gpt-5.5-codex-max"];
const EFFORTS = ["low", "medium", "high", "xhigh", null];
const PROJECTS = ["brimline", "atlas", "field-notes", "billing-service"];
const TITLES = [
  "Refactor ingest so that a torn line is kept",
  "Why does the proxy wait for the second event?",
  "Write the release notes",
  "Fix flaky test in test_pump",
  "Draw the meter",
  null,
  "Move settings to one list and make every reader use it without waiting for the database",
];
const STATUSES = ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "rate_limit", "error", "cancelled", "quota"];

const calls = Array.from({ length: 30_000 }, (_, index) => {
  const input = Math.floor(20_000 + random() * 180_000);
  const cached = Math.floor(input * (0.4 + random() * 0.55));
  const output = Math.floor(100 + random() * 5_000);
  const model = pick(MODELS);
  const priced = model !== "gpt-5.4-mini";
  const source = random();
  return {
    id: `resp_${index.toString(16).padStart(6, "0")}`,
    at: iso(-index * 7 * M - random() * M),
    provider: "codex",
    sessionId: `0199-session-${index % 140}`,
    threadId: `0199-thread-${index % 90}`,
    threadTitle: TITLES[(index % 90) % TITLES.length],
    project: PROJECTS[index % PROJECTS.length],
    model,
    effort: pick(EFFORTS),
    initiator: pick(["user", "agent", "tool"]),
    durationMs: Math.floor(900 + random() * 60_000),
    inputTokens: input,
    cachedInputTokens: cached,
    uncachedInputTokens: input - cached,
    outputTokens: output,
    reasoningTokens: Math.floor(output / 3),
    totalTokens: input + output,
    cacheRatio: cached / input,
    contextPercent: (input / 272_000) * 100,
    costUsd: priced ? (cached * 0.13 + (input - cached) * 1.25 + output * 10) / 1e6 : null,
    priceStatus: priced ? (model === "gpt-5.5" ? "estimated" : "exact") : "unpriced",
    credits: priced ? input / 9000 : null,
    accountId: source > 0.3 ? pick(["acc-studio", "acc-work", "acc-lab"]) : null,
    witnesses: source > 0.6 ? ["log", "proxy"] : source > 0.3 ? ["proxy"] : ["log"],
    requestId: source > 0.3 ? `req_${index}` : null,
  };
});

const requests = Array.from({ length: 620 }, (_, index) => {
  const status = pick(STATUSES);
  const ok = status === "ok";
  const first = pick(["acc-studio", "acc-work", "acc-lab"]);
  const names = {
    "acc-studio": "studio@example.com",
    "acc-work": "work@example.com",
    "acc-lab": "Lab bench",
  };
  const over = random() > 0.85;
  const attempts = [
    {
      account: first,
      accountName: names[first],
      outcome: ok ? "done" : status,
      status: ok ? 200 : status === "cancelled" ? null : status === "error" ? 502 : 429,
      ms: 900 + Math.floor(random() * 30_000),
      reason: "most headroom",
    },
  ];
  if (over)
    attempts.unshift({
      account: "acc-team",
      accountName: "a.very.long.address.of.a.team@subsidiary.example.com",
      outcome: "usage limit reached",
      status: 429,
      ms: 312,
      reason: "sticky",
    });
  return {
    requestedAt: iso(-index * 4 * M),
    requestId: `req_${index}`,
    accountId: first,
    accountName: names[first],
    model: pick(MODELS),
    reasoningEffort: pick(EFFORTS),
    status,
    errorCode: ok
      ? null
      : {
          rate_limit: "usage_limit_reached",
          quota: "insufficient_quota",
          error: "upstream_unavailable",
          cancelled: "client_disconnected",
        }[status],
    errorMessage: ok ? null : "The provider closed the connection before the first event.",
    tokens: ok ? 84_000 + index * 13 : null,
    cachedInputTokens: ok ? 71_200 + index : null,
    inputTokens: ok ? 82_000 + index : null,
    outputTokens: ok ? 2_000 + index : null,
    reasoningTokens: ok ? 700 : null,
    costUsd: ok ? 0.0021 * (1 + (index % 40)) : null,
    latencyMs: attempts.reduce((sum, a) => sum + a.ms, 0),
    firstEventMs: ok ? 640 + (index % 17) * 90 : null,
    endpoint: pick(["/v1/responses", "/backend-api/codex/responses"]),
    httpStatus: attempts.at(-1).status,
    responseId: ok ? `resp_${index.toString(16).padStart(6, "0")}` : null,
    sessionId: `0199-session-${index % 140}`,
    reason: over ? "sticky account used up" : pick(["sticky", "most headroom"]),
    attempts,
    client: "codex_cli_rs/0.169.0",
    serviceTier: null,
    apiKeyId: null,
  };
});

let settings = {
  stickyThreadsEnabled: true,
  preferEarlierResetAccounts: false,
  routingStrategy: "capacity_weighted",
  singleAccountId: null,
  importWithoutOverwrite: false,
  apiKeyAuthEnabled: false,
  totpRequiredOnLogin: false,
  ambiguousRetry: true,
  streamsPerAccount: 32,
  usagePollSeconds: 60,
  requestLogDays: 90,
  timeZone: "",
  privacyMode: "normal",
  language: "",
  indexLogs: true,
  totpConfigured: false,
  passwordConfigured: false,
};

const sum = (rows, key) => rows.reduce((total, row) => total + (row[key] ?? 0), 0);

function callPage(query) {
  const q = query.get("q")?.toLowerCase();
  const has = (key, value) => !query.getAll(key).length || query.getAll(key).includes(value ?? "");
  const from = query.get("from");
  const to = query.get("to");
  const rows = calls.filter(
    (call) =>
      (!q ||
        `${call.threadTitle} ${call.project} ${call.model} ${call.sessionId}`.toLowerCase().includes(q)) &&
      has("model", call.model) &&
      has("effort", call.effort) &&
      has("project", call.project) &&
      has("account", call.accountId) &&
      has("thread", call.threadId) &&
      (!query.get("priceStatus") || query.get("priceStatus") === call.priceStatus) &&
      (!from || call.at.slice(0, 10) >= from) &&
      (!to || call.at.slice(0, 10) <= to),
  );
  const keys = {
    time: "at",
    tokens: "totalTokens",
    input: "inputTokens",
    cached: "cachedInputTokens",
    uncached: "uncachedInputTokens",
    output: "outputTokens",
    reasoning: "reasoningTokens",
    cost: "costUsd",
    cache: "cacheRatio",
    model: "model",
    effort: "effort",
    duration: "durationMs",
  };
  const key = keys[query.get("sort") ?? "time"];
  const sign = query.get("direction") === "asc" ? 1 : -1;
  rows.sort(
    (a, b) => sign * ((a[key] ?? "") < (b[key] ?? "") ? -1 : (a[key] ?? "") > (b[key] ?? "") ? 1 : 0),
  );
  const start = Number(query.get("cursor") || 0);
  const limit = Number(query.get("limit") ?? 50);
  const end = start + limit;
  return {
    calls: rows.slice(start, end),
    total: rows.length,
    hasMore: end < rows.length,
    nextCursor: end < rows.length ? String(end) : null,
    totals: {
      calls: rows.length,
      input: sum(rows, "inputTokens"),
      cachedInput: sum(rows, "cachedInputTokens"),
      uncachedInput: sum(rows, "uncachedInputTokens"),
      output: sum(rows, "outputTokens"),
      reasoningOutput: sum(rows, "reasoningTokens"),
      totalTokens: sum(rows, "totalTokens"),
      costUsd: sum(rows, "costUsd"),
      unpriced: rows.filter((r) => r.costUsd === null).length,
    },
  };
}

// The usage pages: threads from the calls above, trends by day.
const SORTS = {
  time: "lastAt",
  tokens: "totalTokens",
  calls: "calls",
  cost: "costUsd",
  credits: "credits",
  cache: "cacheRatio",
  context: "maxContextPercent",
  duration: "durationMs",
  attention: "attention",
};

const groupBy = (rows, pick) =>
  rows.reduce((found, row) => ((found[pick(row)] ??= []).push(row), found), {});

function threadOf(id, rows) {
  const cached = sum(rows, "cachedInputTokens");
  const input = sum(rows, "inputTokens");
  const tally = (key) =>
    Object.entries(groupBy(rows, (row) => row[key] ?? ""))
      .map(([name, list]) => ({ name: name || null, calls: list.length }))
      .sort((a, b) => b.calls - a.calls);
  const number = Number(id.split("-").at(-1));
  return {
    id,
    title: rows[0].threadTitle,
    provider: number % 7 === 3 ? "claude" : "codex",
    project: rows[0].project,
    startedAt: rows.at(-1).at,
    lastAt: rows[0].at,
    calls: rows.length,
    sessions: 1 + (number % 3),
    subagents: number % 3,
    models: tally("model"),
    efforts: tally("effort"),
    inputTokens: input,
    cachedInputTokens: cached,
    uncachedInputTokens: input - cached,
    outputTokens: sum(rows, "outputTokens"),
    reasoningTokens: sum(rows, "reasoningTokens"),
    totalTokens: sum(rows, "totalTokens"),
    costUsd: sum(rows, "costUsd"),
    unpriced: rows.filter((row) => row.costUsd === null).length,
    priceStatus: ["exact", "mixed", "estimated"][number % 3],
    credits: sum(rows, "credits"),
    cacheRatio: cached / input,
    maxContextPercent: 40 + ((number * 7) % 55),
    durationMs: sum(rows, "durationMs"),
    attention: 20 + ((number * 13) % 130),
    severity: ["review", "medium", "high"][number % 3],
    flags: [["high-cost", "large-thread"], ["low-cache"], ["context-bloat", "subagent-attribution"], []][
      number % 4
    ],
  };
}

const threads = Object.entries(groupBy(calls, ({ threadId }) => threadId)).map(([id, rows]) =>
  threadOf(id, rows),
);

function threadPage(query) {
  const key = SORTS[query.get("sort") ?? "time"];
  const sign = query.get("direction") === "asc" ? 1 : -1;
  const rows = threads
    .filter(({ project }) => !query.getAll("project").length || query.getAll("project").includes(project))
    .sort((a, b) => sign * (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0));
  const start = Number(query.get("cursor") || 0);
  const end = start + Number(query.get("limit") ?? 50);
  return {
    threads: rows.slice(start, end),
    total: rows.length,
    totals: callPage(new URLSearchParams()).totals,
    hasMore: end < rows.length,
    nextCursor: end < rows.length ? String(end) : null,
  };
}

function threadDetail(id) {
  const found = threads.find((thread) => thread.id === id);
  if (!found) return null;
  const rows = calls.filter(({ threadId }) => threadId === id).slice(0, 200);
  let total = 0;
  return {
    ...found,
    sessionList: ["main", "subagent", "subagent", "review"].map((kind, index) => ({
      id: `0199-session-${index}`,
      parentId: index ? "0199-session-0" : null,
      kind,
      role: [null, "explorer", "worker", "reviewer"][index],
      title: found.title,
      startedAt: iso(-3 * D + index * H),
      lastAt: iso(-2 * D),
      calls: 200 - index * 40,
      totalTokens: (4 - index) * 3e6,
      costUsd: index === 3 ? null : 2.4 - index / 2,
      cacheRatio: 0.9 - index / 10,
    })),
    curve: rows.reverse().map((row, index) => ({
      callId: row.id,
      at: row.at,
      cacheRatio: Math.min(0.98, row.cacheRatio),
      contextPercent: 10 + ((index * 3) % 80),
      totalTokens: row.totalTokens,
      cumulativeTokens: (total += row.totalTokens),
      costUsd: row.costUsd,
    })),
    lifecycle: [
      { key: "first-expensive-turn", callId: rows[3].id, at: rows[3].at, from: null, to: null, value: 1.32 },
      { key: "largest-jump", callId: rows[9].id, at: rows[9].at, from: null, to: null, value: 184_000 },
      { key: "cache-trend", callId: null, at: null, from: 0.62, to: 0.93, value: null },
      { key: "context-trend", callId: null, at: null, from: 12, to: 81, value: null },
      { key: "compactions", callId: null, at: null, from: null, to: null, value: 2 },
    ],
  };
}

function trendDays(query) {
  const from = query.get("from") === "first" ? "2025-06-01" : (query.get("from") ?? iso(-29 * D).slice(0, 10));
  const last = Date.parse(query.get("to") ?? iso(0).slice(0, 10));
  const by = query.get("by") ?? "kind";
  const names = {
    kind: ["cachedInput", "uncachedInput", "output", "reasoningOutput"],
    model: [...MODELS, "gpt-5.2", "o4-mini"],
    project: [...PROJECTS, "no project"],
    account: ["acc-studio", "acc-work", "acc-lab", "not through the proxy"],
  }[by];
  const found = [];
  for (let at = Date.parse(from), n = 3; at <= last; at += D, n += 1) {
    const quiet = n % 7 === 5;
    const size = quiet ? 0 : 8 + ((n * 37) % 41);
    const day = {
      day: new Date(at).toISOString().slice(0, 10),
      calls: size * 9,
      sessions: quiet ? 0 : 1 + (n % 9),
      cachedInput: size * 1e6,
      uncachedInput: size * 2.4e5,
      output: size * 6e4,
      reasoningOutput: size * 2e4,
      costUsd: quiet ? 0 : size * 0.41,
      unpriced: n % 5,
      series: {},
    };
    const all = day.cachedInput + day.uncachedInput + day.output;
    names.forEach((name, index) => {
      day.series[name] =
        by === "kind" ? (name === "output" ? day.output - day.reasoningOutput : day[name]) : all / 2 ** (index + 1);
    });
    found.push(day);
  }
  return { days: found, names };
}

const total_ = (from, to, tokens) => ({
  from,
  to,
  calls: Math.round(tokens / 9e4),
  tokens,
  sessions: Math.round(tokens / 2e7) + 1,
  daysWithUsage: 212,
  highestDay: { day: "2026-09-14", tokens: 91_204_113 },
  costUsd: tokens / 3e6,
  unpriced: 12,
});

const day_ = (n) => iso(n * D).slice(0, 10);
const trendSums = () => ({
  range: total_(day_(-29), day_(0), 918_204_551),
  ytd: total_("2026-01-01", day_(0), 6_120_934_201),
  today: total_(day_(0), day_(0), 29_204_118),
  weeks: [
    total_(day_(-5), day_(0), 201_448_901),
    total_(day_(-12), day_(-6), 318_002_554),
    total_(day_(-19), day_(-13), 122_918_007),
  ],
  providers: ["codex", "claude"],
});

const heat = () => {
  const rows = Array.from({ length: 7 }, (_, day) =>
    Array.from({ length: 24 }, (_, hour) =>
      hour < 7 || hour > 22 ? 0 : Math.round((9 - Math.abs(14 - hour)) ** 2 * (day > 4 ? 0.3 : 1) * 4e5),
    ),
  );
  return { tokens: rows, calls: rows.map((row) => row.map((value) => Math.round(value / 9e4))) };
};

const insights = () => ({
  cards: [
    ["highest-cost", "high", 1, 41.2, "usd", "highest-cost"],
    ["low-cache", "medium", 212, 0.031, "ratio", "cache-misses"],
    ["context-bloat", "high", 34, 94, "percent", "context-bloat"],
    ["usage-credits", "medium", 30_000, 4_810, "credits", "usage-credits"],
    ["unpriced", "review", 12, 1_204_551, "tokens", "pricing-gaps"],
    ["estimated", "review", 803, 92_118_004, "tokens", "estimated-review"],
    ["reasoning-spike", "medium", 9, 8_112, "tokens", "reasoning-spike"],
  ].map(([key, severity, count, value, unit, preset]) => ({
    key,
    severity,
    count,
    value,
    unit,
    preset,
    threadId: key === "highest-cost" ? threads[0].id : null,
    threadTitle: key === "highest-cost" ? threads[0].title : null,
    callId: null,
  })),
  presets: ["highest-cost", "usage-credits", "context-bloat", "cache-misses", "reasoning-spike", "pricing-gaps"].map(
    (key, index) => ({ key, view: index ? "calls" : "threads", sort: "cost", direction: "desc", count: 90 + index * 211 }),
  ),
  threads: [...threads].sort((a, b) => b.attention - a.attention).slice(0, 10),
  thresholds: {},
});

function requestPage(query) {
  const has = (key, value) => !query.getAll(key).length || query.getAll(key).includes(value);
  const search = query.get("search")?.toLowerCase();
  const rows = requests.filter(
    (r) =>
      has("accountId", r.accountId) &&
      has("model", r.model) &&
      has("status", r.status) &&
      (!query.get("since") || r.requestedAt >= query.get("since")) &&
      (!search || JSON.stringify(r).toLowerCase().includes(search)),
  );
  const offset = Number(query.get("offset") ?? 0);
  const limit = Number(query.get("limit") ?? 50);
  return {
    requests: rows.slice(offset, offset + limit),
    total: rows.length,
    hasMore: offset + limit < rows.length,
  };
}

function trend() {
  const line = (start, step, width) =>
    Array.from({ length: 28 * 8 }, (_, i) => ({
      t: iso(-28 * D + i * 3 * H),
      v: i < 20 ? null : Math.max(0, 100 - ((i * step + start) % width)),
    }));
  return { accountId: "x", primary: line(10, 13, 96), secondary: line(0, 1.7, 90), monthly: [] };
}

const EMPTY = {
  "/api/dashboard/overview": () => ({
    ...overview(),
    lastSyncAt: null,
    accounts: [],
    pool: {
      windows: [],
      accounts: { total: 0, active: 0, paused: 0, blocked: 0, signInNeeded: 0 },
      state: "empty",
    },
    today: { calls: 0, threads: 0, tokens: 0, costUsd: null, unpriced: 0 },
    days: days.map((d) => ({ ...d, calls: 0, cachedInput: 0, uncachedInput: 0, output: 0, costUsd: null })),
    attention: [],
    ledger: { calls: 0, files: 0, lastIndexedAt: null },
  }),
  "/api/accounts": () => ({ accounts: [] }),
  "/api/request-logs": () => ({ requests: [], total: 0, hasMore: false }),
  "/api/request-logs/live": () => ({ requests: [] }),
  "/api/request-logs/options": () => ({ accountIds: [], modelOptions: [], statuses: [] }),
  "/api/calls": () => ({
    calls: [],
    total: 0,
    hasMore: false,
    nextCursor: null,
    totals: {
      calls: 0,
      input: 0,
      cachedInput: 0,
      uncachedInput: 0,
      output: 0,
      reasoningOutput: 0,
      totalTokens: 0,
      costUsd: null,
      unpriced: 0,
    },
  }),
  "/api/calls/options": () => ({ models: [], efforts: [], projects: [], accounts: [] }),
};

const started = Date.now();
const revisions = { started, accounts: 1, requests: 1, calls: 1, settings: 1 };
const RICH = {
  "/api/session": () => ({ authenticated: true, required: false, methods: ["token"] }),
  "/api/live": () => ({
    revisions,
    indexing: { filesDone: 241, filesTotal: 412, bytesDone: 61e6, bytesTotal: 104e6 },
    activeStreams: 2,
    notices: [
      "usage.db was damaged. It is kept as usage.db.corrupt-20261121T031500, and the backup usage-20261121T020000.db took its place.",
    ],
  }),
  "/api/dashboard/overview": overview,
  "/api/accounts": () => ({ accounts }),
  "/api/request-logs": requestPage,
  "/api/request-logs/live": () => ({
    requests: [
      {
        requestId: "live-1",
        startedAt: iso(-41_000),
        model: "gpt-5.5-codex",
        accountId: "acc-studio",
        endpoint: "/v1/responses",
        firstEventMs: 730,
      },
      {
        requestId: "live-2",
        startedAt: iso(-1_500),
        model: "gpt-5.5",
        accountId: "acc-studio",
        endpoint: "/v1/responses",
        firstEventMs: null,
      },
    ],
  }),
  "/api/request-logs/options": () => ({
    accountIds: ["acc-lab", "acc-studio", "acc-work"],
    modelOptions: MODELS.map((model) => ({ model, reasoningEffort: "high" })),
    statuses: ["ok", "rate_limit", "quota", "error", "cancelled"],
  }),
  "/api/calls": callPage,
  "/api/calls/options": () => ({
    models: MODELS,
    efforts: EFFORTS.filter(Boolean),
    projects: PROJECTS,
    accounts: ["acc-studio", "acc-work", "acc-lab"],
  }),
  "/api/threads": threadPage,
  "/api/trends": trendDays,
  "/api/trends/summary": trendSums,
  "/api/trends/heat": heat,
  "/api/insights": insights,
  "/api/settings": () => settings,
  "/api/models": () => ({ models: MODELS.map((id) => ({ id, name: id })) }),
  "/api/scan": () => ({ files: 412, calls: 30_000, tokens: {}, skippedLines: 3 }),
};

const quiet = (answer) => ({ ...answer, indexing: null, notices: [] });

function act(method, path, body) {
  const [, , , id, verb] = path.split("/");
  const found = accounts.find((a) => a.accountId === id);
  if (method === "PUT" && path === "/api/settings") return (settings = { ...settings, ...body });
  if (path === "/api/session") return { authenticated: true, required: true, methods: ["token"] };
  if (verb === "pause")
    Object.assign(found, {
      status: "paused",
      pausedUntil: body?.until === "reset" ? iso(2 * H) : (body?.until ?? null),
    });
  if (verb === "resume") Object.assign(found, { status: "active", pausedUntil: null });
  if (verb === "alias") Object.assign(found, { alias: body.alias, displayName: body.alias || found.email });
  if (method === "PATCH") Object.assign(found, body);
  revisions.accounts += 1;
  return { account: found };
}

async function answer(request, url, scenario) {
  if (scenario === "gate" && url.pathname === "/api/session" && request.method === "GET")
    return [200, { authenticated: false, required: true, methods: ["token"] }];
  if (scenario === "loading" && !["/api/session", "/api/live"].includes(url.pathname))
    await new Promise((done) => setTimeout(done, 60_000));
  if (scenario === "failing" && !["/api/session", "/api/live"].includes(url.pathname))
    return [
      500,
      {
        error: {
          code: "internal_error",
          message: "Something went wrong inside Brimline (number 4f1a22c0); its log says more.",
        },
      },
    ];
  if (request.method !== "GET") {
    const parts = [];
    for await (const part of request) parts.push(part);
    const text = Buffer.concat(parts).toString("latin1");
    if (url.pathname.endsWith("/import"))
      return [
        400,
        {
          error: {
            code: "invalid_auth_json",
            message: "This file holds no tokens. Choose the auth.json that “codex login” wrote.",
          },
        },
      ];
    return [200, act(request.method, url.pathname, text.startsWith("{") ? JSON.parse(text) : undefined)];
  }
  if (/^\/api\/accounts\/[^/]+\/trends$/.test(url.pathname)) return [200, trend()];
  const thread = /^\/api\/threads\/(.+)$/.exec(url.pathname);
  if (thread && threadDetail(thread[1])) return [200, threadDetail(thread[1])];
  const call = /^\/api\/calls\/(resp_.+)$/.exec(url.pathname);
  if (call) {
    const row = calls.find(({ id }) => id === call[1]);
    return row
      ? [
          200,
          {
            ...row,
            previous: "resp_000009",
            next: "resp_000001",
            recommendations: [
              { key: "high-cost", severity: "high", score: 120 },
              { key: "low-cache", severity: "medium", score: 60 },
            ],
            cacheLabel: "partial",
            request: row.requestId ? (requests[Number(row.requestId.slice(4))] ?? null) : null,
          },
        ]
      : [404, { error: { code: "not_found", message: "There is no such call." } }];
  }
  const found = (scenario === "empty" && EMPTY[url.pathname]) || RICH[url.pathname];
  if (!found) return [404, { error: { code: "not_found", message: `There is nothing at ${url.pathname}.` } }];
  const body = found(url.searchParams);
  return [200, url.pathname === "/api/live" && scenario !== "busy" ? quiet(body) : body];
}

const server = createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  response.setHeader("Content-Security-Policy", CSP);
  if (url.pathname.startsWith("/api/")) {
    const [status, body] = await answer(request, url, request.headers["x-scenario"] ?? "rich");
    response.writeHead(status, { "Content-Type": "application/json", "Cache-Control": "no-store" });
    return response.end(JSON.stringify(body));
  }
  const path = join(DIST, normalize(url.pathname));
  const file =
    (extname(path) && (await readFile(path).catch(() => null))) || (await readFile(join(DIST, "index.html")));
  response.writeHead(200, { "Content-Type": TYPES[extname(path)] ?? "text/html" });
  response.end(file);
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () =>
  console.log(`http://127.0.0.1:${server.address().port}/`),
);
