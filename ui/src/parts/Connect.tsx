/** Point a client at us and back again: the change is shown, written after a backup, and undone. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, send, type ApiError } from "../api";
import { t, tIf } from "../words";
import { CodexHome } from "./CodexHome";
import { Copy } from "./Copy";
import { Dialog } from "./Dialog";
import { Sign } from "./Sign";
import { Failure, Skeleton } from "./States";
import "../connect.css";

interface Problem {
  code: string;
  level: "problem" | "note";
  text: string;
  mend: string;
}

interface Client {
  id: string;
  name: string;
  path: string;
  connected: boolean;
  state: string;
  text: string; // for what has no word here
  undoable: boolean;
  snippet: string;
  problems: Problem[];
}

interface Found {
  address: string;
  keysRequired: boolean;
  environment: string;
  clients: Client[];
}

interface Change {
  path: string;
  changes: boolean;
  diff: string;
  notes: string[];
  seen: string;
  backup?: string | null;
  /** How the client stands after the change. */
  status?: Client;
}

const KEY = ["connect"];
/** Where a client takes its API key from, when the proxy asks for one. */
const KEY_VARIABLE = "BRIMLINE_API_KEY";

function useClients() {
  return useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => api<Found>("/api/connect", { signal }),
    meta: { topics: ["settings"] },
  });
}

const nameOf = (client: Client) => (client.id === "telemetry" ? t("connect.telemetry") : client.name);

/** The card of the Settings page. */
export function Connect() {
  const found = useClients();
  const line = `openai_base_url = "${location.origin}/v1"`;
  return (
    <section className="card" id="connect" ref={scrolledTo}>
      <h2>{t("connect.title")}</h2>
      <p>{t("connect.text")}</p>
      {found.isPending && <Skeleton lines={4} />}
      {found.isError && !found.data && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data && <Clients found={found.data} />}
      {/* With keys asked for, the line is not enough; what is, lies further down. */}
      {!found.data?.keysRequired && (
        <>
          <p><CodexHome word="connect.oneLine" /></p>
          <div className="code">
            <code aria-label={t("settings.connect.code")}>{line}</code>
            <Copy text={line} label={t("settings.connect.code")} />
          </div>
        </>
      )}
      {found.data && <ByHand found={found.data} />}
    </section>
  );
}

/** Other pages lead here; the browser itself looks for the place before it is drawn. */
function scrolledTo(section: HTMLElement | null) {
  if (section && location.hash === "#connect") section.scrollIntoView();
}

function Clients({ found }: { found: Found }) {
  const away = !["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  return (
    <>
      {found.keysRequired && <p className="note">{t("connect.keys", { name: KEY_VARIABLE })}</p>}
      {away && <p className="note">{t("connect.remote")}</p>}
      <div className="clients">
        {found.clients.map((client) => (
          <Row key={client.id} client={client} />
        ))}
      </div>
    </>
  );
}

function Row({ client }: { client: Client }) {
  const warns = ["other_address", "elsewhere", "broken", "unusable"].includes(client.state);
  return (
    <div className="setting" role="group" aria-label={nameOf(client)}>
      <div>
        <p className="client">
          <b>{nameOf(client)}</b> <span className="mono note">{client.path}</span>
        </p>
        <p className="note" data-state={client.state}>
          {client.connected && <span className="sign sign-ok" aria-hidden="true">✓</span>}
          {warns && <Sign mark="warn" />}
          {tIf(`connect.state.${client.state}`, client.text)}
          {client.state === "unusable" && `. ${client.text}`}
        </p>
        <Problems client={client} />
      </div>
      <div className="setting-control">
        <Acts client={client} />
      </div>
    </div>
  );
}

/** What keeps a client's requests away although its file leads here. */
function Problems({ client }: { client: Client }) {
  return client.problems.map((each) => (
    <p className="note" key={each.code}>
      <Sign mark={each.level === "problem" ? "crit" : "warn"} />
      {tIf(`connect.problem.${each.code}`, `${each.text} ${each.mend}`)}
    </p>
  ));
}

/**
 * The buttons that open a change of one client. The dialog is beside them, so that what it says
 * at the end stays when the button goes.
 */
function Acts({ client, primary = false }: { client: Client; primary?: boolean }) {
  const [open, setOpen] = useState(false);
  const [undo, setUndo] = useState(false);
  const name = nameOf(client);
  const titles = { on: t("connect.onNamed", { name }), off: t("connect.offNamed", { name }) };
  const show = (off: boolean) => {
    setUndo(off);
    setOpen(true);
  };
  return (
    <>
      {!client.connected && (
        <button
          type="button"
          className={primary ? "primary" : undefined}
          aria-label={titles.on}
          disabled={client.state === "unusable"}
          onClick={() => show(false)}
        >
          {primary ? titles.on : t(client.undoable ? "connect.again" : "connect.on")}
        </button>
      )}
      {client.undoable && !primary && (
        <button type="button" aria-label={titles.off} onClick={() => show(true)}>
          {t("connect.off")}
        </button>
      )}
      <Dialog title={undo ? titles.off : titles.on} open={open} close={() => setOpen(false)} place="wide">
        <Proposal client={client} undo={undo} close={() => setOpen(false)} />
      </Dialog>
    </>
  );
}

function Proposal({ client, undo, close }: { client: Client; undo: boolean; close: () => void }) {
  const cache = useQueryClient();
  const [replace, setReplace] = useState(false);
  const found = useQuery<Change, ApiError>({
    queryKey: [...KEY, client.id, { undo, replace }],
    queryFn: () => send("POST", `/api/connect/${client.id}/preview`, { undo, replace }),
    staleTime: 0,
    gcTime: 0,
    retry: false,
  });
  const write = useMutation<Change, ApiError, Change>({
    mutationFn: ({ seen }) =>
      send("POST", `/api/connect/${client.id}/${undo ? "undo" : "apply"}`, { replace, seen }),
    onSettled: () => cache.invalidateQueries({ queryKey: KEY, exact: true }),
  });
  if (found.isPending) return <Skeleton lines={5} />;
  if (write.data) return <Done client={client} undo={undo} change={write.data} close={close} />;
  if (found.isError) {
    const other = found.error.code === "config_has_other_value";
    return <Refused error={found.error} replace={other ? () => setReplace(true) : null} close={close} />;
  }
  return (
    <div className="stack">
      {found.data.changes ? (
        <>
          <p className="note">{t("connect.change", { path: found.data.path })}</p>
          <Diff text={found.data.diff} />
        </>
      ) : (
        <p>{t("connect.nothing")}</p>
      )}
      {write.isError && (
        <p className="error" role="alert">
          {write.error.message}
        </p>
      )}
      <div className="buttons">
        <button type="button" onClick={close}>
          {t("do.cancel")}
        </button>
        {found.data.changes && (
          <button
            type="button"
            className="primary"
            disabled={write.isPending}
            onClick={() => write.mutate(found.data)}
          >
            {t("connect.write")}
          </button>
        )}
      </div>
    </div>
  );
}

interface RefusedProps {
  error: ApiError;
  replace: (() => void) | null;
  close: () => void;
}

function Refused({ error, replace, close }: RefusedProps) {
  return (
    <div className="stack">
      <p role="alert">
        <Sign mark="warn" />
        {error.message}
      </p>
      <div className="buttons">
        <button type="button" onClick={close}>
          {t("do.cancel")}
        </button>
        {replace && (
          <button type="button" className="primary" onClick={replace}>
            {t("connect.replace")}
          </button>
        )}
      </div>
    </div>
  );
}

interface DoneProps {
  client: Client;
  undo: boolean;
  change: Change;
  close: () => void;
}

function Done({ client, undo, change, close }: DoneProps) {
  return (
    <div className="stack">
      <p role="status">{undo ? t("connect.done.off") : t("connect.done.on", { name: nameOf(client) })}</p>
      {change.notes.map((note) => (
        <p key={note}>{noteOf(note)}</p>
      ))}
      {!undo && change.status && <Problems client={change.status} />}
      {change.backup && <p className="note">{t("connect.backup", { path: change.backup })}</p>}
      <div className="buttons">
        <button type="button" className="primary" onClick={close}>
          {t("do.close")}
        </button>
      </div>
    </div>
  );
}

function noteOf(note: string): string {
  if (note === "model") return t("connect.note.model");
  if (note === "sessions") return t("connect.note.sessions");
  return t("connect.keys", { name: KEY_VARIABLE });
}

/** A unified diff; the signs at the front say what the colours say. */
function Diff({ text }: { text: string }) {
  const lines = text.replace(/\n$/, "").split("\n").slice(2);
  return (
    <pre className="diff" tabIndex={0}>
      {lines.map((line, index) => (
        <span key={index} data-sign={line[0]}>
          {line + "\n"}
        </span>
      ))}
    </pre>
  );
}

/** What to write for those who rather do it themselves; from elsewhere, with the address they use. */
function ByHand({ found }: { found: Found }) {
  const texts = [
    ...found.clients
      .filter((client) => client.id !== "codex" || found.keysRequired)
      .map((client) => ({ name: nameOf(client), path: client.path, text: client.snippet })),
    { name: t("connect.environment"), path: "", text: found.environment },
  ];
  return (
    <details className="by-hand">
      <summary>{t("connect.hand")}</summary>
      {texts.map(({ name, path, text }) => {
        const shown = text.replaceAll(found.address, location.origin);
        return (
          <div key={name}>
            <div className="card-head">
              <h3>
                {name} <span className="mono note">{path}</span>
              </h3>
              <Copy text={shown} label={name} />
            </div>
            <pre className="diff" tabIndex={0} aria-label={name}>
              {shown}
            </pre>
          </div>
        );
      })}
    </details>
  );
}

/** One button for Codex, where nothing has come through yet. */
export function ConnectCodex() {
  const codex = useClients().data?.clients.find((client) => client.id === "codex");
  return codex ? <Acts client={codex} primary /> : null;
}
