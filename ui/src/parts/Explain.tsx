/** A dry run of the choice: who would serve a request now, and why nobody else would. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useId, useState } from "react";
import { statusMark, type Mark } from "../allowance";
import { api, query, type ApiKey, type Explained, type ExplainedAccount } from "../api";
import { percent, when } from "../format";
import { useNow, useRested } from "../hooks";
import { told } from "../told";
import { t, tIf } from "../words";
import { useModels } from "./KeyForm";
import { Sign } from "./Sign";
import { Empty, Failure, Skeleton } from "./States";

export function Explain({ keys }: { keys: ApiKey[] }) {
  const [model, setModel] = useState("");
  const [session, setSession] = useState("");
  const [key, setKey] = useState("");
  const asked = { model, session: useRested(session.trim()), keyId: key };
  const found = useQuery({
    queryKey: ["explain", asked],
    queryFn: ({ signal }) => api<Explained>(`/api/routing/explain${query(asked)}`, { signal }),
    meta: { topics: ["accounts", "settings", "requests"] },
    placeholderData: keepPreviousData,
    refetchInterval: 10_000,
  });
  return (
    <div className="stack">
      <p>{t("explain.text")}</p>
      <form className="filters" onSubmit={(event) => event.preventDefault()}>
        <Model value={model} change={setModel} />
        {keys.length > 0 && <Key value={key} keys={keys} change={setKey} />}
        <Session value={session} change={setSession} />
      </form>
      {found.isPending && <Skeleton lines={5} />}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data && !found.isError && <Answer found={found.data} />}
    </div>
  );
}

interface FieldProps {
  value: string;
  change: (value: string) => void;
}

function Model({ value, change }: FieldProps) {
  const id = useId();
  const models = useModels().data ?? [];
  return (
    <span className="field">
      <label htmlFor={id}>{t("filter.model")}</label>
      <select id={id} value={value} onChange={(event) => change(event.target.value)}>
        <option value="">{t("filter.any")}</option>
        {models.map(({ value: one, label }) => (
          <option key={one} value={one}>
            {label}
          </option>
        ))}
      </select>
    </span>
  );
}

function Key({ value, keys, change }: FieldProps & { keys: ApiKey[] }) {
  const id = useId();
  return (
    <span className="field">
      <label htmlFor={id}>{t("filter.key")}</label>
      <select id={id} value={value} title={keys.find((key) => key.id === value)?.name} onChange={(event) => change(event.target.value)}>
        <option value="">{t("explain.noKey")}</option>
        {keys.map((key) => (
          <option key={key.id} value={key.id}>
            {key.name}
          </option>
        ))}
      </select>
    </span>
  );
}

function Session({ value, change }: FieldProps) {
  const id = useId();
  return (
    <span className="field">
      <label htmlFor={id}>{t("explain.session")}</label>
      <input
        id={id}
        value={value}
        maxLength={255}
        placeholder={t("explain.newThread")}
        onChange={(event) => change(event.target.value)}
      />
    </span>
  );
}

function Answer({ found }: { found: Explained }) {
  const now = useNow();
  const { choice, candidates } = found;
  if (!candidates.length) return <Empty title={t("accounts.none")}>{t("accounts.noneText")}</Empty>;
  return (
    <>
      <p className="answer" aria-live="polite">
        {choice.accountId ? (
          <>
            <b>{choice.name}</b> <span className="muted">{told(choice.reason, choice.reasonSaid)}</span>
          </>
        ) : (
          <>
            <Sign mark="crit" />
            <b>{t("explain.nobody")}</b>{" "}
            <span className="muted">
              {told(choice.reason, choice.reasonSaid)}{" "}
              {choice.retryAt && t("explain.retry", { when: when(choice.retryAt, now) })}
            </span>
          </>
        )}
      </p>
      <p className="note">
        {t("explain.strategy", {
          strategy: tIf(`settings.strategy.${found.strategy}`, found.strategy),
        })}
        {found.limit && ` ${t("explain.limit", { limit: found.limit })}`}
        {found.waiting > 0 && ` ${t("explain.waiting", { count: found.waiting })}`}
      </p>
      <Candidates all={candidates} now={now} />
    </>
  );
}

/** Chosen first, then who could, then the others. */
function ordered(all: ExplainedAccount[]): ExplainedAccount[] {
  const rank = ({ state }: ExplainedAccount) => (state === "chosen" ? 0 : state === "waiting" ? 1 : 2);
  return [...all].sort((a, b) => rank(a) - rank(b) || b.sharePercent - a.sharePercent);
}

function markOf(state: string): Mark {
  if (state === "chosen" || state === "waiting" || state === "left_out") return "ok";
  if (state === "paused" || state === "sign_in_needed") return statusMark(state);
  return "warn";
}

function Candidates({ all, now }: { all: ExplainedAccount[]; now: number }) {
  return (
    <div className="scroll">
      <table className="candidates">
        <caption className="hidden">{t("explain.candidates")}</caption>
        <thead>
          <tr>
            <th scope="col">{t("requests.col.account")}</th>
            <th scope="col">{t("explain.why")}</th>
            <th scope="col" className="num">
              {t("explain.headroom")}
            </th>
            <th scope="col" className="num">
              {t("explain.share")}
            </th>
          </tr>
        </thead>
        <tbody>
          {ordered(all).map((one) => (
            <tr key={one.accountId} data-chosen={one.state === "chosen" || undefined}>
              <th scope="row">{one.name}</th>
              <td>
                <Sign mark={markOf(one.state)} />
                {told(one.reason, one.reasonSaid)}
                {one.retryAt && (
                  <span className="muted"> · {t("explain.until", { when: when(one.retryAt, now) })}</span>
                )}
              </td>
              <td className="num">{percent(one.headroomPercent)}</td>
              <td className="num">{percent(one.sharePercent)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
