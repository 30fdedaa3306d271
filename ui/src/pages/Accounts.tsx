/** Whose allowance? Every account with its windows, state, sign-in and what can be done. */
import { useRef, useState } from "react";
import { Link } from "wouter";
import { useAccounts } from "../accounts";
import { all, useAct } from "../acts";
import { lane, out, planName, statusMark, statusText, unasked } from "../allowance";
import type { Account } from "../api";
import { when } from "../format";
import { useNow, useTitle } from "../hooks";
import { AccountActions } from "../parts/AccountActions";
import { AddAccount } from "../parts/AddAccounts";
import { shownOf } from "../parts/Chips";
import { Dialog } from "../parts/Dialog";
import { Meter } from "../parts/Meter";
import { Named } from "../parts/Named";
import { PrivacyMode } from "../parts/Privacy";
import { Sign } from "../parts/Sign";
import { Empty, Failure, Skeleton } from "../parts/States";
import { told } from "../told";
import { t } from "../words";

export function Accounts() {
  useTitle(t("accounts.title"));
  const found = useAccounts();
  const accounts = found.data;
  // The first account is added here; what became of it stays to be read once it is in the list.
  const began = useRef(false);
  if (accounts?.length === 0) began.current = true;
  const [adding, setAdding] = useState(false);
  return (
    <>
      <header>
        <h1>{t("accounts.title")}</h1>
        {accounts && accounts.length > 0 && (
          <span className="tools">
            <PrivacyMode />
            {accounts.length > 1 && <ForAll accounts={accounts} />}
            <button type="button" className="primary" onClick={() => setAdding(true)}>
              {t("accounts.add")}
            </button>
          </span>
        )}
      </header>
      <section className="card" aria-label={t("accounts.list")}>
        {found.isPending && <Skeleton lines={6} />}
        {found.isError && !accounts && <Failure error={found.error} retry={() => void found.refetch()} />}
        {accounts?.length === 0 && (
          <Empty title={t("accounts.none")}>{t("accounts.noneText")}</Empty>
        )}
        {accounts && accounts.length > 0 && (
          <>
            <p className="note bars-key">{t("overview.accounts.key")}</p>
            <List accounts={accounts} />
          </>
        )}
      </section>
      {began.current && (
        <section className="card">
          <h2>{t("accounts.add")}</h2>
          <AddAccount />
        </section>
      )}
      <Dialog title={t("accounts.add")} open={adding} close={() => setAdding(false)} place="wide" sturdy>
        <AddAccount />
      </Dialog>
    </>
  );
}

function ForAll({ accounts }: { accounts: Account[] }) {
  const act = useAct();
  const paused = accounts.filter(({ status }) => status === "paused").length;
  return (
    <>
      <button
        type="button"
        disabled={act.isPending || paused === accounts.length}
        onClick={() => act.mutate(all("pause"))}
      >
        {t("accounts.pauseAll")}
      </button>
      <button
        type="button"
        disabled={act.isPending || paused === 0}
        onClick={() => act.mutate(all("resume"))}
      >
        {t("accounts.resumeAll")}
      </button>
    </>
  );
}

/** So many rows at first, twice as many with each click: a thousand at once keep a page waiting for seconds. */
const ROWS = 50;

function List({ accounts }: { accounts: Account[] }) {
  const now = useNow();
  const [most, setMost] = useState(ROWS);
  const shown = accounts.slice(0, most);
  return (
    <>
      <div className="lanes accounts" role="list">
        {shown.map((account) => (
          <Row key={account.accountId} account={account} now={now} />
        ))}
      </div>
      {shown.length < accounts.length && (
        <div className="pages">
          <span className="note" role="status">
            {shownOf(shown.length, accounts.length)}
          </span>
          <button type="button" onClick={() => setMost(2 * most)}>
            {t("calls.more")}
          </button>
        </div>
      )}
    </>
  );
}

function Row({ account, now }: { account: Account; now: number }) {
  const [short, long] = lane(account.windows);
  const shown = {
    idle: out(account),
    absent: account.windows.length > 0,
    paid: account.onCredits,
    unnamed: true,
    now,
  };
  return (
    <div className="lane" role="listitem">
      <div className="who">
        <Link href={`/accounts/${encodeURIComponent(account.accountId)}`} data-row title={account.displayName}>
          <Named name={account.displayName} />
        </Link>
        <span>
          {planName(account.planType)} · <Sign mark={statusMark(account.status)} />
          {statusText(account, now)}
        </span>
        {account.statusReason && account.status !== "active" && (
          <span className="reason">{told(account.statusReason, account.statusSaid)}</span>
        )}
        {unasked(account) && (
          <span className="reason">{told(account.usageError, account.usageErrorSaid)}</span>
        )}
      </div>
      <Meter window={short} slot="primary" {...shown} />
      <Meter window={long} slot="secondary" {...shown} />
      <p className="sign-in">
        {/* Its state and its button say it already. */}
        {account.status !== "sign_in_needed" && <SignInHealth account={account} now={now} />}
      </p>
      <AccountActions account={account} />
    </div>
  );
}

/** Whether the stored sign-in still works, and what to do when it does not. */
export function SignInHealth({ account, now }: { account: Account; now: number }) {
  const { auth } = account;
  if (account.status === "sign_in_needed") {
    return (
      <>
        <Sign mark="crit" />
        {t("accounts.token.again")}
      </>
    );
  }
  if (auth?.refresh.state === "missing") {
    return (
      <>
        <Sign mark="warn" />
        {t("accounts.token.noRefresh")}
      </>
    );
  }
  const ends = auth?.access.expiresAt;
  if (!ends) return <>{t("accounts.token.ok")}</>;
  if (Date.parse(ends) <= now) return <>{t("accounts.token.expired")}</>;
  return <span title={t("accounts.token.ends", { when: when(ends, now) })}>{t("accounts.token.ok")}</span>;
}
