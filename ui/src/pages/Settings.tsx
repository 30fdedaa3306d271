/** Settings: the clients that we are connected to, and every runtime setting with what it means. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useId, useState, type ReactNode } from "react";
import { useAccounts } from "../accounts";
import { api, send, type ApiError, type Settings as Values } from "../api";
import { useTitle } from "../hooks";
import { refetch } from "../live";
import { LANGUAGES } from "../languages";
import { Connect } from "../parts/Connect";
import { Relay } from "../parts/Relay";
import { Security } from "../parts/Security";
import { Failure, Skeleton } from "../parts/States";
import { choose, THEMES, useTheme, type Theme } from "../theme";
import { t, type Word } from "../words";

const STRATEGIES = [
  "capacity_weighted",
  "usage_weighted",
  "round_robin",
  "fill_first",
  "reset_drain",
  "single_account",
] as const;

export function Settings() {
  useTitle(t("settings.title"));
  const found = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => api<Values>("/api/settings", { signal }),
    meta: { topics: ["settings"] },
  });
  return (
    <>
      <header>
        <h1>{t("settings.title")}</h1>
      </header>
      <Connect />
      {found.isPending && (
        <section className="card">
          <Skeleton lines={8} />
        </section>
      )}
      {found.isError && !found.data && (
        <section className="card">
          <Failure error={found.error} retry={() => void found.refetch()} />
        </section>
      )}
      {found.data && <Groups values={found.data} />}
      <Relay />
      <Look values={found.data} />
    </>
  );
}

function Groups({ values }: { values: Values }) {
  return (
    <>
      <section className="card">
        <h2>{t("settings.routing")}</h2>
        <Strategy values={values} />
        {values.routingStrategy === "single_account" && <SingleAccount values={values} />}
        <Switch name="stickyThreadsEnabled" values={values} />
        <Switch name="preferEarlierResetAccounts" values={values} />
      </section>
      <section className="card">
        <h2>{t("settings.proxy")}</h2>
        <Switch name="ambiguousRetry" values={values} />
        <Whole name="streamsPerAccount" values={values} low={1} high={200} />
        <Whole name="usagePollSeconds" values={values} low={15} high={3600} />
        <Whole name="requestLogDays" values={values} low={0} high={3650} />
        <Switch name="importWithoutOverwrite" values={values} />
      </section>
      <section className="card">
        <h2>{t("settings.ledger")}</h2>
        <Switch name="indexLogs" values={values} />
        <Switch name="showEvidence" values={values} />
        <TimeZone values={values} />
        <Privacy values={values} />
      </section>
      <Security ask={<Switch name="totpRequiredOnLogin" values={values} />} />
    </>
  );
}

type Name =
  | "routingStrategy"
  | "singleAccountId"
  | "stickyThreadsEnabled"
  | "preferEarlierResetAccounts"
  | "ambiguousRetry"
  | "streamsPerAccount"
  | "usagePollSeconds"
  | "requestLogDays"
  | "importWithoutOverwrite"
  | "indexLogs"
  | "showEvidence"
  | "totpRequiredOnLogin"
  | "timeZone"
  | "language"
  | "privacyMode";

/** Store one setting; says saving, saved, or why not, beside its control. */
function useSave(name: Name) {
  const client = useQueryClient();
  const save = useMutation<Values, ApiError, unknown>({
    mutationFn: (value) => send("PUT", "/api/settings", { [name]: value }),
    onSuccess: (values) => {
      client.setQueryData(["settings"], values);
      // Routing changes who is chosen, the zone changes what “today” is.
      refetch(client, ["accounts", "calls"]);
    },
  });
  return save;
}

interface FieldProps {
  name: Name;
  id: string;
  save: { isPending: boolean; isSuccess: boolean; error: ApiError | null };
  problem?: string;
  children: ReactNode;
}

function Field({ name, id, save, problem = "", children }: FieldProps) {
  const wrong = problem || save.error?.message || "";
  const state = save.isPending ? t("settings.saving") : save.isSuccess ? t("settings.saved") : "";
  return (
    <div className="setting">
      <div>
        <label htmlFor={id}>{t(`settings.${name}`)}</label>
        <p className="note" id={`${id}-help`}>
          {t(`settings.${name}.help` as Word)}
        </p>
        {wrong && (
          <p className="error" role="alert">
            {wrong}
          </p>
        )}
      </div>
      <div className="setting-control">
        <span className="note" role="status">
          {!wrong && state}
        </span>
        {children}
      </div>
    </div>
  );
}

function Switch({ name, values }: { name: Name; values: Values }) {
  const id = useId();
  const save = useSave(name);
  const on = save.isPending ? save.variables === true : values[name] === true;
  return (
    <Field name={name} id={id} save={save}>
      <input
        id={id}
        type="checkbox"
        role="switch"
        checked={on}
        aria-describedby={`${id}-help`}
        onChange={(event) => save.mutate(event.target.checked)}
      />
    </Field>
  );
}

interface WholeProps {
  name: Name;
  values: Values;
  low: number;
  high: number;
}

function Whole({ name, values, low, high }: WholeProps) {
  const id = useId();
  const save = useSave(name);
  const stored = String(values[name] ?? "");
  const [text, setText] = useState(stored);
  useEffect(() => setText(stored), [stored]);
  const fits = /^\d+$/.test(text.trim()) && Number(text) >= low && Number(text) <= high;
  const keep = () => {
    if (fits && Number(text) !== Number(stored)) save.mutate(Number(text));
  };
  return (
    <Field
      name={name}
      id={id}
      save={save}
      problem={fits ? "" : t("settings.range", { low, high: high.toLocaleString() })}
    >
      <input
        id={id}
        className="short-input"
        inputMode="numeric"
        value={text}
        aria-invalid={!fits}
        aria-describedby={`${id}-help`}
        onChange={(event) => setText(event.target.value)}
        onBlur={keep}
        onKeyDown={(event) => event.key === "Enter" && keep()}
      />
    </Field>
  );
}

interface ChoiceProps {
  name: Name;
  value: string;
  options: { value: string; label: string }[];
  store?: (value: string) => unknown;
}

function Choice({ name, value, options, store = (chosen) => chosen }: ChoiceProps) {
  const id = useId();
  const save = useSave(name);
  return (
    <Field name={name} id={id} save={save}>
      <select
        id={id}
        value={value}
        aria-describedby={`${id}-help`}
        onChange={(event) => save.mutate(store(event.target.value))}
      >
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </Field>
  );
}

function Strategy({ values }: { values: Values }) {
  const options = STRATEGIES.map((value) => ({ value, label: t(`settings.strategy.${value}`) }));
  return <Choice name="routingStrategy" value={String(values.routingStrategy)} options={options} />;
}

function SingleAccount({ values }: { values: Values }) {
  const accounts = useAccounts().data ?? [];
  const options = [
    { value: "", label: t("settings.singleAccountId.none") },
    ...accounts.map(({ accountId, displayName }) => ({ value: accountId, label: displayName })),
  ];
  return (
    <Choice
      name="singleAccountId"
      value={String(values.singleAccountId ?? "")}
      options={options}
      store={(chosen) => chosen || null}
    />
  );
}

/** How much of names and places is shown, everywhere and in what is exported. */
function Privacy({ values }: { values: Values }) {
  const options = (["normal", "redacted", "strict"] as const).map((value) => ({
    value,
    label: t(`settings.privacy.${value}`),
  }));
  return <Choice name="privacyMode" value={String(values.privacyMode ?? "normal")} options={options} />;
}

function TimeZone({ values }: { values: Values }) {
  const chosen = String(values.timeZone ?? "");
  const names = Intl.supportedValuesOf("timeZone");
  // UTC is not among the supported values of every browser.
  const all = [...new Set(["UTC", ...names, ...(chosen ? [chosen] : [])])];
  const options = [
    { value: "", label: t("settings.timeZone.system") },
    ...all.map((value) => ({ value, label: value.replaceAll("_", " ") })),
  ];
  return <Choice name="timeZone" value={chosen} options={options} />;
}

/** Every language by its own name, because that is what its speakers look for. */
function SpokenLanguage({ values }: { values: Values }) {
  const options = [
    { value: "", label: t("settings.language.system") },
    ...LANGUAGES.map(({ code, name }) => ({ value: code, label: name })),
  ];
  return <Choice name="language" value={String(values.language ?? "")} options={options} />;
}

function Look({ values }: { values: Values | undefined }) {
  const id = useId();
  const { chosen } = useTheme();
  return (
    <section className="card">
      <h2>{t("settings.look")}</h2>
      {values && <SpokenLanguage values={values} />}
      <div className="setting">
        <div>
          <label htmlFor={id}>{t("settings.theme")}</label>
          <p className="note" id={`${id}-help`}>
            {t("settings.theme.help")}
          </p>
        </div>
        <div className="setting-control">
          <select
            id={id}
            value={chosen}
            aria-describedby={`${id}-help`}
            onChange={(event) => choose(event.target.value as Theme)}
          >
            {THEMES.map((value) => (
              <option key={value} value={value}>
                {t(`settings.theme.${value}`)}
              </option>
            ))}
          </select>
        </div>
      </div>
    </section>
  );
}
