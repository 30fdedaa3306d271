import { describe, expect, test } from "vitest";
import { dayOf } from "./format";
import { dayAt, daysOf, LOCAL_USER, placeOf, type Step } from "./panels";

describe("days are those of the viewer's zone, wherever the browser is", () => {
  const midnight = "2026-11-20T13:00:00.000Z"; // in Auckland
  for (const [zone, day] of [
    ["Pacific/Auckland", "2026-11-21"],
    ["Pacific/Honolulu", "2026-11-20"],
    ["Asia/Kolkata", "2026-11-20"],
  ] as const)
    test(zone, () => expect(dayOf(Date.parse(midnight), zone)).toBe(day));

  test("a zone that the browser does not know is the browser's", () =>
    expect(dayOf(Date.parse(midnight), "Mars/Base")).toBe(dayOf(Date.parse(midnight))));

  test("without a zone's name the middle of the day tells", () =>
    expect(dayAt(midnight, "")).toBe(dayOf(Date.parse(midnight) + 12 * 3_600_000)));
});

describe("a step of a chart leads to its own days", () => {
  const tz = "Pacific/Auckland";
  const points = ["2026-09-24T12:00:00Z", "2026-09-26T12:00:00Z", "2026-09-27T11:00:00Z"].map((t) => ({ t, v: 1 }));
  const shown = (step: Step, index: number) =>
    daysOf(points, index, { step, from: "2026-09-25T11:59:00Z", to: "2026-09-28T11:00:00Z" }, tz);

  test("a day", () => expect(shown("day", 0)).toEqual({ from: "2026-09-25", to: "2026-09-25" }));
  test("a day of 23 hours", () => expect(shown("day", 1)).toEqual({ from: "2026-09-27", to: "2026-09-27" }));
  test("until the next step", () => expect(shown("week", 0)).toEqual({ from: "2026-09-25", to: "2026-09-26" }));
  test("the last until the end", () => expect(shown("month", 2)).toEqual({ from: "2026-09-28", to: "2026-09-28" }));
  test("an hour is one", () =>
    expect(shown("hour", 0)).toEqual({ from: "2026-09-24T12:00:00Z", to: "2026-09-24T13:00:00.000Z" }));
});

describe("a number leads to the rows that it was counted from", () => {
  const of = (ledger: number, telemetry: number, filters: Record<string, string> = {}) => placeOf({ ledger, telemetry }, filters);

  test("the ledger's are calls", () => expect(of(3, 0, { model: "m", conversation: "c" })).toEqual({ calls: { session: "c", model: "m" } }));
  test("a user's are that user's calls", () => expect(of(3, 0, { user: "u" })).toEqual({ calls: { fact: "user:u" } }));
  test("those of telemetry alone are events", () =>
    expect(of(0, 2, { model: "m" })).toEqual({ events: { has: "provisional", model: "m" } }));
  test("whom nothing names has events without a user", () =>
    expect(of(0, 2, { user: LOCAL_USER })).toEqual({ events: { has: "provisional", lacks: "user" } }));
  test("both have one list", () => expect(of(3, 2, { model: "m", from: "2026-09-25" })).toEqual({ counted: "model=m&from=2026-09-25" }));
  test("also of everything", () => expect(of(3, 2)).toEqual({ counted: "all=1" }));
});
