import i18next from "i18next";
import { expect, test } from "vitest";
import { inZone } from "./format";
import de from "./locales/de.json";
import { told } from "./told";

const CHOICE = { key: "choice.most", values: { room: { key: "room.left", values: { left: 71 } } } };

test("a sentence of the server is said anew, with its values as this page writes them", async () => {
  expect(told("most headroom, 71% left", CHOICE)).toBe("most headroom, 71% left");
  const spent = { key: "state.spent", values: { window: "5 h" } };
  expect(told("The 5 h allowance is used up.", spent)).toBe("Its allowance is used up (5-hour).");
  const room = { key: "room.of", values: { left: 71, window: "weekly" } };
  expect(told("x", { key: "choice.most", values: { room } })).toBe("most headroom, 71% left (weekly)");
  i18next.addResourceBundle("de", "translation", de);
  await i18next.changeLanguage("de");
  expect(told("most headroom, 71% left", CHOICE)).toBe("größter Spielraum, noch 71\u00a0%");
  expect(told("The 5 h allowance is used up.", spent)).toBe("Das Kontingent ist aufgebraucht (5 Stunden).");
  await i18next.changeLanguage("en");
});

test("a moment in a sentence is on the reader's clock, in the reader's words", () => {
  inZone("America/New_York");
  const since = (at: string) => told("x", { key: "state.refusing", values: { since: at } });
  expect(since("2026-11-21 15:30 UTC")).toContain("since Nov 21, 2026, 10:30:00.");
  expect(since("a while ago")).toContain("since a while ago.");
  inZone("");
});

test("what has no key stays as it came", () => {
  expect(told("The provider's own words.", null)).toBe("The provider's own words.");
  expect(told("Something new.", { key: "not.known", values: {} })).toBe("Something new.");
  expect(told(null, null)).toBe("");
  const window = { key: "state.spent", values: { window: "Spark 5 h" } };
  expect(told("x", window)).toContain("Spark 5 h");
});
