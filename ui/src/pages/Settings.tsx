/** Settings: the clients that we are connected to, and every runtime setting with what it means. */
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { useAccounts } from "../accounts";
import { api, type Settings as Values } from "../api";
import { useTitle } from "../hooks";
import { LANGUAGES } from "../languages";
import { Connect } from "../parts/Connect";
import { Choice, Switch, Whole } from "../parts/Fields";
import { OwnFiles } from "../parts/OwnFiles";
import { Relay } from "../parts/Relay";
import { Security } from "../parts/Security";
import { Failure, Skeleton } from "../parts/States";
import { Tray } from "../parts/Tray";
import { choose, THEMES, useTheme, type Theme } from "../theme";
import { t } from "../words";

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
      <OwnFiles />
      {found.data && <Telemetry values={found.data} />}
      <Look values={found.data} />
    </>
  );
}

/** How much of what Codex tells is kept, and where it is passed on to. */
function Telemetry({ values }: { values: Values }) {
  return (
    <section className="card" id="telemetry">
      <h2>{t("settings.telemetry")}</h2>
      <Whole name="telemetryDays" values={values} low={0} high={3650} />
      <Whole name="telemetryRows" values={values} low={1000} high={20_000_000} />
      <Relay />
    </section>
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
        <Whole name="streamsPerAccount" values={values} low={1} high={600} />
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
      <Tray values={values} />
      <Security ask={<Switch name="totpRequiredOnLogin" values={values} />} />
    </>
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
