import { expect, test } from "vitest";
import type { Attempt, RequestRow } from "./api";
import { phases, spans } from "./timing";

const attempt = (ms: number | null): Attempt => ({ account: "a", outcome: "ok", status: 200, ms, reason: "" });
const row = (latencyMs: number | null, firstEventMs: number | null, ...ms: (number | null)[]) =>
  ({ latencyMs, firstEventMs, attempts: ms.map(attempt) }) as RequestRow;

test.each([
  ["one attempt", row(1000, 300, 1000), { waiting: 300, streaming: 700 }],
  ["a failed one first", row(1000, 500, 200, 800), { earlier: 200, waiting: 300, streaming: 500 }],
  ["no event came", row(1000, null, 400, 600), { earlier: 400, silent: 600 }],
  ["clocks that disagree", row(100, 150, 90, 90), { earlier: 90, waiting: 10 }],
  ["still unknown", row(null, null), {}],
] as const)("the time of %s", (_, one, want) =>
  expect(Object.fromEntries(phases(one).map(({ name, ms }) => [name, ms]))).toEqual(want),
);

test("attempts follow one another on one line", () => {
  expect(spans([attempt(250), attempt(750)], 1000)).toEqual([
    { from: 0, width: 25 },
    { from: 25, width: 75 },
  ]);
  expect(spans([attempt(1000), attempt(null)], 1000)).toEqual([
    { from: 0, width: 100 },
    { from: 99, width: 1 },
  ]);
  expect(spans([], 0)).toEqual([]);
});
