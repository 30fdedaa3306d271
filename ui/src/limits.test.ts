import { describe, expect, test } from "vitest";
import type { KeyLimit } from "./api";
import { amount, left, level, problem, rowOf, ruleOf, simple, usedText, type Row } from "./limits";

describe("an amount is read as people write it", () => {
  test.each([
    ["500000", "total_tokens", 500_000],
    ["500,000", "total_tokens", 500_000],
    ["500.000", "total_tokens", 500_000],
    ["1 500 000", "requests", 1_500_000],
    ["1.5 M", "total_tokens", 1_500_000],
    ["2k", "requests", 2_000],
    ["1,25 M", "input_tokens", 1_250_000],
    ["2.5", "cost_usd", 2_500_000],
    ["$2,50", "cost_usd", 2_500_000],
    ["1,500.25", "cost_usd", 1_500_250_000],
    ["1,500", "cost_usd", 1_500_000_000],
    ["0.5", "credits", 500_000],
    ["1.5", "requests", null],
    ["0", "requests", null],
    ["-3", "requests", null],
    ["lots", "requests", null],
    ["", "cost_usd", null],
    ["1..5", "cost_usd", null],
    ["99999999999999999", "requests", null],
  ] as const)("%s as %s", (text, measure, value) => expect(amount(text, measure)).toBe(value));
});

const limit = (more: Partial<KeyLimit> = {}): KeyLimit => ({
  id: 1,
  limitType: "cost_usd",
  limitWindow: "weekly",
  maxValue: 5_000_000,
  currentValue: 1_200_000,
  modelFilter: null,
  resetAt: "2026-11-28T00:00:00Z",
  ...more,
});

test("what is stored, shown in the form and stored again is the same", () => {
  const { limitType, limitWindow, maxValue, modelFilter } = limit();
  expect(ruleOf(rowOf(limit()))).toEqual({ limitType, limitWindow, maxValue, modelFilter });
});

test.each([
  [limit(), "$1.20 of $5.00", 76, "ok"],
  [limit({ currentValue: 4_600_000 }), "$4.60 of $5.00", 8, "critical"],
  [limit({ limitType: "requests", maxValue: 100, currentValue: 100 }), "100 of 100 requests", 0, "spent"],
  [limit({ limitType: "total_tokens", maxValue: 10, currentValue: 12 }), "12 of 10 tokens", 0, "spent"],
] as const)("a limit in words %#", (one, text, percent, step) => {
  expect(usedText(one)).toBe(text);
  expect(Math.round(left(one))).toBe(percent);
  expect(level(one)).toBe(step);
});

const row = (more: Partial<Row> = {}): Row => ({
  measure: "total_tokens",
  amount: "1 M",
  window: "weekly",
  model: "",
  ...more,
});

test("the simple form shows tokens and dollars of a week, one of each", () => {
  expect(simple([])).toBe(true);
  expect(simple([row(), row({ measure: "cost_usd" })])).toBe(true);
  expect(simple([row(), row()])).toBe(false);
  expect(simple([row({ window: "daily" })])).toBe(false);
  expect(simple([row({ model: "gpt-5.5" })])).toBe(false);
  expect(simple([row({ measure: "requests" })])).toBe(false);
});

test("two limits on the same thing are said", () => {
  expect(problem(row(), [row()])).toBe("");
  expect(problem(row(), [row(), row()])).toContain("twice");
  expect(problem(row({ amount: "x" }), [row()])).toContain("number");
});
