/** What a call is in a glance, beside the row under the pointer; the row itself leads to all of it. */
import { useCallback, useEffect, useRef, useState } from "react";
import type { CallRow } from "../api";
import { cost, seenBy } from "../calls";
import { credits, duration, exact, full, share } from "../format";
import { titleOf } from "../threads";
import { t } from "../words";
import { Facts } from "./Copy";

/** A pointer that only passes over the table shows nothing. */
const PAUSE = 250;
const ROOM = 330;

export interface Glance {
  call: CallRow;
  /** Of the row, from the top of the window. */
  top: number;
  bottom: number;
  /** From the side where reading begins, where the row does. */
  start: number;
}

/** The call that the pointer rests on, and what a row calls when it comes and goes. */
export function useGlance() {
  const [glance, setGlance] = useState<Glance | null>(null);
  const timer = useRef(0);
  const leave = useCallback(() => {
    window.clearTimeout(timer.current);
    setGlance(null);
  }, []);
  const rest = useCallback((call: CallRow, row: HTMLElement) => {
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => {
      const { top, bottom, left, right } = row.getBoundingClientRect();
      const backwards = getComputedStyle(row).direction === "rtl";
      setGlance({ call, top, bottom, start: backwards ? document.documentElement.clientWidth - right : left });
    }, PAUSE);
  }, []);
  useEffect(() => {
    // What stood beside a row would stand beside another.
    document.addEventListener("scroll", leave, { capture: true, passive: true });
    return () => {
      window.clearTimeout(timer.current);
      document.removeEventListener("scroll", leave, { capture: true });
    };
  }, [leave]);
  return { glance, rest, leave };
}

export function Peek({ glance: { call, top, bottom, start } }: { glance: Glance }) {
  const above = bottom + ROOM > window.innerHeight && top > ROOM;
  // Below the names and never below the figures, which are read down a column.
  const beside = { insetInlineStart: Math.max(start, 0) + 6 };
  const place = above ? { ...beside, bottom: window.innerHeight - top + 6 } : { ...beside, top: bottom + 6 };
  return (
    // A reader of the screen has the row, and its panel.
    <aside className="peek card" style={place} aria-hidden="true">
      <p className="panel-title" dir="auto">
        {titleOf(call.threadTitle, call.threadId ?? call.sessionId)}
      </p>
      <p className="note">
        {[full(call.at), call.project, call.model, call.effort].filter(Boolean).join(" · ")}
      </p>
      <Facts
        rows={[
          [t("calls.col.tokens"), exact(call.totalTokens)],
          [t("calls.col.cached"), `${exact(call.cachedInputTokens)} (${share(call.cacheRatio)})`],
          [t("calls.col.new"), exact(call.uncachedInputTokens)],
          [t("calls.col.output"), exact(call.outputTokens)],
          [t("calls.col.reasoning"), exact(call.reasoningTokens)],
          [t("calls.contextShare"), share(call.contextPercent === null ? null : call.contextPercent / 100)],
          [t("calls.col.cost"), cost(call)],
          [t("calls.credits"), credits(call.credits)],
          [t("calls.col.duration"), duration(call.durationMs)],
          [t("calls.col.seen"), seenBy(call)],
        ]}
      />
    </aside>
  );
}
