/** The presets of the insights and where each leads; the server knows their filters. */
import type { Card, Severity } from "./api";
import { callPath } from "./evidence";
import { compact, credits, money, percent, share } from "./format";
import { onward } from "./usage";

export const PRESETS = [
  { key: "highest-cost", view: "threads", sort: "cost", direction: "desc" },
  { key: "usage-credits", view: "calls", sort: "credits", direction: "desc" },
  { key: "context-bloat", view: "calls", sort: "context", direction: "desc" },
  { key: "cache-misses", view: "calls", sort: "cache", direction: "asc" },
  { key: "reasoning-spike", view: "calls", sort: "reasoning", direction: "desc" },
  { key: "pricing-gaps", view: "calls", sort: "tokens", direction: "desc" },
  { key: "estimated-review", view: "calls", sort: "cost", direction: "desc" },
] as const;

/** What a card leads to where no way to look shows exactly its calls. */
const CARDS = [{ key: "context-full", view: "calls", sort: "context", direction: "desc" }] as const;
/** Every preset that an address may name. */
export const NAMED = [...PRESETS, ...CARDS];

export type PresetKey = (typeof PRESETS)[number]["key"];

/** The address of a preset, with the shared filters of a search part. Pure. */
export function presetLink(key: string, search: string): string | null {
  const found = NAMED.find((preset) => preset.key === key);
  if (!found) return null;
  return onward(`/${found.view}`, search, {
    preset: found.key,
    sort: found.sort,
    direction: found.direction === "asc" ? "asc" : null,
  });
}

/** Where a card leads: to its thread, to its call, else to its preset. Pure. */
export function cardLink(card: Card, search: string): string | null {
  if (card.threadId) return `/threads/${encodeURIComponent(card.threadId)}`;
  const preset = card.preset ? presetLink(card.preset, search) : null;
  if (preset) return preset;
  return card.callId ? callPath(card.callId) : null;
}

/** A card's value in its unit. */
export function worth(card: Card): string {
  switch (card.unit) {
    case "usd":
      return money(card.value);
    case "ratio":
      return share(card.value);
    case "percent":
      return percent(card.value);
    case "credits":
      return credits(card.value);
    default:
      return compact(card.value);
  }
}

/** The shape that stands beside a severity. */
export function severityMark(severity: Severity): "crit" | "warn" | "none" {
  return severity === "high" ? "crit" : severity === "medium" ? "warn" : "none";
}
