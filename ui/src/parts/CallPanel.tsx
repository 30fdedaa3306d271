/** One call beside the list: what is exact, what is derived, and who saw it. */
import { useQuery, keepPreviousData } from "@tanstack/react-query";
import { Link } from "wouter";
import type { Named } from "../accounts";
import { api, type CallDetail } from "../api";
import { cacheAdvice } from "../calls";
import { callPath } from "../evidence";
import { duration, exact, full, share, UNKNOWN } from "../format";
import { severityMark } from "../insights";
import { titleOf } from "../threads";
import { t, tIf } from "../words";
import { Arrow } from "./Arrow";
import { Copy, Facts } from "./Copy";
import { Dialog } from "./Dialog";
import { Place } from "./Place";
import { Rates } from "./Rates";
import { Sign } from "./Sign";
import { Failure, Skeleton } from "./States";
import { Witnesses } from "./Witnesses";

interface Props {
  id: string;
  accounts: Named[] | undefined;
  go: (id: string | null) => void;
}

export function CallPanel({ id, accounts, go }: Props) {
  const found = useQuery({
    queryKey: ["call", id],
    queryFn: ({ signal }) => api<CallDetail>(`/api/calls/${encodeURIComponent(id)}`, { signal }),
    meta: { topics: ["calls"] },
    placeholderData: keepPreviousData,
    enabled: id !== "",
  });
  const call = found.data;
  return (
    <Dialog title={t("calls.detail")} open={id !== ""} close={() => go(null)} place="side">
      {found.isPending && <Skeleton lines={10} />}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {call && !found.isError && <Loaded call={call} accounts={accounts} go={go} />}
    </Dialog>
  );
}

function Loaded({
  call,
  accounts,
  go,
}: {
  call: CallDetail;
  accounts: Named[] | undefined;
  go: (id: string) => void;
}) {
  return (
    <div className="panel">
      <div>
        <p className="panel-title" dir="auto">{titleOf(call.threadTitle, call.threadId ?? call.sessionId)}</p>
        <p className="note">
          {[full(call.at), call.project, call.model, call.effort].filter(Boolean).join(" · ")}
        </p>
      </div>
      <div className="tools">
        <Link className="button primary" href={callPath(call.id)}>
          {t("call.page")} <Arrow to="on" />
        </Link>
        <span className="note">{t("call.page.note")}</span>
      </div>
      <div className="tools">
        <button type="button" disabled={!call.previous} onClick={() => call.previous && go(call.previous)}>
          <Arrow to="back" /> {t("calls.previous")}
        </button>
        <button type="button" disabled={!call.next} onClick={() => call.next && go(call.next)}>
          {t("calls.next")} <Arrow to="on" />
        </button>
      </div>
      <Advice call={call} />
      <section>
        <h3>{t("call.rates")}</h3>
        <Rates call={call} />
      </section>
      <section>
        <h3>{t("calls.derived")}</h3>
        <Facts
          rows={[
            [t("calls.col.new"), exact(call.uncachedInputTokens)],
            [t("calls.cacheShare"), share(call.cacheRatio)],
            [t("calls.contextShare"), share(call.contextPercent === null ? null : call.contextPercent / 100)],
            [t("calls.col.duration"), duration(call.durationMs)],
            [t("calls.col.gap"), duration(call.gapMs)],
            [
              t("calls.col.initiator"),
              tIf(`calls.initiator.${call.initiator ?? "unknown"}`, call.initiator ?? UNKNOWN),
            ],
          ]}
        />
      </section>
      <section>
        <h3>{t("calls.exact")}</h3>
        <Facts
          rows={[
            [t("calls.col.tokens"), exact(call.totalTokens)],
            [
              t("call.cumulative"),
              <span key="s" title={t("call.cumulative.title")}>{exact(call.cumulativeTokens)}</span>,
            ],
            [t("calls.col.input"), exact(call.inputTokens)],
            [t("calls.col.cached"), exact(call.cachedInputTokens)],
            [t("calls.col.output"), exact(call.outputTokens)],
            [t("calls.col.reasoning"), exact(call.reasoningTokens)],
          ]}
        />
      </section>
      <section>
        <h3>{t("calls.witnesses")}</h3>
        <Witnesses call={call} accounts={accounts} />
      </section>
      <section>
        <h3>{t("call.place")}</h3>
        <Place call={call} />
      </section>
      <details className="ids">
        <summary>{t("requests.ids")}</summary>
        <Facts
          rows={[
            [t("calls.callId"), <Id key="c" id={call.id} label={t("calls.callId")} />],
            [t("calls.sessionId"), <Id key="s" id={call.sessionId} label={t("calls.sessionId")} />],
            [t("calls.threadId"), <Id key="t" id={call.threadId} label={t("calls.threadId")} />],
            [t("calls.provider"), tIf(`provider.${call.provider}`, call.provider)],
          ]}
        />
      </details>
    </div>
  );
}

/** What stands out in this call, and what to do about it. */
function Advice({ call }: { call: CallDetail }) {
  const found = call.recommendations ?? [];
  if (!found.length && !call.cacheLabel) return null;
  return (
    <section>
      <h3>{t("calls.why")}</h3>
      {call.cacheLabel && (
        <p>
          <span className="chip">{tIf(`cache.${call.cacheLabel}`, call.cacheLabel)}</span>{" "}
          <span className="note">{cacheAdvice(call)}</span>
        </p>
      )}
      <ul className="attention">
        {found.map(({ key, severity }) => (
          <li key={key}>
            <Sign mark={severityMark(severity)} />
            <div>
              <b>{tIf(`flag.${key}`, key)}</b>
              <span>{tIf(`advice.${key}`, "")}</span>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Id({ id, label }: { id: string | null; label: string }) {
  if (!id) return <>{UNKNOWN}</>;
  return (
    <>
      <span className="mono">{id}</span> <Copy text={id} label={label} />
    </>
  );
}
