/** One request opened: its attempts in order, where its time and cost went, and its ids. */
import { Link } from "wouter";
import type { Attempt, RequestRow } from "../api";
import { callPath } from "../evidence";
import { count, duration, full, money, UNKNOWN } from "../format";
import { phases, spans } from "../timing";
import { told } from "../told";
import { t } from "../words";
import { Copy, Facts } from "./Copy";

interface Props {
  row: RequestRow;
  /** The name of its API key, when it came with one. */
  keyName: string | null;
}

export function RequestDetails({ row, keyName }: Props) {
  return (
    <div className="details">
      {(row.errorMessage || row.errorCode) && (
        <p>
          <b>{t("requests.error")}:</b> {row.errorMessage && told(row.errorMessage, row.errorSaid)}{" "}
          {row.errorCode && <span className="mono">{row.errorCode}</span>}
        </p>
      )}
      <div className="details-grid">
        <section>
          <h2>{t("requests.timeline")}</h2>
          <Timeline attempts={row.attempts} whole={row.latencyMs ?? 0} />
          <h2>{t("requests.timing")}</h2>
          <Timing row={row} />
        </section>
        <section>
          <h2>{t("requests.col.tokens")}</h2>
          <Spent row={row} />
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
              [t("filter.key"), keyName ?? UNKNOWN],
              [t("requests.tier"), row.serviceTier ?? UNKNOWN],
              [t("requests.id"), <Id key="r" label={t("requests.id")} id={row.requestId} />],
              [t("requests.responseId"), <Id key="p" label={t("requests.responseId")} id={row.responseId} />],
              [t("requests.sessionId"), <Id key="s" label={t("requests.sessionId")} id={row.sessionId} />],
            ]}
          />
          {row.responseId && (
            <Link className="link note" href={callPath(row.responseId)}>
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

/** Each attempt where it lies in the whole, so that waiting is seen. */
function Timeline({ attempts, whole }: { attempts: Attempt[]; whole: number }) {
  const places = spans(attempts, whole);
  if (!attempts.length) return <p className="note">{t("requests.noAttempt")}</p>;
  return (
    <ol className="attempts">
      {attempts.map((attempt, index) => (
        <li key={index}>
          <div>
            <b>{attempt.accountName ?? attempt.account ?? t("requests.attempt", { n: index + 1 })}</b>{" "}
            <span className="muted">{told(attempt.reason, attempt.reasonSaid)}</span>
          </div>
          <div className="attempt-bar" aria-hidden="true">
            <i
              style={{
                marginInlineStart: `${places[index]?.from ?? 0}%`,
                width: `${places[index]?.width ?? 0}%`,
              }}
            />
          </div>
          <div className="muted">{outcome(attempt)}</div>
        </li>
      ))}
    </ol>
  );
}

/** How an attempt ended; its HTTP status only where the words do not name it already. */
function outcome({ outcome: words, outcomeSaid, status, ms }: Attempt): string {
  const named = status === null || words.includes(String(status));
  return [told(words, outcomeSaid), ...(named ? [] : [status]), duration(ms)].join(" · ");
}

const COLOURS = { earlier: "other", waiting: "c2", silent: "c2", streaming: "c1" } as const;

/** Where the time went: one bar, and the same in words. */
function Timing({ row }: { row: RequestRow }) {
  const parts = phases(row);
  return (
    <>
      {parts.length > 0 && (
        <div className="phases" aria-hidden="true">
          {parts.map(({ name, ms }) => (
            <i key={name} className={COLOURS[name]} style={{ flexGrow: ms }} />
          ))}
        </div>
      )}
      <dl className="phase-facts">
        {parts.map(({ name, ms }) => (
          <div key={name}>
            <dt>
              <i className={`swatch ${COLOURS[name]}`} aria-hidden="true" />
              {t(`requests.phase.${name}`)}
            </dt>
            <dd className="num">{duration(ms)}</dd>
          </div>
        ))}
        <div className="sum">
          <dt>{t("requests.col.total")}</dt>
          <dd className="num">{duration(row.latencyMs)}</dd>
        </div>
      </dl>
    </>
  );
}

/** Tokens of each kind, and what each cost. */
function Spent({ row }: { row: RequestRow }) {
  const parts = row.costParts;
  const fresh =
    row.inputTokens === null ? null : row.inputTokens - Math.min(row.cachedInputTokens ?? 0, row.inputTokens);
  const lines = [
    [t("requests.fresh"), fresh, parts?.uncachedInput],
    [t("requests.cachedInput"), row.cachedInputTokens, parts?.cachedInput],
    [t("requests.output"), row.outputTokens, parts?.output],
  ] as const;
  return (
    <table className="spent">
      <thead>
        <tr>
          <th scope="col">{t("requests.kind")}</th>
          <th scope="col" className="num">
            {t("requests.col.tokens")}
          </th>
          <th scope="col" className="num">
            {t("requests.col.cost")}
          </th>
        </tr>
      </thead>
      <tbody>
        {lines.map(([name, tokens, cost]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td className="num">{count(tokens)}</td>
            <td className="num">{money(cost)}</td>
          </tr>
        ))}
        <tr>
          <th scope="row" className="muted">
            {t("requests.ofIt")}
          </th>
          <td className="num muted">{count(row.reasoningTokens)}</td>
          <td />
        </tr>
        <tr className="sum">
          <th scope="row">{t("requests.sum")}</th>
          <td className="num">{count(row.tokens)}</td>
          <td className="num">{money(row.costUsd)}</td>
        </tr>
      </tbody>
    </table>
  );
}
