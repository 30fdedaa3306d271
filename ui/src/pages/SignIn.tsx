/** The gate: shown instead of every page while the server does not know who we are. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { send, type ApiError, type Session } from "../api";
import { useTitle } from "../hooks";
import { refetch } from "../live";
import { t } from "../words";

type Way = "password" | "token" | "totp";

const WAYS = {
  password: { path: "/api/dashboard-auth/password/login", key: "password", complete: "current-password" },
  token: { path: "/api/session", key: "token", complete: "off" },
  totp: { path: "/api/dashboard-auth/totp/verify", key: "code", complete: "one-time-code" },
} as const;

export function SignIn({ session }: { session: Session }) {
  useTitle(t("signin.title"));
  const ways: Way[] = session.totpRequired ? ["totp"] : session.methods;
  const [chosen, setChosen] = useState<Way | null>(null);
  const way = chosen && ways.includes(chosen) ? chosen : ways[0];
  const other = ways.find((one) => one !== way);
  return (
    <main className="gate">
      <div className="card">
        <p className="brand">{t("app.name")}</p>
        <h1>{t("signin.title")}</h1>
        {way ? <Form key={way} way={way} /> : <p className="note">{t("signin.noWay")}</p>}
        {other && (
          <button type="button" className="quiet" onClick={() => setChosen(other)}>
            {t(`signin.${other}.instead`)}
          </button>
        )}
      </div>
    </main>
  );
}

function Form({ way }: { way: Way }) {
  const client = useQueryClient();
  const [value, setValue] = useState("");
  const { path, key, complete } = WAYS[way];
  const signIn = useMutation<unknown, ApiError, string>({
    mutationFn: (given) => send("POST", path, { [key]: given }),
    // The session says what comes next: a page, or the one-time code.
    onSuccess: () => refetch(client, "all"),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    signIn.mutate(value);
  };
  return (
    <form className="stack" onSubmit={submit}>
      <p className="note">{t(`signin.${way}.text`)}</p>
      <label htmlFor="secret">{t(`signin.${way}.label`)}</label>
      <input
        id="secret"
        type={way === "totp" ? "text" : "password"}
        inputMode={way === "totp" ? "numeric" : undefined}
        autoComplete={complete}
        autoFocus
        required
        value={value}
        onChange={(event) => setValue(event.target.value)}
        aria-invalid={signIn.isError}
        aria-describedby={signIn.isError ? "signin-error" : undefined}
      />
      {signIn.isError && (
        <p className="error" id="signin-error" role="alert">
          {signIn.error.message}
        </p>
      )}
      <button type="submit" className="primary" disabled={signIn.isPending}>
        {t(signIn.isPending ? "signin.busy" : "signin.do")}
      </button>
    </form>
  );
}
