/** Short chips on what figures rest on: what is left of the allowance, and where prices come from. */
import { useQuery } from "@tanstack/react-query";
import { copiedName, windowName } from "../allowance";
import { api, type Allowance } from "../api";
import { ago, day, isolated, joined, pair, percent } from "../format";
import { useNow } from "../hooks";
import { t } from "../words";
import { useOwnFiles, type OwnFile } from "./OwnFiles";

type Observed = Allowance & { source: "account" | "log" };

/** Windows that limit everything, and of which something is known. */
function known<T extends Allowance>(windows: T[]): T[] {
  return windows.filter((one) => one.remainingPercent !== null && !one.key.includes(":"));
}

/** What is left of a window; unknown once all of it is later than the observation. Pure. */
export function leftOf({ remainingPercent, windowMinutes, observedAt }: Allowance, now: number): number | null {
  const seen = Date.parse(observedAt ?? "");
  return windowMinutes !== null && now - seen > windowMinutes * 60_000 ? null : remainingPercent;
}

/** What is left of the allowance; nothing where that is not known. */
export function LeftChip() {
  const now = useNow();
  const found = useQuery({
    queryKey: ["allowances"],
    queryFn: ({ signal }) =>
      api<{ observed: Observed[]; copied: { key: string; label: string; remainingPercent: number }[] }>("/api/allowance", {
        signal,
      }),
    meta: { topics: ["accounts", "calls"] },
  }).data;
  const pool = useQuery({
    queryKey: ["tray-pool"],
    queryFn: ({ signal }) => api<{ pool: { windows: Allowance[] } }>("/api/tray", { signal }),
    meta: { topics: ["accounts"] },
  }).data?.pool.windows;
  if (!found || !pool) return null;
  // Of all accounts together, without any of what the logs say.
  const shared = known(pool);
  const windows = shared.length ? shared : known(found.observed.filter(({ source }) => source === "log"));
  const shown = windows.length
    ? windows.map((one) => `${isolated(windowName(one, one.key === "primary" ? "primary" : "secondary"))} ${isolated(percent(leftOf(one, now)))}`)
    : found.copied.map((one) => `${isolated(copiedName(one))} ${isolated(percent(one.remainingPercent))}`);
  if (!shown.length) return null;
  const seen = windows.map(({ observedAt }) => ago(observedAt, now)).join(" · ");
  return (
    <span className="chip" title={[t("calls.chip.left.title"), seen].filter(Boolean).join("\n")}>
      {t("calls.chip.left", { windows: shown.join(" · ") })}
    </span>
  );
}

/** Where prices and credit rates come from, and of when they are. */
export function PriceChips() {
  const files = useOwnFiles();
  if (!files) return null;
  return (
    <>
      <Priced file={files.pricing} name="pricing.json" word="calls.chip.prices" />
      <Priced file={files["rate-card"]} name="rate-card.json" word="calls.chip.rates" />
    </>
  );
}

interface PricedProps {
  file: OwnFile;
  name: string;
  word: "calls.chip.prices" | "calls.chip.rates";
}

function Priced({ file, name, word }: PricedProps) {
  const shipped = file.shipped ?? [];
  const newest = shipped.map(({ checked }) => checked).sort().at(-1);
  const own = Boolean(file.models) && !file.problems.length;
  const stamp = own && file.source ? joined([file.source.name, file.source.fetched_at].filter((one) => one !== undefined)) : "";
  const said = [own ? (stamp ? pair(name, stamp) : name) : "", ...shipped.map((one) => joined([one.name, one.checked]))];
  return (
    <span className="chip" title={said.filter(Boolean).join("\n")}>
      {t(word, { source: own ? name : newest ? `${day(newest)} ${newest.slice(0, 4)}` : "–" })}
    </span>
  );
}
