/** What can be done to one account: pause, resume, rename, ask now, sign in again, export, remove. */
import { useId, useState } from "react";
import { useLocation } from "wouter";
import { pause, probe, remove, rename, resume, useAct } from "../acts";
import type { Account } from "../api";
import { t } from "../words";
import { AddAccount } from "./AddAccounts";
import { Buttons } from "./Buttons";
import { Dialog } from "./Dialog";
import { ExportAuth } from "./ExportAuth";
import { Menu, type Item } from "./Menu";

const HOUR = 3600 * 1000;

export function AccountActions({ account, here = false }: { account: Account; here?: boolean }) {
  const act = useAct();
  const [, go] = useLocation();
  const [dialog, setDialog] = useState<"rename" | "again" | "export" | "remove" | null>(null);
  const name = account.displayName;
  const close = () => setDialog(null);
  const open: Item[] = here
    ? []
    : [{ label: t("accounts.open"), run: () => go(`/accounts/${encodeURIComponent(account.accountId)}`) }];
  return (
    <span className="tools">
      {ended(account) && !here && (
        <button type="button" aria-label={`${t("accounts.again")}: ${name}`} onClick={() => setDialog("again")}>
          {t("accounts.again")}
        </button>
      )}
      {!ended(account) && <PauseOrResume account={account} run={act.mutate} busy={act.isPending} />}
      <Menu
        label={t("accounts.menu", { name })}
        quiet
        items={[
          ...open,
          { label: t("accounts.rename"), run: () => setDialog("rename") },
          { label: t("accounts.probe"), run: () => act.mutate(probe(account)) },
          "line",
          { label: t("accounts.again"), run: () => setDialog("again") },
          { label: t("accounts.export"), run: () => setDialog("export") },
          "line",
          { label: t("accounts.remove"), danger: true, run: () => setDialog("remove") },
        ]}
      >
        •••
      </Menu>
      <Dialog title={t("accounts.rename")} open={dialog === "rename"} close={close}>
        <Rename account={account} close={close} />
      </Dialog>
      <Dialog
        title={t("accounts.againTitle", { name })}
        open={dialog === "again"}
        close={close}
        place="wide"
        sturdy
      >
        <AddAccount again={account.accountId} />
      </Dialog>
      <Dialog title={t("accounts.exportTitle", { name })} open={dialog === "export"} close={close} place="wide">
        <ExportAuth account={account} />
      </Dialog>
      <Dialog title={t("accounts.removeTitle", { name })} open={dialog === "remove"} close={close}>
        <Remove account={account} close={close} gone={() => here && go("/accounts")} />
      </Dialog>
    </span>
  );
}

/** Out of rotation until somebody signs in again: there is nothing to pause. */
function ended({ status }: Account): boolean {
  return status === "sign_in_needed" || status === "deactivated";
}

interface RunProps {
  account: Account;
  run: ReturnType<typeof useAct>["mutate"];
  busy: boolean;
}

function PauseOrResume({ account, run, busy }: RunProps) {
  const name = account.displayName;
  if (account.status === "paused") {
    return (
      <button
        type="button"
        disabled={busy}
        aria-label={`${t("do.resume")} ${name}`}
        onClick={() => run(resume(account))}
      >
        {t("do.resume")}
      </button>
    );
  }
  const hour = () => new Date(Date.now() + HOUR).toISOString();
  return (
    <Menu
      label={t("accounts.pause.menu", { name })}
      items={[
        { label: t("accounts.pause.forever"), run: () => run(pause(account)) },
        { label: t("accounts.pause.hour"), run: () => run(pause(account, hour())) },
        { label: t("accounts.pause.reset"), run: () => run(pause(account, "reset")) },
      ]}
    >
      {t("do.pause")} <span aria-hidden="true">▾</span>
    </Menu>
  );
}

function Rename({ account, close }: { account: Account; close: () => void }) {
  const act = useAct();
  const id = useId();
  const [alias, setAlias] = useState(account.alias ?? "");
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        act.mutate(rename(account, alias.trim() || null), { onSuccess: close });
      }}
    >
      <label htmlFor={id}>{t("accounts.renameLabel", { email: account.email ?? account.displayName })}</label>
      <input
        id={id}
        value={alias}
        maxLength={255}
        placeholder={account.email ?? undefined}
        // Where names are hidden nobody sees what saving nothing would take away.
        required={account.email === null}
        onChange={(event) => setAlias(event.target.value)}
      />
      <p className="note">{t("accounts.renameHint")}</p>
      {act.isError && <p className="error">{act.error.message}</p>}
      <Buttons close={close} busy={act.isPending} word={t("do.save")} />
    </form>
  );
}

interface RemoveProps {
  account: Account;
  close: () => void;
  gone: () => void;
}

function Remove({ account, close, gone }: RemoveProps) {
  const act = useAct();
  const [history, setHistory] = useState<"keep" | "erase">("keep");
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        act.mutate(remove(account, history), {
          onSuccess: () => {
            close();
            gone();
          },
        });
      }}
    >
      <p>{t("accounts.removeText")}</p>
      <fieldset>
        {(["keep", "erase"] as const).map((choice) => (
          <label key={choice} className="check">
            <input
              type="radio"
              name="history"
              checked={history === choice}
              onChange={() => setHistory(choice)}
            />
            {t(choice === "keep" ? "accounts.removeKeep" : "accounts.removeErase")}
          </label>
        ))}
      </fieldset>
      {act.isError && <p className="error">{act.error.message}</p>}
      <Buttons close={close} busy={act.isPending} word={t("accounts.remove")} danger />
    </form>
  );
}
