/** What the pages make of an account's windows and state. Pure. */
import type { Account, Allowance } from "./api";
import { joined, reset, when } from "./format";
import { t, tIf } from "./words";

export type Mark = "ok" | "warn" | "crit" | "idle" | "none";

/** The two windows that a lane shows: the short one, and the week or the month. */
export function lane(windows: Allowance[]): [Allowance | undefined, Allowance | undefined] {
  const find = (key: string) => windows.find((window) => window.key === key);
  return [find("primary"), find("secondary") ?? find("monthly")];
}

/** The other windows, such as a named model's own. */
export function named(windows: Allowance[]): Allowance[] {
  const shown = lane(windows);
  return windows.filter((window) => !shown.includes(window));
}

/** What a window is called in a sentence: "5-hour", "weekly", else the server's name. */
export function windowName(
  window: Pick<Allowance, "key" | "name" | "windowMinutes"> | undefined,
  slot: "primary" | "secondary",
): string {
  if (window?.key.includes(":")) {
    // A named limit's: the server's name is "Spark · week".
    const [limit, ...length] = window.name.split(" · ");
    const part = { ...window, key: window.key.split(":")[1] ?? "", name: length.join(" · ") };
    return length.length ? `${limit} · ${windowName(part, slot)}` : window.name;
  }
  const minutes = window?.windowMinutes ?? (window ? null : slot === "primary" ? 300 : 10080);
  if (minutes === 300) return t("window.5h");
  if (minutes === 10080) return t("window.week");
  if (window?.key === "monthly") return t("window.month");
  return window?.name ?? t(slot === "primary" ? "window.5h" : "window.week");
}

/** What a copied window is called: the user's own label, or the usual name of one that we labelled. */
export function copiedName({ key, label }: { key: string; label: string }): string {
  if (key === "five_hour" && label === "5h") return t("window.5h");
  return key === "weekly" && label === "Weekly" ? t("window.week") : label;
}

/** The name of a window that is not the usual one of its place, such as a month where a week stands. */
export function unusualName(window: Allowance, slot: "primary" | "secondary"): string | null {
  const name = windowName(window, slot);
  return name === windowName(undefined, slot) ? null : name;
}

/** The shape and colour of a level; a level is never told by colour alone. */
export function mark(level: Allowance["level"]): Mark {
  if (level === "low") return "warn";
  return level === "critical" || level === "spent" ? "crit" : "ok";
}

/** The state of an account in words, with the time it ends. */
export function statusText(account: Account, now: number): string {
  if (account.status === "paused" && account.pausedUntil) {
    return t("status.pausedUntil", { when: when(account.pausedUntil, now) });
  }
  const status = tIf(`status.${account.status}`, account.status);
  if (account.blockedUntil && ["rate_limited", "quota_exceeded"].includes(account.status)) {
    return t("status.blockedUntil", { status, when: when(account.blockedUntil, now) });
  }
  return status;
}

/** How an account's state is marked. */
export function statusMark(status: Account["status"]): Mark {
  if (status === "active") return "ok";
  if (status === "paused") return "idle";
  return status === "rate_limited" || status === "quota_exceeded" ? "warn" : "crit";
}

/** Whether the allowance of an account in rotation could not be asked for: then it says why. */
export function unasked({ status, usageError }: Account): boolean {
  return !!usageError && ["active", "rate_limited", "quota_exceeded"].includes(status);
}

/** Whether an account serves nothing until somebody does something about it. */
export function out({ status }: Account): boolean {
  return ["paused", "sign_in_needed", "deactivated"].includes(status);
}

/** A plan as people write it. */
export function planName(plan: string | null): string {
  if (!plan) return t("plan.unknown");
  const known: Record<string, string> = { prolite: "Pro Lite", self_serve_business_usage_based: "Business" };
  return known[plan] ?? plan.charAt(0).toUpperCase() + plan.slice(1).replaceAll("_", " ");
}

/** Pace in words: reserve or deficit in points, and whether it lasts. */
export function paceText(window: Allowance, now: number): string {
  const { pace } = window;
  if (window.remainingPercent !== null && window.remainingPercent <= 0) return t("meter.spent");
  if (!pace) return t("pace.early");
  const points = Math.abs(Math.round(pace.delta));
  const state = tIf(`pace.${pace.state}`, pace.state, { points, count: points });
  const ends = pace.runsOutAt ? t("pace.runsOut", { when: when(pace.runsOutAt, now) }) : t("pace.lasts");
  return joined([state, ends]);
}

/** When a window resets, for beside its meter. */
export function resetText(window: Allowance, now: number): string {
  return reset(window.resetAt, now);
}
