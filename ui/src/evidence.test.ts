import { describe, expect, test } from "vitest";
import { stepSums, wholeTurn, type Segment, type Turn } from "./evidence";

const step = (kind: Segment["kind"], startMs: number, endMs: number): Segment => ({
  kind, startMs, endMs, callId: null, name: null, success: null, source: "log", attempts: null,
});
const START = Date.parse("2026-11-21T10:00:00Z");
const at = (ms: number) => new Date(START + ms).toISOString();
const turn = (segments: Segment[]): Turn => ({
  turnId: "t", calls: 2, startedAt: at(0), endedAt: at(5_000), segments,
});
const tool = (from: number, to: number) => ({
  toolCallId: "c", name: "exec_command", startedAt: at(from), endedAt: at(to),
});

describe("the turn of a call", () => {
  test("the log's tools fill in where telemetry told of none", () => {
    const found = wholeTurn(turn([step("model", 0, 5_000)]), [tool(5_000, 8_000)]);
    expect(found?.segments.map(({ kind, startMs, endMs }) => [kind, startMs, endMs])).toEqual([
      ["model", 0, 5_000],
      ["tool", 5_000, 8_000],
    ]);
    expect(found?.endedAt).toBe(at(8_000));
  });

  test("telemetry's tools are not counted twice", () => {
    const given = turn([step("tool", 1_000, 2_000)]);
    expect(wholeTurn(given, [tool(1_000, 2_000)])).toBe(given);
  });

  test("a tool before the first timed call moves the beginning", () => {
    const found = wholeTurn(turn([step("model", 0, 5_000)]), [tool(-2_000, -500)]);
    expect(found?.startedAt).toBe(at(-2_000));
    expect(found?.segments[0]).toMatchObject({ kind: "tool", startMs: 0, endMs: 1_500 });
    expect(found?.segments[1]).toMatchObject({ kind: "model", startMs: 2_000, endMs: 7_000 });
  });

  test("a tool of long before belongs to another turn", () => {
    const found = wholeTurn(turn([step("model", 0, 5_000)]), [tool(-900_000, -800_000)]);
    expect(found?.segments).toHaveLength(1);
  });

  test("without a turn there is none", () => {
    expect(wholeTurn(null, [tool(0, 1)])).toBeNull();
  });

  test("tools that ran at once count their time once", () => {
    const sums = stepSums([step("tool", 0, 4_000), step("tool", 1_000, 5_000), step("waiting", 0, 0)]);
    expect(sums).toEqual([
      { kind: "waiting", ms: 0 },
      { kind: "tool", ms: 5_000 },
    ]);
  });
});
