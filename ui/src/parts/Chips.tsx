/** What a list of calls is narrowed to, and what to know about its numbers, in a line of chips. */
import { useQuery } from "@tanstack/react-query";
import { Link, useLocation } from "wouter";
import { api, type CallPage } from "../api";
import { count, isolated, pair } from "../format";
import { NAMED, PRESETS, presetLink } from "../insights";
import type { CallFilters } from "../pages/Calls";
import { say } from "../say";
import { titled } from "../threads";
import type { Usage } from "../usage";
import { t, tIf, type Word } from "../words";
import { LeftChip, PriceChips, ReadChip } from "./Sources";
import { useLimits } from "./UsageBar";
import { Warnings } from "./Warnings";

export function Chips({ filters, unpriced }: { filters: CallFilters; unpriced: number }) {
  const { preset, thread, session, fact } = filters.asked;
  return (
    <div className="chips">
      <PresetChip preset={preset} usage={filters} />
      {thread && <Thread id={thread} off={() => filters.change({ thread: null, open: null })} />}
      {session && (
        <Off
          text={pair(t("calls.sessionId"), session.slice(0, 8))}
          title={session}
          off={() => filters.change({ session: null, open: null })}
        />
      )}
      {fact && (
        <Off
          text={pair(t(FACTS[fact.split(":")[0] ?? ""] ?? "diag.col.fact"), factName(fact))}
          title={fact}
          off={() => filters.change({ fact: null, open: null })}
        />
      )}
      {unpriced > 0 && filters.asked.priceStatus !== "unpriced" && (
        <button
          type="button"
          className="chip"
          title={t("calls.chip.unpriced.title")}
          onClick={() => filters.change({ price: "unpriced", open: null })}
        >
          {t("calls.chip.unpriced", { count: unpriced })}
        </button>
      )}
      <Warnings />
      <LeftChip />
      <ReadChip />
      <PriceChips />
      <span className="tools push">
        <Presets usage={filters} preset={preset} />
        <CopyLink />
      </span>
    </div>
  );
}

const FACTS: Record<string, Word> = {
  witness: "calls.witnesses", user: "panels.events.by.user", client: "requests.client",
  sessions: "diag.by.source_log", days: "diag.by.day", tool_uncounted: "diag.col.uncounted", root_uncounted: "diag.col.uncounted",
}; // prettier-ignore

/** A fact as the diagnostics call it; of a file only its hash is known here. */
function factName(fact: string): string {
  const [type = "", ...rest] = fact.split(":");
  const name = rest.join(":");
  if (type === "witness") return tIf(`calls.witness.${name}`, name);
  if (type === "user" && name === "local user") return t("panels.localUser");
  if (type === "client" && name === "?") return t("calls.initiator.unknown");
  if (type === "sessions" || type === "days") return count(name.split(",").length);
  if (name === "*") return t("filter.any");
  return tIf(`diag.name.${name}`, type === "reader" ? (rest[1] ?? name) : name);
}

/** A chip that takes its filter away. */
export function Off({ text, title, off }: { text: string; title?: string; off: () => void }) {
  return (
    <button
      type="button"
      className="chip on"
      title={title}
      onClick={off}
      aria-label={pair(text, t("do.takeAway"))}
    >
      {text} <span aria-hidden="true">✕</span>
    </button>
  );
}

function Thread({ id, off }: { id: string; off: () => void }) {
  const first = useQuery({
    queryKey: ["calls-thread", id],
    queryFn: ({ signal }) =>
      api<CallPage>(`/api/calls?thread=${encodeURIComponent(id)}&limit=1`, { signal }),
  }).data?.calls[0];
  return (
    <>
      <Off text={pair(t("calls.col.thread"), isolated(titled(first?.threadTitle) ?? id.slice(0, 8)))} title={id} off={off} />
      <Link className="link note" href={`/threads/${encodeURIComponent(id)}`}>
        {t("threads.open")}
      </Link>
    </>
  );
}

interface Look {
  usage: Usage;
  /** Its key; empty for none. */
  preset: string;
}

/** The preset that a list is seen by, with what it shows; it can be taken away. */
export function PresetChip({ usage, preset }: Look) {
  const limits = useLimits();
  if (!preset) return null;
  return (
    <>
      <Off
        text={tIf(`preset.${preset}`, preset)}
        off={() => usage.change({ preset: null, sort: null, direction: null, open: null })}
      />
      <span className="note">{tIf(`preset.${preset}.text`, "", limits)}</span>
    </>
  );
}

/** The ways to look, each with its page, filter and order. */
export function Presets({ usage, preset }: Look) {
  const [, navigate] = useLocation();
  return (
    <label className="field">
      <span className="muted">{t("calls.preset")}</span>
      <select
        value={preset}
        onChange={(event) => {
          const chosen = PRESETS.find(({ key }) => key === event.target.value);
          const elsewhere = chosen && `/${chosen.view}` !== usage.path && presetLink(chosen.key, usage.search);
          if (elsewhere) return navigate(elsewhere);
          usage.change({
            preset: chosen?.key ?? null,
            sort: chosen?.sort ?? null,
            direction: chosen?.direction === "asc" ? "asc" : null,
            open: null,
          });
        }}
      >
        <option value="">{t("calls.preset.none")}</option>
        {NAMED.filter(({ key }) => key === preset || PRESETS.some((one) => one.key === key)).map(({ key }) => (
          <option key={key} value={key}>
            {t(`preset.${key}`)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Copy the address: it reproduces this view. */
export function CopyLink() {
  const copy = () =>
    navigator.clipboard.writeText(location.href).then(
      () => say(t("done.linkCopied")),
      // Without the right to the clipboard the text can still be selected by hand.
      () => say(location.href),
    );
  return (
    <button type="button" onClick={() => void copy()}>
      {t("do.copyLink")}
    </button>
  );
}

/** How many, in words a table foot can hold. */
export function shownOf(shown: number, total: number): string {
  return t("calls.shown", { shown: count(shown), total: count(total) });
}
