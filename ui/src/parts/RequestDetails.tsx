/** One request opened: its attempts in order, what it used, and its ids. */
import { Link } from "wouter";
import type { Attempt, RequestRow } from "../api";
import { count, duration, full, money, UNKNOWN } from "../format";
import { t } from "../words";
import { Copy, Facts } from "./Copy";

export function RequestDetails({ row }: { row: RequestRow }) {
  return (
    <div className="details">
      {row.errorMessage && (
        <p>
          <b>{t("requests.error")}:</b> {row.errorMessage}{" "}
          {row.errorCode && <span className="mono">{row.errorCode}</span>}
        </p>
      )}
      <div className="details-grid">
        <section>
          <h2>{t("requests.timeline")}</h2>
          <Timeline attempts={row.attempts} />
        </section>
        <section>
          <h2>{t("requests.col.tokens")}</h2>
          <Facts
            rows={[
              [t("requests.input"), count(row.inputTokens)],
              [t("requests.col.cached"), count(row.cachedInputTokens)],
              [t("requests.output"), count(row.outputTokens)],
              [t("requests.reasoning"), count(row.reasoningTokens)],
              [t("requests.col.cost"), money(row.costUsd)],
              [t("requests.col.first"), duration(row.firstEventMs)],
              [t("requests.col.total"), duration(row.latencyMs)],
            ]}
          />
        </section>
        <section>
          <h2>{t("requests.ids")}</h2>
          <Facts
            rows={[
              [t("requests.time"), full(row.requestedAt)],
              [
                t("requests.endpoint"),
                <span key="e" className="mono">
                  {row.endpoint ?? UNKNOWN}
                </span>,
              ],
              [t("requests.http"), row.httpStatus ?? UNKNOWN],
              [t("requests.client"), row.client ?? UNKNOWN],
              [t("requests.tier"), row.serviceTier ?? UNKNOWN],
              [t("requests.id"), <Id key="r" label={t("requests.id")} id={row.requestId} />],
              [t("requests.responseId"), <Id key="p" label={t("requests.responseId")} id={row.responseId} />],
              [t("requests.sessionId"), <Id key="s" label={t("requests.sessionId")} id={row.sessionId} />],
            ]}
          />
          {row.responseId && (
            <Link className="link note" href={`/calls?open=${encodeURIComponent(row.responseId)}`}>
              {t("requests.call")}
            </Link>
          )}
        </section>
      </div>
    </div>
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

/** Each attempt as a bar as long as it took, so that waiting is seen. */
function Timeline({ attempts }: { attempts: Attempt[] }) {
  const most = Math.max(1, ...attempts.map(({ ms }) => ms ?? 0));
  return (
    <ol className="attempts">
      {attempts.map((attempt, index) => (
        <li key={index}>
          <div>
            <b>{attempt.accountName ?? attempt.account ?? t("requests.attempt", { n: index + 1 })}</b>{" "}
            <span className="muted">{attempt.reason}</span>
          </div>
          <div className="attempt-bar" aria-hidden="true">
            <i style={{ width: `${Math.max(1, ((attempt.ms ?? 0) / most) * 100)}%` }} />
          </div>
          <div className="muted">{outcome(attempt)}</div>
        </li>
      ))}
    </ol>
  );
}

/** How an attempt ended; its HTTP status only where the words do not name it already. */
function outcome({ outcome: words, status, ms }: Attempt): string {
  const named = status === null || words.includes(String(status));
  return [words, ...(named ? [] : [status]), duration(ms)].join(" · ");
}
