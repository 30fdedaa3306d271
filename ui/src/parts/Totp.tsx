/** One-time codes: set them up with a QR code, renew the recovery codes, turn them off. */
import { useMutation } from "@tanstack/react-query";
import { useEffect, useId, useState, type FormEvent } from "react";
import { send, type ApiError } from "../api";
import { download } from "../csv";
import { t } from "../words";
import { Buttons } from "./Buttons";
import { Copy } from "./Copy";
import { Failure, Skeleton } from "./States";

const ROOT = "/api/dashboard-auth/totp";

interface Props {
  close: () => void;
  done: (said: string) => void;
}

interface Offer {
  secret: string;
  otpauthUri: string;
  qrSvgDataUri: string;
}

interface Codes {
  recoveryCodes: string[];
}

export function SetUpTotp({ close, done }: Props) {
  // Asked for once: what refetches pages must not ask for another secret.
  const offer = useMutation<Offer, ApiError>({ mutationFn: () => send("POST", `${ROOT}/setup/start`) });
  const { mutate } = offer;
  useEffect(() => mutate(), [mutate]);
  const [ask, setAsk] = useState(true);
  const confirm = useMutation<Codes, ApiError, string>({
    mutationFn: async (code) => {
      const found = await send<Codes>("POST", `${ROOT}/setup/confirm`, {
        secret: offer.data?.secret,
        code,
      });
      if (ask) await send("PUT", "/api/settings", { totpRequiredOnLogin: true });
      return found;
    },
  });
  if (offer.isError) return <Failure error={offer.error} retry={() => mutate()} />;
  if (!offer.data) return <Skeleton lines={5} tall />;
  if (confirm.data) {
    return <Recovery codes={confirm.data.recoveryCodes} close={() => done(t("security.totp.isOn"))} />;
  }
  return (
    <div className="stack">
      <p>{t("security.totp.scan")}</p>
      <img className="qr" src={offer.data.qrSvgDataUri} alt={t("security.totp.qr")} width={176} height={176} />
      <div className="code">
        <code aria-label={t("security.totp.secret")}>{offer.data.secret}</code>
        <Copy text={offer.data.secret} label={t("security.totp.secret")} />
      </div>
      <CodeForm
        label={t("security.totp.code")}
        word={t("security.totp.confirm")}
        run={confirm.mutate}
        busy={confirm.isPending}
        error={confirm.error}
        close={close}
        recovery={false}
      >
        <label className="check">
          <input type="checkbox" checked={ask} onChange={(event) => setAsk(event.target.checked)} />
          {t("security.totp.askNow")}
        </label>
      </CodeForm>
    </div>
  );
}

export function TurnOffTotp({ close, done }: Props) {
  const off = useMutation<unknown, ApiError, string>({
    mutationFn: (code) => send("POST", `${ROOT}/disable`, { code }),
    onSuccess: () => done(t("security.totp.isOff")),
  });
  return (
    <div className="stack">
      <p>{t("security.totp.offText")}</p>
      <CodeForm
        label={t("security.totp.code")}
        word={t("security.totp.off")}
        run={off.mutate}
        busy={off.isPending}
        error={off.error}
        close={close}
        danger
      />
    </div>
  );
}

export function NewCodes({ close }: { close: () => void }) {
  const renew = useMutation<Codes, ApiError, string>({
    mutationFn: (code) => send("POST", `${ROOT}/recovery-codes`, { code }),
  });
  if (renew.data) return <Recovery codes={renew.data.recoveryCodes} close={close} />;
  return (
    <div className="stack">
      <p>{t("security.totp.codesText")}</p>
      <CodeForm
        label={t("security.totp.code")}
        word={t("security.totp.codesMake")}
        run={renew.mutate}
        busy={renew.isPending}
        error={renew.error}
        close={close}
      />
    </div>
  );
}

interface CodeFormProps {
  label: string;
  word: string;
  run: (code: string) => void;
  busy: boolean;
  error: ApiError | null;
  close: () => void;
  danger?: boolean;
  /** Whether a recovery code does as well. */
  recovery?: boolean;
  children?: React.ReactNode;
}

function CodeForm({
  label,
  word,
  run,
  busy,
  error,
  close,
  danger = false,
  recovery = true,
  children,
}: CodeFormProps) {
  const id = useId();
  const [code, setCode] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    run(code.trim());
  };
  return (
    <form className="stack" onSubmit={submit}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        className="one-time"
        inputMode={recovery ? "text" : "numeric"}
        autoComplete="one-time-code"
        required
        maxLength={64}
        value={code}
        aria-invalid={error !== null}
        aria-describedby={recovery ? `${id}-hint` : undefined}
        onChange={(event) => setCode(event.target.value)}
      />
      {recovery && (
        <p className="note" id={`${id}-hint`}>
          {t("security.totp.orRecovery")}
        </p>
      )}
      {children}
      {error && (
        <p className="error" role="alert">
          {error.message}
        </p>
      )}
      <Buttons close={close} busy={busy} word={word} danger={danger} />
    </form>
  );
}

function Recovery({ codes, close }: { codes: string[]; close: () => void }) {
  const text = `${codes.join("\n")}\n`;
  return (
    <div className="stack">
      <p>{t("security.recovery.text")}</p>
      <ul className="recovery" aria-label={t("security.recovery.title")}>
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ul>
      <div className="buttons">
        <Copy text={text} label={t("security.recovery.title")} />
        <button
          type="button"
          onClick={() => download("brimline-recovery-codes.txt", [text], "text/plain;charset=utf-8")}
        >
          {t("security.recovery.save")}
        </button>
        <button type="button" className="primary" onClick={close}>
          {t("security.recovery.done")}
        </button>
      </div>
    </div>
  );
}
