/** Sign in to an account on the provider's own pages: by browser, device code, or a pasted address. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useId, useState, type FormEvent } from "react";
import { Link } from "wouter";
import { nameOf, useAccounts } from "../accounts";
import { api, send, type ApiError } from "../api";
import { span } from "../format";
import { useNow } from "../hooks";
import { refetch } from "../live";
import { told, type Said } from "../told";
import { t } from "../words";
import { Copy } from "./Copy";
import { Sign } from "./Sign";

export type Method = "browser" | "device";

interface Flow {
  method: Method;
  flowId: string;
  note: string | null;
  noteSaid?: Said | null;
  authorizationUrl: string | null;
  callbackUrl: string | null;
  listening: boolean;
  verificationUrl: string | null;
  userCode: string | null;
  expiresInSeconds: number;
}

interface Status {
  status: "pending" | "success" | "error";
  errorMessage: string | null;
  errorSaid?: Said | null;
  accountId: string | null;
}

const POLL_MS = 1_500;

interface Props {
  method: Method;
  /** The account that is signed in again; another one may come back. */
  wanted: string | null;
  back: () => void;
}

export function SignInFlow({ method, wanted, back }: Props) {
  const start = useMutation<Flow & { startedAt: number }, ApiError>({
    mutationFn: async () => {
      const flow = await send<Flow>("POST", "/api/oauth/start", { forceMethod: method });
      return { ...flow, startedAt: Date.now() };
    },
  });
  const { mutate } = start;
  useEffect(() => mutate(), [mutate]);
  if (start.isError) return <Failed text={start.error.message} again={() => mutate()} back={back} />;
  if (!start.data) return <p className="note">{t("signing.starting")}</p>;
  return (
    <Waiting
      key={start.data.flowId}
      flow={start.data}
      ends={start.data.startedAt + start.data.expiresInSeconds * 1000}
      wanted={wanted}
      again={() => mutate()}
      back={back}
    />
  );
}

interface WaitingProps {
  flow: Flow;
  ends: number;
  wanted: string | null;
  again: () => void;
  back: () => void;
}

function Waiting({ flow, ends, wanted, again, back }: WaitingProps) {
  const client = useQueryClient();
  const path = `/api/oauth/status?flowId=${encodeURIComponent(flow.flowId)}`;
  const found = useQuery({
    queryKey: ["sign-in", flow.flowId],
    queryFn: ({ signal }) => api<Status>(path, { signal }),
    refetchInterval: ({ state }) =>
      state.data === undefined || state.data.status === "pending" ? POLL_MS : false,
  }).data;
  const status = found?.status ?? "pending";
  useEffect(() => {
    if (status === "success") refetch(client, ["accounts"]);
  }, [status, client]);
  if (status === "success") return <Done account={found?.accountId ?? null} wanted={wanted} />;
  if (status === "error") return <Failed text={told(found?.errorMessage, found?.errorSaid)} again={again} back={back} />;
  return (
    <div className="stack">
      {flow.note && (
        <p className="note">
          <Sign mark="warn" />
          {told(flow.note, flow.noteSaid)}
        </p>
      )}
      {flow.method === "device" ? <Device flow={flow} /> : <ByBrowser flow={flow} />}
      <Clock ends={ends} />
      <div className="tools">
        <button type="button" onClick={back}>
          {t("signing.other")}
        </button>
      </div>
    </div>
  );
}

function Clock({ ends }: { ends: number }) {
  const now = useNow(1_000);
  return (
    <p className="note">
      <span className="pulse" aria-hidden="true" />
      {t("signing.waiting", { left: span(Math.max(0, ends - now)) })}
    </p>
  );
}

function Device({ flow }: { flow: Flow }) {
  const code = flow.userCode ?? "";
  return (
    <>
      <p>{t("signing.device.text")}</p>
      <div className="code big-code">
        <code aria-label={t("signing.device.code")}>{code}</code>
        <Copy text={code} label={t("signing.device.code")} />
      </div>
      <div className="tools">
        <a className="button primary" href={flow.verificationUrl ?? ""} target="_blank" rel="noreferrer">
          {t("signing.device.open")}
        </a>
        <Copy text={flow.verificationUrl ?? ""} label={t("signing.address")} />
        <span className="mono">{flow.verificationUrl}</span>
      </div>
    </>
  );
}

function ByBrowser({ flow }: { flow: Flow }) {
  const address = flow.authorizationUrl ?? "";
  return (
    <>
      <p>{t("signing.browser.text")}</p>
      <div className="tools">
        <a className="button primary" href={address} target="_blank" rel="noreferrer">
          {t("signing.browser.open")}
        </a>
        <Copy text={address} label={t("signing.address")} />
        <span className="note">{t("signing.browser.copy")}</span>
      </div>
      {flow.listening ? (
        <details className="paste">
          <summary>{t("signing.paste.summary")}</summary>
          <Paste flow={flow} />
        </details>
      ) : (
        <Paste flow={flow} />
      )}
    </>
  );
}

function Paste({ flow }: { flow: Flow }) {
  const id = useId();
  const client = useQueryClient();
  const [address, setAddress] = useState("");
  const paste = useMutation<Status, ApiError>({
    mutationFn: () =>
      send("POST", "/api/oauth/manual-callback", { callbackUrl: address.trim(), flowId: flow.flowId }),
    onSuccess: (status) => client.setQueryData(["sign-in", flow.flowId], status),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    paste.mutate();
  };
  return (
    <form className="stack" onSubmit={submit}>
      <label htmlFor={id}>{t("signing.paste.label")}</label>
      <div className="beside">
        <input
          id={id}
          value={address}
          required
          autoComplete="off"
          spellCheck={false}
          placeholder={`${flow.callbackUrl ?? ""}?code=…`}
          aria-invalid={paste.isError}
          onChange={(event) => setAddress(event.target.value)}
        />
        <button type="submit" disabled={paste.isPending}>
          {t("signing.paste.do")}
        </button>
      </div>
      <p className="note">{t("signing.paste.text", { address: flow.callbackUrl ?? "" })}</p>
      {paste.isError && (
        <p className="error" role="alert">
          {paste.error.message}
        </p>
      )}
    </form>
  );
}

function Done({ account, wanted }: { account: string | null; wanted: string | null }) {
  const name = nameOf(useAccounts().data, account) ?? "";
  const other = wanted !== null && account !== wanted;
  return (
    <div className="stack" role="status">
      <p>
        {other && <Sign mark="warn" />}
        {t(other ? "signing.doneOther" : "signing.done", { name })}
      </p>
      {account && account !== wanted && (
        <p>
          <Link className="link" href={`/accounts/${encodeURIComponent(account)}`}>
            {t("signing.show", { name })}
          </Link>
        </p>
      )}
    </div>
  );
}

function Failed({ text, again, back }: { text: string; again: () => void; back: () => void }) {
  return (
    <div className="stack">
      <p className="error" role="alert">
        {text}
      </p>
      <div className="tools">
        <button type="button" className="primary" onClick={again}>
          {t("signing.again")}
        </button>
        <button type="button" onClick={back}>
          {t("signing.other")}
        </button>
      </div>
    </div>
  );
}
