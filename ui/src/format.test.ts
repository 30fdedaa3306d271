import { describe, expect, test } from "vitest";
import { ticks } from "./axis";
import { cell, csv } from "./csv";
import * as show from "./format";

const now = Date.parse("2026-11-21T12:00:00");
const at = (ms: number) => new Date(now + ms).toISOString();
const M = 60_000;
const H = 60 * M;

describe("unknown is a dash, never zero", () => {
  test.each([show.count, show.money, show.percent, show.duration, show.compact, show.share, show.credits])(
    "%o",
    (shown) => {
      expect(shown(null)).toBe("–");
      expect(shown(undefined)).toBe("–");
    },
  );
  test("a reset that is not known or has passed", () => {
    expect(show.reset(null, now)).toBe("–");
    expect(show.reset(at(-1), now)).toBe("–");
  });
});

test.each([
  [0, "0"],
  [12_345, "12,345"],
  [999_999_999, "999,999,999"],
  [2_512_000_000, "2.51 B"],
])("count %d", (n, shown) => expect(show.count(n)).toBe(shown));

test.each([
  [0, "0"],
  [999, "999"],
  [1500, "1.5 k"],
  [40_000_000, "40 M"],
  [999_600, "1 M"],
  [1_250_000_000, "1.25 B"],
])("compact %d", (n, shown) => expect(show.compact(n)).toBe(shown));

test.each([
  ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5"],
  ["claude-haiku-4-5@20251001", "claude-haiku-4-5"],
  ["claude-opus-4-6", "claude-opus-4-6"],
  ["gpt-6.1-sol", "gpt-6.1-sol"],
  [null, "–"],
])("a model's name %s", (name, shown) => expect(show.modelName(name)).toBe(shown));

test.each([
  [0, "$0.00"],
  [0.00001, "<$0.0001"],
  [0.0042, "$0.0042"],
  [0.01, "$0.01"],
  [14.2, "$14.20"],
  [1234.5, "$1,234.50"],
])("money %d", (n, shown) => expect(show.money(n)).toBe(shown));

test.each([
  [0, "0%"],
  [0.3, "<1%"],
  [18.4, "18%"],
  [99.6, "99%"],
  [100, "100%"],
])("percent %d: what is left is never shown as nothing, nor what is gone as all", (n, shown) =>
  expect(show.percent(n)).toBe(shown),
);

test.each([
  [870, "870 ms"],
  [12_340, "12.3 s"],
  [90_000, "1 m 30 s"],
  [2 * H + 10 * M, "2 h 10 m"],
  [50 * H, "2 d 2 h"],
])("duration %d", (n, shown) => expect(show.duration(n)).toBe(shown));

test.each([
  [2 * H + 10 * M, "2 h 10 m"],
  [H + 5 * M, "1 h 05 m"],
  [9 * M - 1000, "9 m"],
])("a reset within a day counts down %d", (n, shown) => expect(show.reset(at(n), now)).toBe(shown));

test("a reset beyond a day is a weekday, beyond a week a date", () => {
  expect(show.reset(at(45 * H), now)).toBe("Mon 09:00");
  expect(show.reset(at(12 * 24 * H), now)).toBe("Dec 3 12:00");
  // Six days and some hours on it is the same weekday as now: alone it would mean today.
  expect(show.reset(at(6 * 24 * H + 6 * H), now)).toBe("Fri 18:00");
  expect(show.reset(at(6 * 24 * H + 14 * H), now)).toMatch(/Nov 28/);
});

test.each([
  [0, "just now"],
  [12_000, "12 s ago"],
  [5 * M, "5 m ago"],
  [3 * H, "3 h ago"],
  [49 * H, "2 d ago"],
])("ago %d", (n, shown) => expect(show.ago(at(-n), now)).toBe(shown));

test("a day is a name that no time zone moves", () => expect(show.day("2026-11-08")).toBe("Nov 8"));

test.each([
  [0, [0]],
  [43_000_000, [0, 10e6, 20e6, 30e6, 40e6]],
  [38, [0, 10, 20, 30]],
])("ticks to %d", (most, found) => expect(ticks(most)).toEqual(found));

test.each([
  ["=1+1", "'=1+1"],
  ["@x", "'@x"],
  [-5, "-5"],
  ['say "a,b"', '"say ""a,b"""'],
  [null, ""],
])("a cell %j does a spreadsheet no harm", (value, shown) => expect(cell(value)).toBe(shown));

test("csv has a heading and RFC 4180 line ends", () =>
  expect(csv(["a", "b"], [[1, "x"]])).toBe("a,b\r\n1,x\r\n"));

describe("a zone that was chosen", () => {
  const moment = "2026-11-21T23:30:00Z";
  const later = Date.parse("2026-11-22T01:00:00Z");
  test.each([
    ["Asia/Kathmandu", "05:15:00", "2026-11-22"],
    ["America/Los_Angeles", "15:30:00", "2026-11-21"],
  ])("%s", (zone, time, day) => {
    show.inZone(zone);
    expect(show.stamp(moment, later)).toBe(time);
    expect(show.clock(Date.parse(moment))).toBe(time.slice(0, 5));
    expect(show.full(moment)).toContain(time);
    expect(show.dayOf(Date.parse(moment))).toBe(day);
    expect(show.day("2026-11-08")).toBe("Nov 8");
    show.inZone("");
  });
  test("one that this browser does not know is the browser's own", () => {
    const own = show.full(moment);
    show.inZone("Mars/Base");
    expect(show.full(moment)).toBe(own);
    show.inZone("");
  });
});
