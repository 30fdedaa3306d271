import i18next from "i18next";
import { expect, test } from "vitest";
import de from "./locales/de.json";
import { titled, titleOf } from "./threads";

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
