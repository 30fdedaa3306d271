/** Add accounts: on the provider's pages, by device code, or by file; each outcome is said in words. */
import { useQueryClient } from "@tanstack/react-query";
import { useId, useState, type DragEvent } from "react";
import { api, ApiError } from "../api";
import { refetch } from "../live";
import { t } from "../words";
import { CodexHome } from "./CodexHome";
import { SignInFlow } from "./SignInFlow";

const MOST_BYTES = 1 << 20;

interface Outcome {
  key: number;
  text: string;
  failed: boolean;
}

let outcomes = 0;

async function add(file: File): Promise<Outcome> {
  const key = (outcomes += 1);
  const not = (message: string) => ({
    key,
    failed: true,
    text: t("accounts.notAdded", { file: file.name, message }),
  });
  if (file.size > MOST_BYTES) return not(t("accounts.tooLarge"));
  const body = new FormData();
  body.append("auth_json", file);
  try {
    const added = await api<{ email: string }>("/api/accounts/import", { method: "POST", body });
    return { key, failed: false, text: t("accounts.added", { file: file.name, email: added.email }) };
  } catch (error) {
    return not(error instanceof ApiError ? error.message : String(error));
  }
}

const WAYS = [
  { way: "browser", word: "signing.browser", hint: "signing.browser.hint" },
  { way: "device", word: "signing.device", hint: "signing.device.hint" },
  { way: "file", word: "signing.file", hint: "signing.file.hint" },
] as const;
type Way = (typeof WAYS)[number]["way"];

/** Choose how, then do it. */
export function AddAccount({ again = null }: { again?: string | null }) {
  const [way, setWay] = useState<Way | null>(null);
  const back = () => setWay(null);
  if (way === "file") return <ByFile back={back} />;
  if (way) return <SignInFlow key={way} method={way} wanted={again} back={back} />;
  return (
    <ul className="ways">
      {WAYS.map(({ way: one, word, hint }) => (
        <li key={one}>
          <button type="button" onClick={() => setWay(one)}>
            <b>{t(word)}</b>
            <span className="note"><CodexHome word={hint} /></span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function ByFile({ back }: { back: () => void }) {
  const client = useQueryClient();
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [over, setOver] = useState(false);
  const [done, setDone] = useState<Outcome[]>([]);

  async function addAll(files: File[]) {
    if (!files.length || busy) return;
    setBusy(true);
    setDone([]);
    // One after the other: a file that fails says so and the rest go on.
    for (const file of files) {
      const outcome = await add(file);
      setDone((before) => [...before, outcome]);
    }
    setBusy(false);
    refetch(client, ["accounts"]);
  }

  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void addAll([...event.dataTransfer.files]);
  };
  return (
    <div className="stack">
      <div
        className="drop"
        data-over={over || undefined}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <p>
          {busy ? t("accounts.adding") : t("accounts.drop")}{" "}
          {!busy && (
            <label className="button" htmlFor={id}>
              {t("accounts.choose")}
            </label>
          )}
          <input
            id={id}
            className="hidden"
            type="file"
            accept=".json,application/json"
            multiple
            disabled={busy}
            onChange={(event) => {
              void addAll([...(event.target.files ?? [])]);
              event.target.value = "";
            }}
          />
        </p>
        <p className="note"><CodexHome word="accounts.dropHint" /></p>
      </div>
      <ul className="outcomes" aria-live="polite">
        {done.map(({ key, text, failed }) => (
          <li key={key} className={failed ? "error" : "good"}>
            <span className="sign" aria-hidden="true">
              {failed ? "●" : "✓"}
            </span>
            {text}
          </li>
        ))}
      </ul>
      <div className="tools">
        <button type="button" onClick={back}>
          {t("signing.other")}
        </button>
      </div>
    </div>
  );
}
