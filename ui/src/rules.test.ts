import { describe, expect, test } from "vitest";
import { lane, paceText, planName, statusText, unusualName, windowName } from "./allowance";
import { query, type Account, type Allowance, type ApiKey } from "./api";
import { moved } from "./live";
import { cacheAdvice } from "./calls";
import { chosenOf } from "./parts/Columns";
import { joined, numbered } from "./parts/Trend";
import { keyName } from "./pages/Requests";
import { days, reversed, since } from "./range";
import { changed } from "./url";

const now = Date.parse("2026-11-21T12:00:00");
const today = "2026-11-21"; // a Saturday

const allowance = (key: string, minutes: number | null, more: Partial<Allowance> = {}): Allowance => ({
  key,
  name: key,
  usedPercent: 40,
  remainingPercent: 60,
  windowMinutes: minutes,
  resetAt: null,
  observedAt: null,
  stale: false,
  level: "ok",
  pace: null,
  ...more,
});

describe("a lane shows the short window and the long one", () => {
  const [five, week, month, spark] = [
    allowance("primary", 300),
    allowance("secondary", 10080),
    allowance("monthly", 43200),
    allowance("codex_spark:primary", 300),
  ];
  test.each([
    ["both", [five, week], [five, week]],
    ["a plan without a 5-hour window", [week], [undefined, week]],
    ["a monthly plan", [month], [undefined, month]],
    ["a model's own window is not the account's", [spark, week], [undefined, week]],
    ["nothing known", [], [undefined, undefined]],
  ])("%s", (_, windows, shown) => expect(lane(windows)).toEqual(shown));
});

test.each([
  [allowance("primary", 300), "primary", "5-hour"],
  [allowance("secondary", 10080), "secondary", "weekly"],
  [undefined, "secondary", "weekly"],
  [allowance("monthly", 43200), "secondary", "monthly"],
  [allowance("primary", 4320, { name: "3 d" }), "primary", "3 d"],
  [allowance("codex_spark:primary", 300, { name: "Spark · 5 h" }), "primary", "Spark · 5-hour"],
  [allowance("codex_spark:primary", 4320, { name: "Spark · 3 d" }), "primary", "Spark · 3 d"],
  [allowance("odd:primary", 300, { name: "Odd" }), "primary", "Odd"],
] as const)("a window is named by its length %#", (window, slot, name) =>
  expect(windowName(window, slot)).toBe(name),
);

test.each([
  ["a month where a week stands", allowance("monthly", 43200), "secondary", "monthly"],
  ["a week in its place", allowance("secondary", 10080), "secondary", null],
  ["five hours in their place", allowance("primary", 300), "primary", null],
  ["a short window of another length", allowance("primary", 4320, { name: "3 d" }), "primary", "3 d"],
] as const)("%s", (_, window, slot, name) => expect(unusualName(window, slot)).toBe(name));

test("pace says points and whether it lasts", () => {
  const pace = {
    expectedRemaining: 40,
    delta: -22.4,
    state: "in deficit",
    runsOutAt: "2026-11-21T16:00:00",
  } as const;
  expect(paceText(allowance("primary", 300, { pace }), now)).toBe(
    "22 points behind an even pace, runs out 16:00",
  );
  expect(paceText(allowance("primary", 300), now)).toBe("too early to tell");
});

test.each([
  ["paused", { pausedUntil: "2026-11-21T13:00:00" }, "paused until 13:00"],
  ["paused", {}, "paused"],
  ["rate_limited", { blockedUntil: "2026-11-23T09:00:00" }, "rate limited until Mon 09:00"],
  ["active", { blockedUntil: "2026-11-23T09:00:00" }, "active"],
] as const)("the state %s says when it ends", (status, more, text) => {
  const account = { status, pausedUntil: null, blockedUntil: null, ...more } as unknown as Account;
  expect(statusText(account, now)).toBe(text);
});

test.each([
  [null, "plan unknown"],
  ["plus", "Plus"],
  ["prolite", "Pro Lite"],
])("plan %s", (plan, name) => expect(planName(plan)).toBe(name));

test.each([
  ["all", {}],
  ["today", { from: "2026-11-21", to: "2026-11-21" }],
  ["7d", { from: "2026-11-15", to: "2026-11-21" }],
  ["week", { from: "2026-11-16", to: "2026-11-21" }],
  ["month", { from: "2026-11-01", to: "2026-11-21" }],
  ["nonsense", {}],
])("the range %s in days", (range, span) => expect(days(range, today)).toEqual(span));

test("a custom range may be open at either end, and may not end before it starts", () => {
  expect(days("custom", today, "2026-11-02", "")).toEqual({ from: "2026-11-02" });
  expect(reversed({ from: "2026-11-02", to: "2026-11-01" })).toBe(true);
  expect(reversed({ from: "2026-11-02" })).toBe(false);
});

test("a sliding range starts that long ago; all time has no start", () => {
  expect(since("1h", now)).toBe(new Date(now - 3_600_000).toISOString());
  expect(since("all", now)).toBeUndefined();
});

test.each([
  ["the first answer changes nothing", undefined, { started: 1, calls: 4 }, []],
  [
    "only what moved",
    { started: 1, calls: 4, accounts: 2 },
    { started: 1, calls: 5, accounts: 2 },
    ["calls"],
  ],
  ["a topic that is new", { started: 1 }, { started: 1, requests: 1 }, ["requests"]],
  ["a server started anew changes all", { started: 1, calls: 9 }, { started: 2, calls: 1 }, "all"],
])("%s", (_, before, after, topics) => expect(moved(before, after)).toEqual(topics));

test.each([
  ["set", "?a=1", { b: "2" }, "?a=1&b=2"],
  ["repeat", "", { model: ["x", "y"] }, "?model=x&model=y"],
  ["take away", "?a=1&b=2", { a: null, b: "" }, ""],
])("an address: %s", (_, search, change, found) => expect(changed(search, change)).toBe(found));

test("a query leaves out what is not asked", () =>
  expect(query({ q: "", limit: 1, model: ["a", "b"], since: undefined })).toBe("?limit=1&model=a&model=b"));

test("lines of different times share one axis; a moment of another line is no gap", () => {
  const a = {
    name: "a",
    points: [
      { t: "1970-01-01T00:00:01Z", v: 5 },
      { t: "1970-01-01T00:00:03Z", v: null },
    ],
  };
  const b = { name: "b", points: [{ t: "1970-01-01T00:00:02Z", v: 7 }] };
  expect(joined([a, b])).toEqual([
    [1, 2, 3],
    [5, undefined, null],
    [undefined, 7, undefined],
  ]);
});

test("calls of one moment stay apart, each at its own number", () => {
  const at = "1970-01-01T00:00:01Z";
  const points = [
    { t: at, v: 5 },
    { t: at, v: null },
  ];
  const calls = [
    { number: 3, at },
    { number: 1200, at },
  ];
  expect(numbered([{ name: "a", points }], calls)).toEqual([
    [3, 1200],
    [5, null],
  ]);
});

test.each([
  ["no break, no word of one", "cold", 2000, "Almost nothing"],
  ["a long break", "cold", 3600_000, "After a long break"],
  ["nothing came before", "cold", null, "first call"],
])("a cold cache: %s", (_, cacheLabel, gapMs, words) => expect(cacheAdvice({ cacheLabel, gapMs })).toContain(words));

describe("a stored choice of columns counts as far as the table has them", () => {
  const known = [{ key: "model" }, { key: "cost" }];
  test.each([
    ["", []],
    ["cost,model", ["cost", "model"]],
    ["rubbish", []],
    ["rubbish,cost,,{}", ["cost"]],
  ])("%j", (stored, chosen) => expect(chosenOf(stored, known)).toEqual(chosen));
});

describe("a request's key has its name", () => {
  const keys = [{ id: "k1", name: "laptop" }] as ApiKey[];
  test.each([
    ["known", keys, "k1", "laptop"],
    ["deleted since", keys, "k2", "deleted key"],
    ["none", keys, null, null],
    ["not loaded yet", undefined, "k1", null],
  ])("%s", (_, known, id, name) => expect(keyName(known, id)).toBe(name));
});
