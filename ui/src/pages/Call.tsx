/** Why did one call cost what it did? Its figures, its turn, who saw it, and the lines behind it. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { useNames } from "../accounts";
import { api, type CallRow } from "../api";
import { cacheAdvice, cost } from "../calls";
import "../call.css";
import { callPath, wholeTurn, type Deltas, type Investigated } from "../evidence";
import { count, credits, decimal, duration, exact, full, money, share, UNKNOWN } from "../format";
import { useTitle } from "../hooks";
import { severityMark } from "../insights";
import { Arrow } from "../parts/Arrow";
import { CopyLink } from "../parts/Chips";
import { Copy, Facts } from "../parts/Copy";
import { EvidenceCard, useEvidence } from "../parts/EvidenceList";
import { Place } from "../parts/Place";
import { PrivacyMode } from "../parts/Privacy";
import { Rates } from "../parts/Rates";
import { Sign } from "../parts/Sign";
import { Awaited } from "../parts/States";
import { TurnTime } from "../parts/TurnTime";
import { Witnesses } from "../parts/Witnesses";
import { titleOf } from "../threads";
import { t, tIf, type Word } from "../words";

export function CallPage({ id }: { id: string }) {
  const found = useQuery({
    queryKey: ["call", id],
    queryFn: ({ signal }) => api<Investigated>(`/api/calls/${encodeURIComponent(id)}`, { signal }),
    meta: { topics: ["calls", "settings"] },
    placeholderData: keepPreviousData,
  });
  const call = found.data;
  useTitle(t("calls.detail"));
  return (
    <>
      <p className="note crumb">
        <Link href="/calls"><Arrow to="back" /> {t("calls.title")}</Link>
        {call?.threadId && (
          <>
            {" · "}
            <Link href={`/threads/${encodeURIComponent(call.threadId)}`}>
              <bdi>{titleOf(call.threadTitle, call.threadId ?? call.sessionId)}</bdi>
            </Link>
          </>
        )}
      </p>
      <header>
        <div>
          <h1>{t("calls.detail")}</h1>
          {call && (
            <p className="note">
              {[full(call.at), call.project, call.model, call.effort, call.tier].filter(Boolean).join(" · ")}
            </p>
          )}
        </div>
        <span className="tools">
          <PrivacyMode />
          {call && <Way call={call} />}
        </span>
      </header>
      {(found.isPending || found.isError) && (
        <Awaited
          found={found}
          missing={[t("call.notFound"), t("call.notFoundText")]}
          list={["/calls", t("calls.title")]}
        />
      )}
      {call && !found.isError && <Loaded key={call.id} call={call} />}
    </>
  );
}

/** To the neighbours in the thread. */
function Way({ call }: { call: Investigated }) {
  const step = (id: string | null, word: Word, text: React.ReactNode) =>
    id ? (
      <Link className="button" href={callPath(id)}>
        {text}
      </Link>
    ) : (
      <button type="button" disabled aria-label={t(word)}>
        {text}
      </button>
    );
  return (
    <span className="tools">
      {step(call.previous, "calls.previous", <><Arrow to="back" /> {t("calls.previous")}</>)}
      {step(call.next, "calls.next", <>{t("calls.next")} <Arrow to="on" /></>)}
      <CopyLink />
    </span>
  );
}

function Loaded({ call }: { call: Investigated }) {
  const accounts = useNames();
  const evidence = useEvidence(call.id);
  const turn = wholeTurn(call.turn, evidence.found.data?.tools);
  return (
    <>
      <Sums call={call} />
      <div className="grid call-grid">
        <section className="card">
          <h2>{t("call.compared")}</h2>
          <Compared call={call} />
        </section>
        <section className="card">
          <h2>{t("calls.why")}</h2>
          <Advice call={call} />
        </section>
      </div>
      <section className="card">
        <h2>{t("call.turn")}</h2>
        {turn ? <TurnTime turn={turn} call={call.id} /> : <p className="note">{t("call.turn.none")}</p>}
      </section>
      <section className="card">
        <h2>{t("calls.witnesses")}</h2>
        <Witnesses call={call} accounts={accounts} as="h3" />
      </section>
      <EvidenceCard of={evidence} />
      <div className="grid call-grid">
        <section className="card">
          <h2>{t("call.rates")}</h2>
          <Rates call={call} />
        </section>
        <section className="card">
          <h2>{t("call.place")}</h2>
          <Place call={call} />
        </section>
      </div>
      <Names call={call} />
    </>
  );
}

/** The figures at a glance; each says how sure it is. */
function Sums({ call }: { call: Investigated }) {
  const sure = (key: string) => {
    if (key === "costUsd" && call.costUsd !== null) return t(`calls.price.${call.priceStatus}`);
    if (key === "credits") return t(`calls.credit.${call.creditConfidence ?? "unpriced"}`);
    if (call.confidence.exact.includes(key)) return t("calls.exact");
    if (call.confidence.estimated.includes(key)) return t("call.estimated");
    return call.confidence.derived.includes(key) ? t("calls.derived") : "";
  };
  const parts: [Word, React.ReactNode, string][] = [
    ["calls.col.cost", cost(call), "costUsd"],
    ["calls.credits", credits(call.credits), "credits"],
    ["calls.col.tokens", count(call.totalTokens), "totalTokens"],
    ["call.cumulative", <span key="s" title={t("call.cumulative.title")}>{count(call.cumulativeTokens)}</span>, "cumulativeTokens"],
    ["calls.col.new", count(call.uncachedInputTokens), "uncachedInputTokens"],
    ["calls.cacheShare", share(call.cacheRatio), "cacheRatio"],
    [
      "calls.contextShare",
      share(call.contextPercent === null ? null : call.contextPercent / 100),
      "contextPercent",
    ],
    ["calls.col.duration", duration(call.durationMs), "durationMs"],
    ["calls.col.gap", duration(call.gapMs), "gapMs"],
  ];
  return (
    <section className="card">
      <dl className="totals inner figures">
        {parts.map(([word, value, key]) => (
          <div key={word}>
            <dd>{value}</dd>
            <dt>{t(word)}</dt>
            <dd className="sure">{sure(key)}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

type Written = "cacheWriteTokens" | "cacheWrite1hTokens";
type Counted = Written | "inputTokens" | "cachedInputTokens" | "uncachedInputTokens" | "outputTokens" | "reasoningTokens";

const ROWS: [Word, Counted, (1 | 2)?][] = [
  ["calls.col.input", "inputTokens"],
  ["calls.col.cached", "cachedInputTokens"],
  ["calls.col.new", "uncachedInputTokens"],
  // A part of the one above, which costs otherwise; most providers tell of none.
  ["call.written", "cacheWriteTokens", 1],
  ["call.writtenHour", "cacheWrite1hTokens", 2],
  ["calls.col.output", "outputTokens"],
  ["calls.col.reasoning", "reasoningTokens"],
];

const signed = (n: number, text: string) => (n > 0 ? `+${text}` : n < 0 ? `−${text}` : text);

function Compared({ call }: { call: Investigated }) {
  const { deltas } = call;
  // A share that falls from 90 to 45 % falls by 45 points, and not by 45 %.
  const ratio = (value: number | null) =>
    value === null ? UNKNOWN : signed(value, t("call.points", { n: decimal(Math.abs(value) * 100) }));
  return (
    <>
      <div className="scroll" tabIndex={0} role="group" aria-label={t("call.compared")}>
        <table className="compared">
          <thead>
            <tr>
              <th scope="col">{t("call.figure")}</th>
              <th scope="col" className="num">
                {t("call.this")}
              </th>
              {deltas && (
                <>
                  <th scope="col" className="num">
                    {t("call.before")}
                  </th>
                  <th scope="col" className="num">
                    {t("call.change")}
                  </th>
                </>
              )}
            </tr>
          </thead>
          <tbody>
            {ROWS.filter(([, key, part]) => !part || call[key] || deltas?.[key]).map(([word, key, part]) => (
              <tr key={key}>
                <th scope="row" className={part && `depth${part}`}>
                  {t(word)}
                </th>
                <td className="num">{exact(call[key])}</td>
                {deltas && <Change now={call[key]} by={deltas[key]} />}
              </tr>
            ))}
            <tr>
              <th scope="row">{t("calls.cacheShare")}</th>
              <td className="num">{share(call.cacheRatio)}</td>
              {deltas && <Shares call={call} deltas={deltas} ratio={ratio} />}
            </tr>
            <tr>
              <th scope="row">{t("calls.col.cost")}</th>
              <td className="num">{cost(call)}</td>
              {deltas && <Costs call={call} by={deltas.costUsd} />}
            </tr>
          </tbody>
        </table>
      </div>
      <p className="note">
        {deltas ? tIf(`call.reading.${deltas.reading}`, "") : t("call.first")} {deltas && t("call.accounting")}
      </p>
    </>
  );
}

function Change({ now, by }: { now: number | null; by: number | null }) {
  return (
    <>
      <td className="num">{exact(now === null || by === null ? null : now - by)}</td>
      <td className="num">{by === null ? UNKNOWN : signed(by, exact(Math.abs(by)))}</td>
    </>
  );
}

function Shares({
  call,
  deltas,
  ratio,
}: {
  call: CallRow;
  deltas: Deltas;
  ratio: (value: number | null) => string;
}) {
  const by = deltas.cacheRatio;
  return (
    <>
      <td className="num">{share(by === null || call.cacheRatio === null ? null : call.cacheRatio - by)}</td>
      <td className="num">{ratio(by)}</td>
    </>
  );
}

function Costs({ call, by }: { call: CallRow; by: number | null }) {
  const known = by !== null && call.costUsd !== null;
  return (
    <>
      <td className="num">{known ? money((call.costUsd ?? 0) - by) : UNKNOWN}</td>
      <td className="num">{known ? signed(by, money(Math.abs(by))) : UNKNOWN}</td>
    </>
  );
}

/** What happened to the cache, what stands out, and what to do about it. */
function Advice({ call }: { call: Investigated }) {
  const found = call.recommendations ?? [];
  return (
    <ul className="attention advice">
      {call.cacheLabel && (
        <li>
          <Sign mark={["cold", "spike"].includes(call.cacheLabel) ? "warn" : "none"} />
          <div>
            <b>{tIf(`cache.${call.cacheLabel}`, call.cacheLabel)}</b>
            <span>{cacheAdvice(call)}</span>
          </div>
        </li>
      )}
      {found.map(({ key, severity }) => (
        <li key={key}>
          <Sign mark={severityMark(severity)} />
          <div>
            <b>{tIf(`flag.${key}`, key)}</b>
            <span>{tIf(`advice.${key}`, "")}</span>
          </div>
        </li>
      ))}
      {!call.cacheLabel && !found.length && <li className="note">{t("threads.lifecycle.none")}</li>}
    </ul>
  );
}

function Names({ call }: { call: Investigated }) {
  const id = (text: string | null, word: Word) =>
    text ? (
      <>
        <span className="mono">{text}</span> <Copy text={text} label={t(word)} />
      </>
    ) : (
      UNKNOWN
    );
  return (
    <details className="card ids">
      <summary>
        <h2>{t("requests.ids")}</h2>
      </summary>
      <Facts
        rows={[
          [t("calls.callId"), id(call.id, "calls.callId")],
          [t("calls.sessionId"), id(call.sessionId, "calls.sessionId")],
          [t("calls.threadId"), id(call.threadId, "calls.threadId")],
          [t("calls.provider"), tIf(`provider.${call.provider}`, call.provider)],
          [
            t("calls.col.initiator"),
            tIf(`calls.initiator.${call.initiator ?? "unknown"}`, call.initiator ?? UNKNOWN),
          ],
          [t("call.logFile"), id(call.log?.file ?? null, "call.logFile")],
          [t("call.logPlace"), exact(call.log?.offset)],
        ]}
      />
    </details>
  );
}
