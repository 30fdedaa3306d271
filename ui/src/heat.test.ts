import { expect, test } from "vitest";
import { step } from "./parts/Heat";

const steps = (...values: number[]) => values.map((value) => step(value, [...values].filter((one) => one > 0).sort((a, b) => a - b)));

test.each([
  ["five hours have a step each", [10, 20, 30, 40, 50], [0, 1, 2, 3, 4]],
  ["of two hours the busier is the strongest", [33_000, 78_000], [2, 4]],
  ["equal hours are all the busiest", [7, 7, 7, 7], [4, 4, 4, 4]],
  ["one hour is the busiest", [1], [4]],
  ["an hour without use has no step", [0, 5], [-1, 4]],
])("%s", (_, values, expected) => expect(steps(...values)).toEqual(expected));
