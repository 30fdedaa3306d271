import { describe, expect, test } from "vitest";
import type { Allowance } from "./api";
import { copiedLeft, lefts, leftOf } from "./parts/Sources";

const now = Date.parse("2026-11-21T12:00:00Z");

describe("what was left a whole window ago says nothing of now", () => {
  test.each([
    ["2026-11-21T11:59:00Z", 300, 71],
    ["2026-11-21T07:00:00Z", 300, 71],
    ["2026-11-21T06:59:59Z", 300, null],
    ["2026-06-21T12:00:00Z", 10_080, null],
    ["2026-06-21T12:00:00Z", null, 71],
    [null, 300, 71],
  ])("seen %s, a window of %s minutes: %s", (observedAt, windowMinutes, left) => {
    const seen = { observedAt, windowMinutes, remainingPercent: 71 } as Allowance;
    expect(leftOf(seen, now)).toBe(left);
  });
});

const window = (key: string, observedAt: string, windowMinutes: number) =>
  ({ key, name: key, observedAt, windowMinutes, remainingPercent: 100 }) as Allowance;
const copy = (key: string, capturedAt: string | null) => ({ key, label: key, remainingPercent: 79, capturedAt });

describe("of what was observed and what was copied, the newer one counts while it says something of now", () => {
  const old = window("primary", "2026-11-20T19:00:00Z", 300);
  const fresh = window("primary", "2026-11-21T11:59:00Z", 300);
  test.each([
    ["a fresh copy beside an observation of last night", [old], [copy("five_hour", "2026-11-21T11:00:00Z")], [79]],
    ["an observation after the copy", [fresh], [copy("five_hour", "2026-11-21T11:00:00Z")], [100]],
    ["both of last night", [old], [copy("five_hour", "2026-11-20T19:00:00Z")], []],
    ["a copied week beside an observed window of five hours", [fresh], [copy("weekly", "2026-11-20T11:00:00Z")], [100, 79]],
    ["a copy alone, without a time", [], [copy("weekly", null)], [79]],
    ["nothing", [], [], []],
  ])("%s", (_, windows, copied, left) => {
    expect(lefts(windows, copied, now).map((one) => one.left)).toEqual(left);
  });
  test("a copied window of no known length stands", () => {
    expect(copiedLeft(copy("spark", "2026-01-01T00:00:00Z"), now)).toBe(79);
  });
});
