/** Short chips on what figures rest on: what is left of the allowance, and where prices come from. */
import { useQuery } from "@tanstack/react-query";
import { copiedName, windowName } from "../allowance";
import { api, type Allowance } from "../api";
import { ago, clock, day, isolated, joined, pair, percent, UNKNOWN } from "../format";
import { useNow } from "../hooks";
import { t } from "../words";
import { useOwnFiles, type OwnFile } from "./OwnFiles";
import { readText, useReadAt } from "./ReadLogs";

type Observed = Allowance & { source: "account" | "log" };

/** Windows that limit everything, and of which something is known. */
function known<T extends Allowance>(windows: T[]): T[] {
  return windows.filter((one) => one.remainingPercent !== null && !one.key.includes(":"));
}

type Seen = Pick<Allowance, "remainingPercent" | "windowMinutes" | "observedAt">;

/** What is left of a window; unknown once all of it is later than the observation. Pure. */
export function leftOf({ remainingPercent, windowMinutes, observedAt }: Seen, now: number): number | null {
  const seen = Date.parse(observedAt ?? "");
  return windowMinutes !== null && now - seen > windowMinutes * 60_000 ? null : remainingPercent;
}

interface Copied {
  key: string;
  label: string;
  remainingPercent: number;
  capturedAt: string | null;
}

/** The lengths of the windows that people copy, and which of ours they are. */
const COPIES: Record<string, { key: string; minutes: number }> = {
  five_hour: { key: "primary", minutes: 300 },
  weekly: { key: "secondary", minutes: 10_080 },
};

/** What is left of a copied window; unknown once all of it is later than the copy. Pure. */
export function copiedLeft({ key, remainingPercent, capturedAt }: Copied, now: number): number | null {
  const minutes = COPIES[key]?.minutes;
  return minutes !== undefined && now - Date.parse(capturedAt ?? "") > minutes * 60_000 ? null : remainingPercent;
}

interface Left {
  name: string;
  left: number;
  seenAt: string | null;
}

/** What is known to be left of each window: as observed last, or as copied where that is newer. Pure. */
export function lefts(windows: Allowance[], copied: Copied[], now: number): Left[] {
  const taken = new Set<Copied>();
  const found = windows.flatMap((one): Left[] => {
    const seen = leftOf(one, now);
    const copy = copied.find(({ key }) => COPIES[key]?.key === one.key);
    if (copy) taken.add(copy);
    const told = copy ? copiedLeft(copy, now) : null;
    const newer = seen === null || Date.parse(copy?.capturedAt ?? "") > Date.parse(one.observedAt ?? "");
    const name = windowName(one, one.key === "primary" ? "primary" : "secondary");
    if (told !== null && newer) return [{ name, left: told, seenAt: copy?.capturedAt ?? null }];
    return seen === null ? [] : [{ name, left: seen, seenAt: one.observedAt }];
  });
  const others = copied.filter((one) => !taken.has(one)).flatMap((one): Left[] => {
    const left = copiedLeft(one, now);
    return left === null ? [] : [{ name: copiedName(one), left, seenAt: one.capturedAt }];
  });
  return [...found, ...others];
}

/** What is left of the allowance; nothing where that is not known. */
export function LeftChip() {
  const now = useNow();
  const found = useQuery({
    queryKey: ["allowances"],
    queryFn: ({ signal }) =>
      api<{ observed: Observed[]; copied: Copied[] }>("/api/allowance", { signal }),
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
  const logged = known(found.observed.filter(({ source }) => source === "log"));
  const told = shared.length ? lefts(shared, [], now) : lefts(logged, found.copied, now);
  if (!told.length) return null;
  const shown = told.map(({ name, left }) => `${isolated(name)} ${isolated(percent(left))}`);
  // All windows seen at once were seen at one time.
  const seen = [...new Set(told.map(({ seenAt }) => (seenAt ? ago(seenAt, now) : UNKNOWN)))].join(" · ");
  return (
    <span className="chip" title={[t("calls.chip.left.title"), seen].filter(Boolean).join("\n")}>
      {t("calls.chip.left", { windows: shown.join(" · ") })}
    </span>
  );
}

/** When the logs were last looked through. */
export function ReadChip() {
  const at = useReadAt().data?.readAt;
  if (!at) return null;
  return (
    <span className="chip" title={readText(at)}>
      {t("calls.chip.read", { when: isolated(clock(Date.parse(at))) })}
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
