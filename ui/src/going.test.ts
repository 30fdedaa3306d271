import { expect, test } from "vitest";
import { going } from "./usage";

const there = "?range=7d&q=refunds&effort=high&open=c1&sort=cost";
test.each([
  ["from one usage page to the next the filters go along", "/threads", "/calls", "/threads?range=7d&q=refunds&effort=high"],
  ["a call's page is one of them, too", "/threads", "/calls/c1", "/threads?range=7d&q=refunds&effort=high"],
  ["requests have filters of their own", "/requests", "/calls", "/requests"],
  ["and theirs are none of the usage pages'", "/calls", "/requests", "/calls"],
])("%s", (_, place, path, expected) => expect(going(place, path, there)).toBe(expected));
