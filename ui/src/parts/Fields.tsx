/** A setting's control: it is stored when it changes, and says so beside itself. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useId, useState, type ReactNode } from "react";
import { send, type ApiError, type Settings as Values } from "../api";
import { refetch } from "../live";
import { t, type Word } from "../words";

export type Name =
  | "routingStrategy"
  | "singleAccountId"
  | "stickyThreadsEnabled"
  | "preferEarlierResetAccounts"
  | "ambiguousRetry"
  | "streamsPerAccount"
  | "usagePollSeconds"
  | "requestLogDays"
  | "telemetryDays"
  | "telemetryRows"
  | "importWithoutOverwrite"
  | "indexLogs"
  | "showEvidence"
  | "totpRequiredOnLogin"
  | "timeZone"
  | "language"
  | "privacyMode"
  | "trayFollows"
  | "trayStyle"
  | "trayPercent"
  | "trayHideAddresses"
  | "alertLow"
  | "alertSpent"
  | "alertBack"
  | "alertMoved"
  | "alertSignIn"
  | "alertServer"
  | "quietFrom"
  | "quietTo";

/** Store one setting; says saving, saved, or why not, beside its control. */
export function useSave(name: Name) {
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
  name: Name | "login"; // the only one that the system stores, not we
  id: string;
  save: { isPending: boolean; isSuccess: boolean; error: ApiError | null };
  problem?: string;
  children: ReactNode;
}

export function Field({ name, id, save, problem = "", children }: FieldProps) {
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

export function Switch({ name, values }: { name: Name; values: Values }) {
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

export function Whole({ name, values, low, high }: WholeProps) {
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

export function Choice({ name, value, options, store = (chosen) => chosen }: ChoiceProps) {
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
