/** Create or edit an API key: name, end, models, accounts and limits. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";
import { useAccounts } from "../accounts";
import { api, send, type ApiError, type ApiKey } from "../api";
import { dayOf, full } from "../format";
import { MEASURES, problem, rowOf, ruleOf, simple, windowText, WINDOWS, type Row } from "../limits";
import { refetch } from "../live";
import { t } from "../words";
import { Buttons } from "./Buttons";
import { Ticks } from "./Ticks";

const DAY = 24 * 3600 * 1000;
const PRESETS = { "1d": 1, "7d": 7, "30d": 30, "90d": 90, "1y": 365 } as const;
type Preset = keyof typeof PRESETS;

interface Draft {
  name: string;
  expiry: string;
  day: string;
  models: string[] | null;
  accounts: string[] | null;
  rows: Row[];
}

function draftOf(key: ApiKey | null): Draft {
  return {
    name: key?.name ?? "",
    expiry: key?.expiresAt ? "keep" : "never",
    day: "",
    models: key?.allowedModels ?? null,
    accounts: key?.assignedAccountIds ?? null,
    rows: key?.limits.map(rowOf) ?? [],
  };
}

/** The end that was chosen, as the server takes it; a day ends with its last moment here. */
function endOf({ expiry, day }: Draft, key: ApiKey | null): string | null {
  if (expiry === "keep") return key?.expiresAt ?? null;
  if (expiry === "date") return new Date(`${day}T23:59:59`).toISOString();
  return expiry in PRESETS ? new Date(Date.now() + PRESETS[expiry as Preset] * DAY).toISOString() : null;
}

type Problems = Partial<Record<"name" | "expiry" | "models" | "accounts" | "rows", string>>;

function problemsOf(draft: Draft): Problems {
  const found: Problems = {};
  if (!draft.name.trim()) found.name = t("keys.nameMissing");
  if (draft.expiry === "date" && !(draft.day >= dayOf(Date.now()))) found.expiry = t("keys.expiry.past");
  if (draft.models?.length === 0) found.models = t("keys.models.none");
  if (draft.accounts?.length === 0) found.accounts = t("keys.accounts.none");
  const wrong = draft.rows.map((row) => problem(row, draft.rows)).find(Boolean);
  if (wrong) found.rows = wrong;
  return found;
}

interface Props {
  /** The key to edit; null makes a new one. */
  of: ApiKey | null;
  close: () => void;
  done: (key: ApiKey & { key?: string }) => void;
}

export function KeyForm({ of, close, done }: Props) {
  const client = useQueryClient();
  const [draft, setDraft] = useState(() => draftOf(of));
  const [tried, setTried] = useState(false);
  const change = (more: Partial<Draft>) => setDraft((before) => ({ ...before, ...more }));
  const problems = problemsOf(draft);
  const shown = tried ? problems : {};
  const save = useMutation<ApiKey & { key?: string }, ApiError>({
    mutationFn: () =>
      send(of ? "PATCH" : "POST", of ? `/api/api-keys/${encodeURIComponent(of.id)}` : "/api/api-keys/", {
        name: draft.name.trim(),
        expiresAt: endOf(draft, of),
        allowedModels: draft.models,
        assignedAccountIds: draft.accounts,
        limits: draft.rows.map(ruleOf),
      }),
    onSuccess: done,
    onSettled: () => refetch(client, ["keys"]),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (Object.keys(problems).length === 0) save.mutate();
  };
  return (
    <form className="stack key-form" onSubmit={submit} noValidate>
      <Name value={draft.name} problem={shown.name} change={(name) => change({ name })} />
      <Expiry draft={draft} of={of} problem={shown.expiry} change={change} />
      <Choices draft={draft} shown={shown} change={change} />
      <Limits rows={draft.rows} tried={tried} change={(rows) => change({ rows })} />
      {save.isError && (
        <p className="error" role="alert">
          {save.error.message}
        </p>
      )}
      <Buttons close={close} busy={save.isPending} word={t(of ? "do.save" : "keys.create")} />
    </form>
  );
}

interface NameProps {
  value: string;
  problem: string | undefined;
  change: (value: string) => void;
}

function Name({ value, problem: wrong, change }: NameProps) {
  const id = useId();
  return (
    <div className="line">
      <label htmlFor={id}>{t("keys.name")}</label>
      <div>
        <input
          id={id}
          value={value}
          maxLength={128}
          autoFocus
          aria-invalid={wrong !== undefined}
          aria-describedby={`${id}-hint`}
          onChange={(event) => change(event.target.value)}
        />
        <p className={wrong ? "error" : "note"} id={`${id}-hint`} role={wrong ? "alert" : undefined}>
          {wrong ?? t("keys.nameHint")}
        </p>
      </div>
    </div>
  );
}

interface ExpiryProps {
  draft: Draft;
  of: ApiKey | null;
  problem: string | undefined;
  change: (more: Partial<Draft>) => void;
}

function Expiry({ draft, of, problem: wrong, change }: ExpiryProps) {
  const id = useId();
  return (
    <div className="line">
      <label htmlFor={id}>{t("keys.expiry")}</label>
      <div>
        <div className="tools">
          <select
            id={id}
            value={draft.expiry}
            onChange={(event) => change({ expiry: event.target.value })}
          >
            {of?.expiresAt && (
              <option value="keep">{t("keys.expiry.keep", { when: full(of.expiresAt) })}</option>
            )}
            <option value="never">{t("keys.expiry.never")}</option>
            {(Object.keys(PRESETS) as Preset[]).map((preset) => (
              <option key={preset} value={preset}>
                {t(`keys.expiry.${preset}`)}
              </option>
            ))}
            <option value="date">{t("keys.expiry.date")}</option>
          </select>
          {draft.expiry === "date" && (
            <input
              type="date"
              aria-label={t("keys.expiry.day")}
              min={dayOf(Date.now())}
              max="9999-12-30"
              value={draft.day}
              aria-invalid={wrong !== undefined}
              onChange={(event) => change({ day: event.target.value })}
            />
          )}
        </div>
        {wrong && (
          <p className="error" role="alert">
            {wrong}
          </p>
        )}
      </div>
    </div>
  );
}

interface Models {
  models: { id: string; name: string }[];
}

/** The models that can be asked for. */
export function useModels() {
  return useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => api<Models>("/api/models", { signal }),
    select: ({ models }) => models.map(({ id, name }) => ({ value: id, label: name || id })),
  });
}

interface ChoicesProps {
  draft: Draft;
  shown: Problems;
  change: (more: Partial<Draft>) => void;
}

function Choices({ draft, shown, change }: ChoicesProps) {
  const models = useModels().data ?? [];
  const accounts = useAccounts().data ?? [];
  return (
    <>
      <Ticks
        legend={t("keys.models")}
        every={t("keys.models.every")}
        some={t("keys.models.some")}
        find={t("keys.models.find")}
        options={models}
        chosen={draft.models}
        change={(chosen) => change({ models: chosen })}
        problem={shown.models ?? ""}
      />
      <Ticks
        legend={t("keys.accounts")}
        every={t("keys.accounts.every")}
        some={t("keys.accounts.some")}
        find={t("keys.accounts.find")}
        options={accounts.map(({ accountId, displayName }) => ({ value: accountId, label: displayName }))}
        chosen={draft.accounts}
        change={(chosen) => change({ accounts: chosen })}
        problem={shown.accounts ?? ""}
      />
    </>
  );
}

interface LimitsProps {
  rows: Row[];
  tried: boolean;
  change: (rows: Row[]) => void;
}

function Limits({ rows, tried, change }: LimitsProps) {
  const id = useId();
  const [advanced, setAdvanced] = useState(() => !simple(rows));
  const fits = simple(rows);
  return (
    <fieldset>
      <legend>{t("keys.limits")}</legend>
      <div className="either">
        <label className="check" title={fits ? undefined : t("keys.limits.tooMuch")}>
          <input
            type="radio"
            name={id}
            checked={!advanced}
            disabled={!fits}
            onChange={() => setAdvanced(false)}
          />
          {t("keys.limits.basic")}
        </label>
        <label className="check">
          <input type="radio" name={id} checked={advanced} onChange={() => setAdvanced(true)} />
          {t("keys.limits.advanced")}
        </label>
      </div>
      {advanced ? (
        <Advanced rows={rows} tried={tried} change={change} />
      ) : (
        <Basic rows={rows} tried={tried} change={change} />
      )}
      <p className="note">{t(advanced ? "keys.limits.hint" : "keys.limits.basicHint")}</p>
      {rows.some(({ measure }) => measure === "cost_usd") && (
        <p className="note">{t("keys.limits.noPrice")}</p>
      )}
    </fieldset>
  );
}

const BASIC = [
  { measure: "total_tokens", word: "keys.limits.tokens" },
  { measure: "cost_usd", word: "keys.limits.cost" },
] as const;

function Basic({ rows, tried, change }: LimitsProps) {
  const id = useId();
  return (
    <div className="basic">
      {BASIC.map(({ measure, word }) => {
        const row = rows.find((one) => one.measure === measure);
        const wrong = row && tried ? problem(row, rows) : "";
        const put = (amount: string) => {
          const others = rows.filter((one) => one !== row);
          change(amount.trim() ? [...others, { measure, amount, window: "weekly", model: "" }] : others);
        };
        return (
          <div key={measure}>
            <label htmlFor={id + measure}>{t(word)}</label>
            <input
              id={id + measure}
              inputMode="decimal"
              value={row?.amount ?? ""}
              aria-invalid={wrong !== ""}
              onChange={(event) => put(event.target.value)}
            />
            {wrong && (
              <p className="error" role="alert">
                {wrong}
              </p>
            )}
          </div>
        );
      })}
    </div>
  );
}

const FRESH: Row = { measure: "total_tokens", amount: "", window: "daily", model: "" };

function Advanced({ rows, tried, change }: LimitsProps) {
  const models = useModels().data ?? [];
  const put = (index: number, more: Partial<Row>) =>
    change(rows.map((row, at) => (at === index ? { ...row, ...more } : row)));
  return (
    <div className="limit-rows">
      {rows.map((row, index) => (
        <LimitRow
          key={index}
          row={row}
          n={index + 1}
          models={models.map(({ value }) => value)}
          problem={tried ? problem(row, rows) : ""}
          put={(more) => put(index, more)}
          remove={() => change(rows.filter((_, at) => at !== index))}
        />
      ))}
      <button type="button" onClick={() => change([...rows, FRESH])}>
        {t("keys.limit.add")}
      </button>
    </div>
  );
}

interface LimitRowProps {
  row: Row;
  n: number;
  models: string[];
  problem: string;
  put: (more: Partial<Row>) => void;
  remove: () => void;
}

/** The values offered, and the stored one even when it is offered no more. */
function withOwn(values: readonly string[], own: string): string[] {
  return own === "" || values.includes(own) ? [...values] : [...values, own];
}

function LimitRow({ row, n, models, problem: wrong, put, remove }: LimitRowProps) {
  return (
    <div className="limit-row" role="group" aria-label={t("keys.limit.row", { n })}>
      <input
        className="short-input"
        inputMode="decimal"
        aria-label={t("keys.limit.amount")}
        placeholder={t("keys.limit.amount")}
        value={row.amount}
        aria-invalid={wrong !== ""}
        onChange={(event) => put({ amount: event.target.value })}
      />
      <select
        aria-label={t("keys.limit.measure")}
        value={row.measure}
        onChange={(event) => put({ measure: event.target.value as Row["measure"] })}
      >
        {MEASURES.map((measure) => (
          <option key={measure} value={measure}>
            {t(`keys.measure.${measure}`)}
          </option>
        ))}
      </select>
      <select
        aria-label={t("keys.limit.window")}
        value={row.window}
        onChange={(event) => put({ window: event.target.value })}
      >
        {withOwn(WINDOWS, row.window).map((window) => (
          <option key={window} value={window}>
            {windowText(window)}
          </option>
        ))}
      </select>
      <select
        aria-label={t("keys.limit.model")}
        value={row.model}
        onChange={(event) => put({ model: event.target.value })}
      >
        <option value="">{t("keys.limit.every")}</option>
        {withOwn(models, row.model).map((model) => (
          <option key={model} value={model}>
            {model}
          </option>
        ))}
      </select>
      <button type="button" className="quiet" aria-label={t("keys.limit.remove", { n })} onClick={remove}>
        ✕
      </button>
      {wrong && (
        <p className="error" role="alert">
          {wrong}
        </p>
      )}
    </div>
  );
}
