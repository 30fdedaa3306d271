import { expect, test } from "vitest";
import { marks } from "./parts/Cost";

const shown = (given: Parameters<typeof marks>[0]) => marks(given).map(([mark]) => mark).join("");

test.each([
  ["all of it is known", { usd: 1 }, ""],
  ["a price is an estimate", { usd: 1, estimated: true }, "*"],
  ["two prices are", { usd: 1, estimated: 2 }, "*"],
  ["a part has no price, which is no estimate", { usd: 1, unpriced: 3 }, "+"],
  ["both", { usd: 1, unpriced: 3, estimated: 2 }, "*+"],
  ["nothing is known, so there is nothing to doubt", { usd: null, unpriced: 3 }, ""],
])("a cost is marked where %s", (_, given, expected) => expect(shown(given)).toBe(expected));

test("a mark says what it means", () => {
  expect(marks({ usd: 1, unpriced: 3 })).toEqual([["+", "3 calls without a price are not in it"]]);
});
