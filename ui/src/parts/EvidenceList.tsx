/** The log lines behind a call, read when they are shown; nothing of them is kept. */
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, query, send, type ApiError } from "../api";
import type { Entry, Evidence } from "../evidence";
import { clock, count, duration, exact, pair, UNKNOWN } from "../format";
import { refetch } from "../live";
import { say } from "../say";
import { t, tIf } from "../words";
import { Facts } from "./Copy";
import { Empty, Failure, Skeleton } from "./States";

interface Allowed {
  enabled: boolean;
  offFromStart: boolean;
}

interface Asked {
  full: boolean;
  output: boolean;
  history: boolean;
  entries: number;
}

const FIRST: Asked = { full: false, output: true, history: false, entries: 80 };
const MOST = 2000;

/** Whether log lines may be shown, and the lines as far as they were asked for. */
export function useEvidence(id: string) {
  const [asked, ask] = useState(FIRST);
  const allowed = useQuery({
    queryKey: ["evidence-settings"],
    queryFn: ({ signal }) => api<Allowed>("/api/evidence/settings", { signal }),
    meta: { topics: ["settings"] },
  });
  const options = {
    mode: asked.full ? "full" : "quick",
    toolOutput: asked.output ? "1" : "0",
    compaction: asked.history ? "1" : "0",
    entries: asked.entries,
  };
  const found = useQuery({
    queryKey: ["evidence", id, options],
    queryFn: ({ signal }) =>
      api<Evidence>(`/api/calls/${encodeURIComponent(id)}/evidence${query(options)}`, { signal }),
    enabled: allowed.data?.enabled === true,
    placeholderData: keepPreviousData,
    staleTime: Infinity,
    // What the lines say stays in memory only while they are in sight.
    gcTime: 0,
    retry: false,
  });
  return { asked, ask: (more: Partial<Asked>) => ask({ ...asked, ...more }), allowed: allowed.data, found };
}

export function EvidenceCard({ of }: { of: ReturnType<typeof useEvidence> }) {
  const { allowed, found } = of;
  return (
    <section className="card">
      <div className="card-head">
        <h2>{t("call.evidence")}</h2>
        {allowed?.enabled && <Tools of={of} />}
      </div>
      {allowed?.enabled === false && <Off offFromStart={allowed.offFromStart} />}
      {allowed?.enabled && found.isPending && <Skeleton lines={6} />}
      {allowed?.enabled && found.isError && (
        <Failure error={found.error as ApiError} retry={() => void found.refetch()} />
      )}
      {allowed?.enabled && found.data && !found.isError && <Shown evidence={found.data} of={of} />}
    </section>
  );
}

function usePermit() {
  const client = useQueryClient();
  return useMutation<Allowed, ApiError, boolean>({
    mutationFn: (enabled) => send("POST", "/api/evidence/settings", { enabled }),
    onSuccess: (said) => {
      client.setQueryData(["evidence-settings"], said);
      if (!said.enabled) client.removeQueries({ queryKey: ["evidence"] });
    },
    onError: (error) => say(t("failed.any", { message: error.message }), true),
  });
}

function Off({ offFromStart }: { offFromStart: boolean }) {
  const permit = usePermit();
  return (
    <Empty
      title={t("call.evidence.off")}
      action={
        <button type="button" className="primary" disabled={permit.isPending} onClick={() => permit.mutate(true)}>
          {t("call.evidence.on")}
        </button>
      }
    >
      {t("call.evidence.offText")} {offFromStart && t("call.evidence.run")}
    </Empty>
  );
}

function Tools({ of: { asked, ask, found } }: { of: ReturnType<typeof useEvidence> }) {
  const permit = usePermit();
  const shown = found.data?.state === "ok";
  return (
    <span className="tools">
      {shown && (
        <button type="button" onClick={() => ask({ output: !asked.output })}>
          {t(asked.output ? "call.output.hide" : "call.output.show")}
        </button>
      )}
      {shown && !asked.history && found.data?.entries.some(({ compaction }) => compaction?.items) && (
        <button type="button" onClick={() => ask({ history: true })}>
          {t("call.history")}
        </button>
      )}
      {(shown || found.data?.state === "too_far") && !asked.full && (
        <button type="button" disabled={found.isFetching} onClick={() => ask({ full: true })}>
          {t("call.full")}
        </button>
      )}
      <button type="button" className="quiet" onClick={() => permit.mutate(false)}>
        {t("call.evidence.hide")}
      </button>
    </span>
  );
}

const STALE = ["changed", "shorter"];

function Shown({ evidence, of }: { evidence: Evidence; of: ReturnType<typeof useEvidence> }) {
  if (evidence.state !== "ok") return <Gone evidence={evidence} again={() => void of.found.refetch()} />;
  const scopes = ["earlier", "call", "after"] as const;
  const parts = scopes.map((scope) => evidence.entries.filter((entry) => entry.scope === scope));
  const [earlier = [], own = [], after = []] = parts;
  const strict = evidence.entries.length > 0 && evidence.entries.every(({ text }) => text === null);
  return (
    <div className="evidence" aria-busy={of.found.isFetching}>
      <p className="note">
        {strict ? t("call.strict") : t("call.evidence.note")}{" "}
        {Boolean(evidence.redactions?.total) &&
          t("call.redactions", { n: count(evidence.redactions?.total ?? 0) })}
      </p>
      <Older evidence={evidence} of={of} />
      {earlier.length > 0 && (
        <details className="earlier">
          <summary>
            {t("call.earlier")} <span className="chip">{count(earlier.length)}</span>
          </summary>
          <List entries={earlier} />
        </details>
      )}
      <h3>{t("call.this")}</h3>
      <List entries={own} open />
      {after.length > 0 && <h3>{t("call.after")}</h3>}
      <List entries={after} open />
      <Estimates evidence={evidence} />
    </div>
  );
}

function Gone({ evidence, again }: { evidence: Evidence; again: () => void }) {
  const client = useQueryClient();
  const scan = useMutation<unknown, ApiError, void>({
    mutationFn: () => send("POST", "/api/scan", { wait: true }),
    onSuccess: () => {
      refetch(client, ["calls"]);
      again();
    },
    onError: (error) => say(t("failed.any", { message: error.message }), true),
  });
  return (
    <Empty
      title={tIf(`call.state.${evidence.state}`, evidence.sentence ?? "")}
      action={
        STALE.includes(evidence.state) && (
          <button type="button" disabled={scan.isPending} onClick={() => scan.mutate()}>
            {t(scan.isPending ? "calls.scanning" : "calls.scan")}
          </button>
        )
      }
    />
  );
}

function Older({ evidence, of }: { evidence: Evidence; of: ReturnType<typeof useEvidence> }) {
  const { olderEntries = 0, moreBefore = false } = evidence.omitted ?? {};
  if (!olderEntries && !moreBefore) return null;
  const more = olderEntries > 0 && of.asked.entries < MOST;
  return (
    <p className="note">
      {olderEntries > 0 ? t("call.olderLeft", { n: count(olderEntries) }) : t("call.moreBefore")}{" "}
      {more && (
        <button
          type="button"
          className="quiet"
          disabled={of.found.isFetching}
          onClick={() => of.ask({ entries: Math.min(MOST, of.asked.entries * 2) })}
        >
          {t("call.older")}
        </button>
      )}
    </p>
  );
}

function List({ entries, open = false }: { entries: Entry[]; open?: boolean }) {
  return (
    <ol className="entries">
      {entries.map((entry, index) => (
        <Item key={`${entry.id}-${index}`} entry={entry} open={open} />
      ))}
    </ol>
  );
}

const FOLDED = ["instructions", "context"];

/** A text of a few lines needs no lid. */
const SHORT = 400;

function Item({ entry, open }: { entry: Entry; open: boolean }) {
  const line = oneLine(entry);
  const body = !line && (entry.text || entry.compaction?.history);
  const short = body && entry.text !== null && entry.text.length <= SHORT && !FOLDED.includes(entry.kind);
  return (
    <li data-kind={entry.kind}>
      <div className="entry-head">
        <b>{tIf(`call.kind.${entry.kind}`, entry.kind)}</b>
        {entry.label && !line && <span className="mono">{entry.label}</span>}
        {line && <code>{line}</code>}
        <span className="note">{said(entry)}</span>
        <span className="note num entry-time" title={entry.at ?? ""}>
          {entry.at ? clock(Date.parse(entry.at)) : UNKNOWN}
          {entry.sinceTurnMs !== null && ` · +${duration(entry.sinceTurnMs)}`}
        </span>
      </div>
      {short && <Text>{entry.text}</Text>}
      {body && !short && (
        <details open={open && !FOLDED.includes(entry.kind)}>
          <summary>
            {entry.text ? t("call.chars", { n: exact(entry.chars) }) : t("call.history")}
          </summary>
          {entry.text && <Text>{entry.text}</Text>}
          {entry.compaction?.history?.map(({ role, text }, index) => (
            <div key={index}>
              <span className="mono">{role}</span>
              <Text>{text}</Text>
            </div>
          ))}
        </details>
      )}
    </li>
  );
}

/** What ran or was set, where a line suffices: the tool's call has it in full. */
function oneLine({ kind, text }: Entry): string | null {
  if (!text || !["command", "turn", "search"].includes(kind)) return null;
  const first = text.split("\n", 1)[0] ?? "";
  return first === text && text.length <= 160 ? text : `${first.slice(0, 160)} …`;
}

function Text({ children }: { children: string | null }) {
  return (
    <pre tabIndex={0} dir="auto">
      {children}
    </pre>
  );
}

/** What an entry says in figures. */
function said(entry: Entry): string {
  const { figures, usage, compaction } = entry;
  const parts: string[] = [];
  if (usage) parts.push(counted(usage));
  if (entry.durationMs !== null) parts.push(t("call.took", { time: duration(entry.durationMs) }));
  if (typeof figures.exitCode === "number") parts.push(t("call.exit", { n: figures.exitCode }));
  if (typeof figures.encryptedChars === "number")
    parts.push(t("call.encrypted", { n: exact(figures.encryptedChars) }));
  if (typeof figures.firstTokenMs === "number")
    parts.push(pair(t("call.firstToken"), duration(figures.firstTokenMs)));
  if (compaction?.items) parts.push(t("call.items", { n: exact(compaction.items) }));
  if (entry.kind === "long") parts.push(t("call.bytes", { n: exact(entry.bytes) }));
  if (entry.hidden && entry.kind === "tool_output") parts.push(t("call.output.hidden"));
  if (entry.shortened) parts.push(t("call.cut", { n: exact(entry.chars) }));
  return parts.join(" · ");
}

function counted(usage: Record<string, number | null>): string {
  return [
    `${t("calls.col.input")} ${count(usage.input)}`,
    `${t("calls.col.cached")} ${count(usage.cached)}`,
    `${t("calls.col.output")} ${count(usage.output)}`,
  ].join(" · ");
}

/** How much of the new input the lines explain. */
function Estimates({ evidence: { estimates, timing } }: { evidence: Evidence }) {
  if (!estimates) return null;
  return (
    <div className="estimates">
      <h3>{t("call.estimated")}</h3>
      <Facts
        rows={[
          [t("call.est.new"), exact(estimates.uncachedTokens)],
          [t("call.est.visible"), `≈ ${exact(estimates.newVisibleTokens)}`],
          [t("call.est.candidate"), `≈ ${exact(estimates.candidateTokens)}`],
          [t("call.est.remaining"), `≈ ${exact(estimates.remainingTokens)}`],
          [t("call.est.serialized"), `≈ ${exact(estimates.serializedTokens)}`],
          [t("call.slowest"), duration(timing?.slowestGapMs)],
        ]}
      />
      {estimates.groups && (
        <Facts
          rows={estimates.groups.map(({ key, tokens }): [string, string] => [
            tIf(`call.group.${key}`, key),
            `≈ ${exact(tokens)}`,
          ])}
        />
      )}
      <p className="note">{t("call.est.note")}</p>
    </div>
  );
}
