/** What the limits of an API key mean to a person: units, sentences and what a form holds. Pure. */
import type { KeyLimit } from "./api";
import { compact, credits, money } from "./format";
import { t, tIf } from "./words";

export const MEASURES = [
  "total_tokens",
  "input_tokens",
  "output_tokens",
  "cost_usd",
  "requests",
  "credits",
] as const;
// "7d" is an older client's word for a week; it is kept where it is, and not offered anew.
export const WINDOWS = ["5h", "daily", "weekly", "monthly"] as const;
export type Measure = (typeof MEASURES)[number];

/** One limit as it stands in the form; the amount is what was typed. */
export interface Row {
  measure: Measure;
  amount: string;
  window: string;
  model: string;
}

/** What the server takes. */
export interface Rule {
  limitType: Measure;
  limitWindow: string;
  maxValue: number;
  modelFilter: string | null;
}

const MICRO = 1e6;
const SUFFIX: Record<string, number> = { "": 1, k: 1e3, m: 1e6, b: 1e9 };

/** Whether the server counts this measure in millionths. */
function fine(measure: string): boolean {
  return measure === "cost_usd" || measure === "credits";
}

/** A typed amount ("500,000", "1.5 M", "$2.50") in the server's unit; null when it is none. */
export function amount(text: string, measure: Measure): number | null {
  const found = /^\$?([\d.,]+)([kmb]?)$/i.exec(text.replace(/[\s_]/g, ""));
  if (!found) return null;
  const [, digits = "", suffix = ""] = found;
  const decimals = fine(measure) || suffix !== "";
  const value = number(digits, decimals);
  if (value === null) return null;
  const whole = Math.round(value * (SUFFIX[suffix.toLowerCase()] ?? 1) * (fine(measure) ? MICRO : 1));
  return whole >= 1 && whole <= Number.MAX_SAFE_INTEGER ? whole : null;
}

/** "1.500", "1,500.25" and "1500" as numbers; one separator is a decimal sign where those make sense. */
function number(digits: string, decimals: boolean): number | null {
  if (/^\d+$/.test(digits)) return Number(digits);
  const last = Math.max(digits.lastIndexOf("."), digits.lastIndexOf(","));
  const [head, tail] = [digits.slice(0, last), digits.slice(last + 1)];
  const grouped = /^\d{1,3}([.,]\d{3})*$/;
  const decimal = decimals && /^\d+$/.test(tail) && !(digits[last] === "," && tail.length === 3);
  if (decimal && (/^\d+$/.test(head) || grouped.test(head))) {
    return Number(`${head.replace(/[.,]/g, "")}.${tail}`);
  }
  return grouped.test(digits) ? Number(digits.replace(/[.,]/g, "")) : null;
}

/** A stored limit as a row of the form. */
export function rowOf(limit: KeyLimit): Row {
  const value = fine(limit.limitType) ? limit.maxValue / MICRO : limit.maxValue;
  return {
    measure: limit.limitType,
    amount: String(value),
    window: limit.limitWindow,
    model: limit.modelFilter ?? "",
  };
}

/** What is wrong with a row among its fellows; empty when it can be stored. */
export function problem(row: Row, all: readonly Row[]): string {
  if (amount(row.amount, row.measure) === null) return t("keys.limit.wrong");
  const same = all.filter(
    ({ measure, window, model }) =>
      measure === row.measure && window === row.window && model === row.model,
  );
  return same.length > 1 ? t("keys.limit.twice") : "";
}

/** A row as the server takes it. */
export function ruleOf({ measure, amount: typed, window, model }: Row): Rule {
  return {
    limitType: measure,
    limitWindow: window,
    maxValue: amount(typed, measure) ?? 0,
    modelFilter: model || null,
  };
}

const BASIC = ["total_tokens", "cost_usd"];

/** Whether the simple form, tokens and dollars a week, can show these limits. */
export function simple(rows: readonly Row[]): boolean {
  const kinds = rows.map(({ measure }) => measure);
  return (
    new Set(kinds).size === kinds.length &&
    rows.every(({ measure, window, model }) => BASIC.includes(measure) && window === "weekly" && !model)
  );
}

/** How much of a limit is left, in percent. */
export function left({ currentValue, maxValue }: KeyLimit): number {
  return Math.max(0, 100 - (100 * currentValue) / maxValue);
}

/** How urgent a limit is: the same steps as an account's windows. */
export function level(limit: KeyLimit): "ok" | "low" | "critical" | "spent" {
  const percent = left(limit);
  if (percent <= 0) return "spent";
  return percent <= 10 ? "critical" : percent <= 20 ? "low" : "ok";
}

/** What was used of a limit: "3.8 M of 10 M tokens", "$1.20 of $5.00". */
export function usedText({ limitType, currentValue, maxValue }: KeyLimit): string {
  const show = (value: number) => {
    if (limitType === "cost_usd") return money(value / MICRO);
    return limitType === "credits" ? credits(value / MICRO) : compact(value);
  };
  return t(`keys.used.${limitType}`, { used: show(currentValue), most: show(maxValue) });
}

/** The window of a limit: "a day". */
export function windowText(window: string): string {
  return tIf(`keys.window.${window}`, window);
}
