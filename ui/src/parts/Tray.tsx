/** What the tray shows and tells, and whether it is there from login on. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId } from "react";
import { useAccounts } from "../accounts";
import { api, send, type ApiError, type Settings as Values } from "../api";
import { language, t } from "../words";
import { Choice, Field, Switch, useSave } from "./Fields";

const ALERTS = [
  "alertLow",
  "alertSpent",
  "alertBack",
  "alertMoved",
  "alertSignIn",
  "alertServer",
] as const;

export function Tray({ values }: { values: Values }) {
  const styles = (["bars", "number"] as const).map((value) => ({
    value,
    label: t(`settings.trayStyle.${value}`),
  }));
  const percents = (["left", "used"] as const).map((value) => ({
    value,
    label: t(`settings.trayPercent.${value}`),
  }));
  return (
    <>
      <section className="card">
        <h2>{t("settings.tray")}</h2>
        <Follows values={values} />
        <Choice name="trayStyle" value={String(values.trayStyle)} options={styles} />
        <Choice name="trayPercent" value={String(values.trayPercent)} options={percents} />
        <Switch name="trayHideAddresses" values={values} />
        <AtLogin />
      </section>
      <section className="card">
        <h2>{t("settings.alerts")}</h2>
        {ALERTS.map((name) => (
          <Switch key={name} name={name} values={values} />
        ))}
        <QuietHours values={values} />
      </section>
    </>
  );
}

function Follows({ values }: { values: Values }) {
  const accounts = useAccounts().data ?? [];
  const options = [
    ...(["pool", "serving", "worst"] as const).map((value) => ({
      value,
      label: t(`settings.trayFollows.${value}`),
    })),
    ...accounts.map(({ accountId, displayName }) => ({ value: accountId, label: displayName })),
  ];
  const chosen = String(values.trayFollows ?? "pool");
  // An account that was removed is followed no more.
  const value = options.some((option) => option.value === chosen) ? chosen : "pool";
  return <Choice name="trayFollows" value={value} options={options} />;
}

function QuietHours({ values }: { values: Values }) {
  const id = useId();
  const from = useSave("quietFrom");
  const to = useSave("quietTo");
  const saving = from.isPending || to.isPending;
  const wrong = from.error?.message || to.error?.message;
  const state = saving ? t("settings.saving") : from.isSuccess || to.isSuccess ? t("settings.saved") : "";
  const hour = new Intl.DateTimeFormat(language(), { hour: "numeric", minute: "2-digit" });
  const hours = Array.from({ length: 24 }, (_, n) => hour.format(new Date(2026, 0, 1, n)));
  const select = (name: "quietFrom" | "quietTo", save: typeof from) => (
    <select
      aria-label={t(`settings.${name}`)}
      aria-describedby={`${id}-help`}
      value={String(values[name] ?? 0)}
      onChange={(event) => save.mutate(Number(event.target.value))}
    >
      {hours.map((label, n) => (
        <option key={label} value={n}>
          {label}
        </option>
      ))}
    </select>
  );
  return (
    <div className="setting" role="group" aria-labelledby={id}>
      <div>
        <span id={id}>{t("settings.quiet")}</span>
        <p className="note" id={`${id}-help`}>
          {t(values.quietFrom === values.quietTo ? "settings.quiet.none" : "settings.quiet.help")}
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
        {select("quietFrom", from)}
        <span aria-hidden="true">–</span>
        {select("quietTo", to)}
      </div>
    </div>
  );
}

interface Desktop {
  startAtLogin: boolean | null;
}

/** Nothing where the server runs without a desktop: there is no login then. */
function AtLogin() {
  const id = useId();
  const client = useQueryClient();
  const found = useQuery({
    queryKey: ["desktop"],
    queryFn: ({ signal }) => api<Desktop>("/api/desktop", { signal }),
  });
  const save = useMutation<Desktop, ApiError, boolean>({
    mutationFn: (startAtLogin) => send("PUT", "/api/desktop", { startAtLogin }),
    onSuccess: (now) => client.setQueryData(["desktop"], now),
  });
  const now = found.data?.startAtLogin ?? null;
  if (now === null) return null;
  return (
    <Field name="login" id={id} save={save}>
      <input
        id={id}
        type="checkbox"
        role="switch"
        checked={save.isPending ? save.variables : now}
        aria-describedby={`${id}-help`}
        onChange={(event) => save.mutate(event.target.checked)}
      />
    </Field>
  );
}
