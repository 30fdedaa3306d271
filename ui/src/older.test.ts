import { expect, test } from "vitest";
import { older } from "./older";

test.each([
  ["", "/insights"],
  ["?view=threads", "/threads"],
  ["?view=elsewhere", "/"],
  ["?view=call&record=r%2F1", "/calls/r%2F1"],
  ["?view=threads&sort=cost&date=last-7-days", "/threads?sort=cost&range=7d"],
  ["?view=threads&sort=cache&direction=asc&date=this_week", "/threads?sort=cache&direction=asc&range=week"],
  ["?view=calls&date=custom&from=2026-06-01&to=2026-06-05", "/calls?from=2026-06-01&to=2026-06-05&range=custom"],
  ["?view=calls&date=all", "/calls"],
  ["?view=calls&pricing=unpriced&q=tax", "/calls?q=tax&price=unpriced"],
  ["?view=calls&confidence=credit-override", "/calls?credit=user_override"],
  ["?view=calls&confidence=credit_missing", "/calls?credit=unpriced"],
  ["?view=calls&pricing=nobody-knows&page=3", "/calls"],
])("an older address %s leads to %s", (search, path) => {
  expect(older(search)).toBe(path);
});
