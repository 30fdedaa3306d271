import { describe, expect, test } from "vitest";
import type { Allowance } from "./api";
import { leftOf } from "./parts/Sources";

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
