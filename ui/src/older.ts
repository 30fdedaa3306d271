/** Addresses of the usage tracker's dashboard, which others may have kept. Pure. */
import { callPath } from "./evidence";

/** What an older address asks for in words that ours have as well. */
const KEPT = ["q", "preset", "model", "effort", "history", "sort", "from", "to"];
const VIEWS = ["insights", "calls", "threads", "diagnostics"];
// Its names, without case and what stands between their words.
const RANGES: Record<string, string> = {
  today: "today", thisweek: "week", week: "week", last7days: "7d", last7: "7d", "7d": "7d", thismonth: "month", month: "month",
  custom: "custom",
}; // prettier-ignore
const PRICES: Record<string, [string, string]> = {
  exact: ["price", "exact"], estimated: ["price", "estimated"], unpriced: ["price", "unpriced"],
  exactcost: ["price", "exact"], costexact: ["price", "exact"], costestimated: ["price", "estimated"],
  creditexact: ["credit", "exact"], creditestimated: ["credit", "estimated"], creditoverride: ["credit", "user_override"],
  credituseroverride: ["credit", "user_override"], creditmissing: ["credit", "unpriced"], creditunpriced: ["credit", "unpriced"],
}; // prettier-ignore

const bare = (text: string | null) => (text ?? "").toLowerCase().replace(/[^a-z0-9]/g, "");

/** Our address for an older one's search part. */
export function older(search: string): string {
  const asked = new URLSearchParams(search);
  const view = asked.get("view") ?? "insights";
  const record = asked.get("record");
  if (view === "call" && record) return callPath(record);
  if (!VIEWS.includes(view)) return "/";
  const kept = new URLSearchParams([...asked].filter(([key, value]) => KEPT.includes(key) && value));
  if (asked.get("direction") === "asc") kept.set("direction", "asc");
  const range = RANGES[bare(asked.get("date"))];
  if (range) kept.set("range", range);
  const sure = PRICES[bare(asked.get("confidence") ?? asked.get("pricing"))];
  if (sure) kept.set(...sure);
  const text = kept.toString();
  return `/${view}${text && `?${text}`}`;
}
