/** What each witness says of the same response, side by side. */
import { Link } from "wouter";
import { nameIn, type Named } from "../accounts";
import type { CallDetail } from "../api";
import type { Telemetry } from "../evidence";
import { count, duration, full, money, UNKNOWN } from "../format";
import { t, type Word } from "../words";
import { Facts } from "./Copy";
import { RequestStatus } from "./RequestStatus";

interface Props {
  call: CallDetail & { telemetry?: Telemetry | null };
  accounts: Named[] | undefined;
  /** The heading that fits below the one around it. */
  as?: "h3" | "h4";
}

export function Witnesses({ as = "h4", ...props }: Props) {
  return (
    <div className="witnesses">
      <Log {...props} as={as} />
      <Proxy {...props} as={as} />
      <Heard {...props} as={as} />
    </div>
  );
}

function Head({ name, call, as: Level = "h4" }: Omit<Props, "accounts"> & { name: "log" | "proxy" | "telemetry" }) {
  return (
    <Level className="witness-name">
      {t(`calls.witness.${name}`)}{" "}
      <span className="note">
        {t(call.witnesses.includes(name) ? "calls.witness.saw" : "calls.witness.not")}
      </span>
    </Level>
  );
}

function tokens(total: number | null, cached: number | null, output: number | null): [string, string][] {
  return [
    [t("calls.col.tokens"), count(total)],
    [t("calls.col.cached"), count(cached)],
    [t("calls.col.output"), count(output)],
  ];
}

function Log({ call, as }: Props) {
  // How long a call took is told once: by the proxy, where it saw the call.
  const took = call.witnesses.includes("proxy") ? [] : [[t("calls.col.duration"), duration(call.durationMs)] as [string, string]];
  return (
    <div>
      <Head name="log" call={call} as={as} />
      {call.witnesses.includes("log") ? (
        <Facts
          rows={[
            ...tokens(call.totalTokens, call.cachedInputTokens, call.outputTokens),
            [t("calls.col.time"), full(call.at)],
            [t("calls.col.project"), call.project ?? UNKNOWN],
            ...took,
          ]}
        />
      ) : (
        <p className="note">{t("calls.witness.notLog")}</p>
      )}
    </div>
  );
}

function Proxy({ call, accounts, as }: Props) {
  const { request } = call;
  const address = (id: string) => `/requests?q=${encodeURIComponent(id)}&open=${encodeURIComponent(id)}`;
  return (
    <div>
      <Head name="proxy" call={call} as={as} />
      {request ? (
        <Facts
          rows={[
            ...tokens(request.tokens, request.cachedInputTokens, request.outputTokens),
            [t("calls.col.account"), request.accountName ?? nameIn(accounts, call.accountId) ?? UNKNOWN],
            [t("requests.col.status"), <RequestStatus key="s" status={request.status} />],
            [t("requests.col.first"), duration(request.firstEventMs)],
            [t("requests.col.total"), duration(request.latencyMs)],
            [t("calls.col.cost"), money(request.costUsd)],
            [
              t("calls.request"),
              <Link key="r" className="link mono" href={address(request.requestId)}>
                {request.requestId}
              </Link>,
            ],
          ]}
        />
      ) : (
        !call.witnesses.includes("proxy") && <p className="note">{t("calls.witness.notProxy")}</p>
      )}
    </div>
  );
}

function Heard({ call, as }: Props) {
  const { telemetry } = call;
  const rows: [Word, string | null][] = telemetry
    ? [
        ["call.firstToken", duration(telemetry.firstTokenMs)],
        ["calls.col.model", telemetry.model],
        ["call.user", telemetry.user],
        ["call.terminal", telemetry.terminal],
      ]
    : [];
  return (
    <div>
      <Head name="telemetry" call={call} as={as} />
      {telemetry ? (
        <Facts
          rows={[
            ...tokens(telemetry.totalTokens, telemetry.cachedInputTokens, telemetry.outputTokens),
            ...rows.map(([word, value]): [string, string] => [t(word), value ?? UNKNOWN]),
          ]}
        />
      ) : (
        !call.witnesses.includes("telemetry") && <p className="note">{t("calls.witness.notTelemetry")}</p>
      )}
    </div>
  );
}
