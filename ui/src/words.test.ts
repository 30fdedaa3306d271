import { expect, test } from "vitest";
import en from "./locales/en.json";
import { t } from "./words";

const sources = Object.entries(
  import.meta.glob<string>(["./**/*.ts", "./**/*.tsx", "!./**/*.test.ts"], {
    query: "?raw",
    import: "default",
    eager: true,
  }),
);
const all = sources.map(([, text]) => text).join("\n");

/** Keys put together at run time, by what they begin and end with. */
const made = [...all.matchAll(/`([a-z]+(?:\.[a-zA-Z]+)*\.)\$\{[^}]+\}([.a-zA-Z]*)`/g)];

/** The shared report is written by the server, from the same catalogues; so is the snapshot. */
const elsewhere = /^report\./;
const snapshot = Object.values(
  import.meta.glob<string>(["../../desktop/snapshot.js", "../../desktop/snapshot.py"], {
    query: "?raw",
    import: "default",
    eager: true,
  }),
).join("\n");

test("every word of the catalogue is used", () => {
  const unused = Object.keys(en).filter((key) => {
    if (elsewhere.test(key)) return false;
    if (key.startsWith("snapshot.") && new RegExp(`["']${key}["']`).test(snapshot)) return false;
    const word = key.replace(/_(one|other)$/, "");
    return (
      !all.includes(`"${word}"`) &&
      !made.some(([, start, end]) => word.startsWith(start ?? "") && word.endsWith(end ?? ""))
    );
  });
  expect(unused).toEqual([]);
});

test("no text stands in a page itself", () => {
  // JSX text that begins with a letter and ends the line or meets a tag.
  const found = sources
    .filter(([path]) => path.endsWith(".tsx"))
    .flatMap(([path, text]) =>
      [...text.matchAll(/>\s*([A-Z][a-z]+ [a-z][^<>{}=;()]*)</g)].map((hit) => `${path}: ${hit[1]}`),
    );
  expect(found).toEqual([]);
});

test("a plural is chosen by the number, which is shown grouped", () => {
  expect(t("calls.count", { count: 1 })).toBe("1 call");
  expect(t("calls.count", { count: 30_000 })).toBe("30,000 calls");
});
