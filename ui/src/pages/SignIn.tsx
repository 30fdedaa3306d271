/** The gate: shown instead of every page while the server does not know who we are. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { send, type ApiError, type Session } from "../api";
import { useTitle } from "../hooks";
import { refetch } from "../live";
import { t } from "../words";

export function SignIn() {
  useTitle(t("signin.title"));
  const client = useQueryClient();
  const [token, setToken] = useState("");
  const signIn = useMutation<Session, ApiError, string>({
    mutationFn: (value) => send("POST", "/api/session", { token: value }),
    onSuccess: (session) => {
      client.setQueryData(["session"], session);
      refetch(client, "all");
    },
  });
  return (
    <main className="gate">
      <form
        className="card"
        onSubmit={(event) => {
          event.preventDefault();
          signIn.mutate(token);
        }}
      >
        <p className="brand">{t("app.name")}</p>
        <h1>{t("signin.title")}</h1>
        <p className="note">{t("signin.text")}</p>
        <label htmlFor="token">{t("signin.label")}</label>
        <input
          id="token"
          type="password"
          autoComplete="current-password"
          autoFocus
          required
          value={token}
          onChange={(event) => setToken(event.target.value)}
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
    </main>
  );
}
