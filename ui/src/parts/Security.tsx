/** Who may open these pages: the password, one-time codes, and the sessions that are open. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { api } from "../api";
import { ago, full, when } from "../format";
import { useNow } from "../hooks";
import { refetch, useServer } from "../live";
import { say } from "../say";
import { t, tIf } from "../words";
import { Dialog } from "./Dialog";
import { ChangePassword, RemovePassword, SetPassword } from "./Passwords";
import { Failure, Skeleton } from "./States";
import { NewCodes, SetUpTotp, TurnOffTotp } from "./Totp";

interface State {
  passwordRequired: boolean;
  totpConfigured: boolean;
  methods: string[];
}

interface Props {
  /** The switch that asks for a code at each sign-in. */
  ask: ReactNode;
}

export function Security({ ask }: Props) {
  const found = useQuery({
    queryKey: ["auth-state"],
    queryFn: ({ signal }) => api<State>("/api/dashboard-auth/session", { signal }),
    meta: { topics: ["settings"] },
  });
  return (
    <section className="card">
      <h2>{t("security.title")}</h2>
      {found.isPending && <Skeleton lines={4} />}
      {found.isError && !found.data && (
        <Failure error={found.error} retry={() => void found.refetch()} />
      )}
      {found.data && <Loaded state={found.data} ask={ask} />}
    </section>
  );
}

type Open = "set" | "change" | "remove" | "setup" | "codes" | "off" | null;

function Loaded({ state, ask }: { state: State; ask: ReactNode }) {
  const client = useQueryClient();
  const { shortToken } = useServer();
  const [open, setOpen] = useState<Open>(null);
  const close = () => setOpen(null);
  const done = (text: string) => {
    close();
    say(text);
    // Who we are may have changed with it, and with that what every page may show.
    refetch(client, "all");
  };
  const dialog = (name: Open, title: string, content: ReactNode) => (
    <Dialog title={title} open={open === name} close={close} sturdy>
      {content}
    </Dialog>
  );
  return (
    <>
      <Password state={state} open={setOpen} />
      <Codes state={state} open={setOpen} />
      {state.totpConfigured && ask}
      {shortToken && <Line title={t("security.token")} text={t("security.token.short")} />}
      <Sessions />
      {dialog("set", t("security.password.set"), <SetPassword close={close} done={done} />)}
      {dialog("change", t("security.password.changeTitle"), <ChangePassword close={close} done={done} />)}
      {dialog("remove", t("security.password.removeTitle"), <RemovePassword close={close} done={done} />)}
      {dialog("setup", t("security.totp.setupTitle"), <SetUpTotp close={close} done={done} />)}
      {dialog("codes", t("security.totp.codes"), <NewCodes close={close} />)}
      {dialog("off", t("security.totp.offTitle"), <TurnOffTotp close={close} done={done} />)}
    </>
  );
}

function Line({ title, text, children }: { title: string; text: string; children?: ReactNode }) {
  return (
    <div className="setting">
      <div>
        <h3>{title}</h3>
        <p className="note">{text}</p>
      </div>
      <div className="setting-control tools">{children}</div>
    </div>
  );
}

function Password({ state, open }: { state: State; open: (name: Open) => void }) {
  const { passwordRequired: configured, methods } = state;
  const without = methods.includes("token") ? "security.password.token" : "security.password.none";
  return (
    <Line title={t("security.password")} text={t(configured ? "security.password.on" : without)}>
      {configured ? (
        <>
          <button type="button" onClick={() => open("change")}>
            {t("security.password.change")}
          </button>
          <button type="button" onClick={() => open("remove")}>
            {t("security.password.remove")}
          </button>
        </>
      ) : (
        <button type="button" onClick={() => open("set")}>
          {t("security.password.set")}
        </button>
      )}
    </Line>
  );
}

function Codes({ state, open }: { state: State; open: (name: Open) => void }) {
  const { totpConfigured: on, passwordRequired: ready } = state;
  const text = on ? "security.totp.on" : ready ? "security.totp.none" : "security.totp.first";
  return (
    <Line title={t("security.totp")} text={t(text)}>
      {on ? (
        <>
          <button type="button" onClick={() => open("codes")}>
            {t("security.totp.codes")}
          </button>
          <button type="button" onClick={() => open("off")}>
            {t("security.totp.off")}
          </button>
        </>
      ) : (
        <button type="button" disabled={!ready} onClick={() => open("setup")}>
          {t("security.totp.setup")}
        </button>
      )}
    </Line>
  );
}

interface SessionRow {
  id: string;
  method: string;
  verified: boolean;
  createdAt: string;
  lastUsedAt: string;
  expiresAt: string;
  current: boolean;
}

const ROOT = "/api/dashboard-auth/sessions";

function Sessions() {
  const client = useQueryClient();
  const now = useNow();
  const found = useQuery({
    queryKey: ["sessions"],
    queryFn: ({ signal }) => api<{ sessions: SessionRow[] }>(ROOT, { signal }),
    meta: { topics: ["settings"] },
    refetchInterval: 60_000,
  });
  const sessions = found.data?.sessions ?? [];
  const others = sessions.filter(({ current }) => !current).length;
  const end = async (path: string, said: string) => {
    try {
      await api(path, { method: "DELETE" });
      say(said);
    } catch (error) {
      say(t("failed.any", { message: (error as Error).message }), true);
    }
    void client.invalidateQueries({ queryKey: ["sessions"] });
  };
  return (
    <div className="setting sessions">
      <div>
        <h3>{t("security.sessions")}</h3>
        <p className="note">{t(sessions.length ? "security.sessions.text" : "security.sessions.none")}</p>
      </div>
      <div className="setting-control">
        {others > 1 && (
          <button type="button" onClick={() => void end(ROOT, t("security.sessions.endedAll"))}>
            {t("security.sessions.endAll")}
          </button>
        )}
      </div>
      {sessions.length > 0 && (
        <ul>
          {sessions.map((session) => (
            <Session
              key={session.id}
              session={session}
              now={now}
              end={() =>
                void end(`${ROOT}/${encodeURIComponent(session.id)}`, t("security.sessions.ended"))
              }
            />
          ))}
        </ul>
      )}
    </div>
  );
}

function Session({ session, now, end }: { session: SessionRow; now: number; end: () => void }) {
  const { method, verified, createdAt, lastUsedAt, expiresAt, current } = session;
  return (
    <li>
      <span>
        {tIf(`security.method.${method}`, method)}
        {current && <span className="chip">{t("security.sessions.this")}</span>}
        {!verified && <span className="chip">{t("security.sessions.owes")}</span>}
      </span>
      <span className="note" title={full(createdAt)}>
        {t("security.sessions.times", { used: ago(lastUsedAt, now), ends: when(expiresAt, now) })}
      </span>
      {!current && (
        <button
          type="button"
          aria-label={t("security.sessions.endOne", { created: full(createdAt) })}
          onClick={end}
        >
          {t("security.sessions.end")}
        </button>
      )}
    </li>
  );
}
