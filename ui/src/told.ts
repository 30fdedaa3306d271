/** Sentences that the server wrote, in the reader's language: said anew by key, else as they came. */
import { full, percent } from "./format";
import { tIf, type Values } from "./words";

/** What the server sends beside a sentence of its own; a value may be such a sentence itself. */
export interface Said {
  key: string;
  values: Record<string, string | number | Said>;
}

/** The server's names of windows, the long ones and those that older sentences have. */
const WINDOWS: Record<string, string> = {
  "5-hour": "window.5h",
  weekly: "window.week",
  monthly: "window.month",
  "5 h": "window.5h",
  week: "window.week",
  month: "window.month",
};

/** The sentence to show; empty when there is none. */
export function told(text: string | null | undefined, said: Said | null | undefined): string {
  const shown = text ?? "";
  return said ? tIf(`say.${said.key}`, shown, values(said)) : shown;
}

function values(said: Said): Values {
  const entries = Object.entries(said.values).map(([name, value]) => [name, one(name, value)] as const);
  // Points are counted; `count` is what chooses the form of their word.
  const { points } = said.values;
  return { ...Object.fromEntries(entries), ...(points == null ? {} : { count: Number(points) }) };
}

function one(name: string, value: string | number | Said): string | number {
  if (typeof value === "object") return tIf(`say.${value.key}`, "", values(value));
  if (name === "left" && typeof value === "number") return percent(value);
  if (name === "since" && typeof value === "string") return moment(value);
  if (name === "window" && typeof value === "string") return tIf(WINDOWS[value] ?? "", value);
  return value;
}

/** A moment as sentences have it ("2026-11-21 15:30 UTC"), on the reader's clock. */
function moment(value: string): string {
  const iso = value.replace(/^(\S+) (\S+) UTC$/, "$1T$2Z");
  return Number.isNaN(Date.parse(iso)) ? value : full(iso);
}
