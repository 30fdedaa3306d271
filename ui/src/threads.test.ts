import i18next from "i18next";
import { expect, test } from "vitest";
import de from "./locales/de.json";
import type { ThreadRow } from "./api";
import { COLUMNS, FILLING, fitting, padding } from "./calls";
import { flagged, origins, titled, titleOf } from "./threads";

test("a thread is called by its title, else by its id; one that finds a title in the reader's language", async () => {
  expect(titleOf("Fix the parser", "01a1fd0e-af23-7000")).toBe("Fix the parser");
  expect(titleOf(null, "01a1fd0e-af23-7000")).toBe("01a1fd0e-af23");
  expect(titled(null)).toBe(null);
  i18next.addResourceBundle("de", "translation", de);
  await i18next.changeLanguage("de");
  expect(titleOf("Title for a conversation", "01a1fd0e-af23-7000")).toBe("Titel für ein Gespräch");
  expect(titleOf("Fix the parser", null)).toBe("Fix the parser");
  await i18next.changeLanguage("en");
});

const thread = { calls: 9, flags: ["low-cache", "reasoning-spike", "subagent-attribution"] } as ThreadRow;

test("what is so in some calls is not said of the thread", () => {
  expect(flagged(thread)).toBe("some calls: little from the cache, mostly reasoning, work of sub-agents");
  expect(flagged(thread, 1)).toBe("some calls: little from the cache");
  expect(flagged({ ...thread, calls: 1 }, 1)).toBe("little from the cache");
  expect(flagged({ ...thread, flags: [] })).toBe("");
});

test("whose calls a thread has is shown where it is known", () => {
  expect(origins(thread)).toBe("");
  expect(origins({ ...thread, directCalls: 4, spawnedCalls: 5, attachedCalls: 0 })).toMatch(/Direct: 4.*Spawned: 5.*Attached: 0/);
});

const tail = (digits: number, mark = false) => ({ digits, mark });
test.each([
  [null, [tail(2)], ""],
  [tail(2), [tail(2), null], ""],
  [tail(2), [tail(2), tail(4)], "00"],
  [tail(0), [tail(0), tail(2)], ".00"],
  [tail(2), [tail(2), tail(4, true)], "00*"],
  [tail(4, true), [tail(2), tail(4, true)], ""],
])("decimal points stand below each other %#", (own, all, free) => expect(padding(own, all)).toBe(free));

const offered = COLUMNS.filter(({ key, hidden }) => !hidden || FILLING.includes(key));
const called = (room: number, order = "time") => fitting(offered, room, order).map(({ key }) => key);

test("room that the usual columns leave shows more of them, and little room fewer", () => {
  const usual = COLUMNS.filter(({ hidden }) => !hidden).map(({ key }) => key);
  const sum = (keys: string[]) =>
    COLUMNS.reduce((all, { key, width, grow }) => all + (keys.includes(key) && !grow ? width : 0), 0);
  expect(called(700)).not.toContain("gap");
  expect(called(5000)).toEqual(expect.arrayContaining([...usual, ...FILLING]));
  const some = called(sum(usual) + 320 + 90);
  expect(some).toEqual(expect.arrayContaining([...usual, "gap"]));
  expect(some).not.toContain("project");
  expect(called(700, "credits")).toContain("credits");
});
