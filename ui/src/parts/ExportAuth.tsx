/** Take an account's sign-in to another computer: the file for Codex or for OpenCode. */
import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";
import { send, type Account, type ApiError, type ExportedAuth } from "../api";
import { download } from "../csv";
import { told } from "../told";
import { t } from "../words";
import { Sign } from "./Sign";

const SHAPES = [
  { shape: "codexAuthJson", word: "accounts.export.codex" },
  { shape: "opencodeAuthJson", word: "accounts.export.opencode" },
] as const;
type Shape = (typeof SHAPES)[number]["shape"];

export function ExportAuth({ account }: { account: Account }) {
  const id = useId();
  const [shape, setShape] = useState<Shape>("codexAuthJson");
  const path = `/api/accounts/${encodeURIComponent(account.accountId)}/export/auth`;
  const take = useMutation<ExportedAuth, ApiError>({
    mutationFn: () => send("POST", path),
    onSuccess: (found) =>
      download(found.filename, [`${JSON.stringify(found[shape], null, 2)}\n`], "application/json"),
  });
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        take.mutate();
      }}
    >
      <p>
        <Sign mark="warn" />
        {t("accounts.export.text")}
      </p>
      <fieldset>
        {SHAPES.map(({ shape: one, word }) => (
          <label key={one} className="check">
            <input type="radio" name={id} checked={shape === one} onChange={() => setShape(one)} />
            {t(word)}
          </label>
        ))}
      </fieldset>
      {take.isError && (
        <p className="error" role="alert">
          {take.error.message}
        </p>
      )}
      {take.data && (
        <p className="note" role="status">
          {t("accounts.export.done", { file: take.data.filename })} {told(take.data.note, take.data.noteSaid)}
        </p>
      )}
      <div className="buttons">
        <button type="submit" className="primary" disabled={take.isPending}>
          {t("accounts.export.do")}
        </button>
      </div>
    </form>
  );
}
