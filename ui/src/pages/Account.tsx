/** One account: its windows with pace, 28 days of headroom, its sign-in, and what can be done. */
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { Link } from "wouter";
import { useAccounts } from "../accounts";
import { prioritise, route, useAct } from "../acts";
import { out, paceText, planName, statusMark, statusText, windowName } from "../allowance";
import { api, type Account, type Allowance, type Point } from "../api";
import { ago, count, full, UNKNOWN } from "../format";
import { useNow, useTitle } from "../hooks";
import { AccountActions } from "../parts/AccountActions";
import { AddAccount } from "../parts/AddAccounts";
import { Arrow } from "../parts/Arrow";
import { Facts } from "../parts/Copy";
import { ResetCredits } from "../parts/ResetCredits";
import { Meter } from "../parts/Meter";
import { Sign } from "../parts/Sign";
import { Empty, Failure, Skeleton } from "../parts/States";
import { Trend, type Line } from "../parts/Trend";
import { told } from "../told";
import { t, tIf } from "../words";
import { SignInHealth } from "./Accounts";

export function AccountPage({ id }: { id: string }) {
  const found = useAccounts();
  const account = found.data?.find(({ accountId }) => accountId === id);
  useTitle(account?.displayName ?? t("accounts.title"));
  return (
    <>
      <p className="crumb note">
        <Link href="/accounts"><Arrow to="back" /> {t("accounts.back")}</Link>
      </p>
      <header>
        <h1>{account?.displayName ?? (found.data ? t("accounts.notFound") : t("accounts.title"))}</h1>
        {account && <AccountActions account={account} here />}
      </header>
      {found.isPending && (
        <section className="card">
          <Skeleton lines={5} />
        </section>
      )}
      {found.isError && !found.data && (
        <section className="card">
          <Failure error={found.error} retry={() => void found.refetch()} />
        </section>
      )}
      {found.data && !account && (
        <section className="card">
          <Empty title={t("accounts.notFound")}>{t("accounts.notFoundText")}</Empty>
        </section>
      )}
      {account && <Loaded account={account} />}
    </>
  );
}

function Loaded({ account }: { account: Account }) {
  const now = useNow();
  return (
    <>
      {account.status === "sign_in_needed" && (
        <>
          <p className="notice" role="alert">
            <Sign mark="crit" />
            {t("accounts.signInAgain")}
          </p>
          <section className="card">
            <h2>{t("accounts.again")}</h2>
            <AddAccount again={account.accountId} />
          </section>
        </>
      )}
      <section className="card">
        <h2>
          {t("accounts.windows")}
          <span className="note">
            <Sign mark={statusMark(account.status)} />
            {statusText(account, now)}
          </span>
        </h2>
        {account.usageError && (
          <p className="note usage-error">
            <Sign mark="warn" />
            {told(account.usageError, account.usageErrorSaid)}
          </p>
        )}
        {account.windows.length ? (
          <div className="windows">
            {account.windows.map((window) => (
              <Window key={window.key} window={window} account={account} now={now} />
            ))}
          </div>
        ) : (
          <Empty title={t("accounts.windows.empty")}>{t("accounts.windows.emptyText")}</Empty>
        )}
      </section>
      <Rotation account={account} />
      <History account={account} />
      <Details account={account} now={now} />
    </>
  );
}

function Window({ window, account, now }: { window: Allowance; account: Account; now: number }) {
  const slot = window.key === "primary" ? "primary" : "secondary";
  return (
    <div className="window">
      <h3>{windowName(window, slot)}</h3>
      <Meter
        window={window}
        slot={slot}
        idle={out(account)}
        // A named model's own allowance is not what credits stand in for.
        paid={account.onCredits && !window.key.includes(":")}
        now={now}
      />
      <p className="note">{paceText(window, now)}</p>
    </div>
  );
}

const PRIORITIES = [
  { value: "1", word: "accounts.priority.first" },
  { value: "0", word: "accounts.priority.normal" },
  { value: "-1", word: "accounts.priority.last" },
] as const;
const POLICIES = ["burn_first", "normal", "preserve"] as const;

/** When this account's turn comes. */
function Rotation({ account }: { account: Account }) {
  const act = useAct();
  const id = useId();
  return (
    <section className="card">
      <h2>{t("accounts.rotation")}</h2>
      <div className="setting">
        <div>
          <label htmlFor={`${id}p`}>{t("accounts.priority")}</label>
          <p className="note">{t("accounts.priority.help")}</p>
        </div>
        <div className="setting-control">
          <select
            id={`${id}p`}
            disabled={act.isPending}
            value={String(Math.sign(account.priority))}
            onChange={(event) => act.mutate(prioritise(account, Number(event.target.value)))}
          >
            {PRIORITIES.map(({ value, word }) => (
              <option key={value} value={value}>
                {t(word)}
              </option>
            ))}
          </select>
        </div>
      </div>
      <div className="setting">
        <div>
          <label htmlFor={`${id}r`}>{t("accounts.policy")}</label>
          <p className="note">{t("accounts.policy.help")}</p>
        </div>
        <div className="setting-control">
          <select
            id={`${id}r`}
            disabled={act.isPending}
            value={account.routingPolicy ?? "normal"}
            onChange={(event) => act.mutate(route(account, event.target.value))}
          >
            {POLICIES.map((policy) => (
              <option key={policy} value={policy}>
                {t(`accounts.policy.${policy}`)}
              </option>
            ))}
          </select>
        </div>
      </div>
    </section>
  );
}

interface Trends {
  primary: Point[];
  secondary: Point[];
  monthly: Point[];
  /** Named limits such as Spark's, and windows of other lengths. */
  others: { key: string; name: string; points: Point[] }[];
}

function History({ account }: { account: Account }) {
  const found = useQuery({
    // What is seen first is drawn at once, not in five minutes.
    queryKey: ["trends", account.accountId, account.windows.length > 0],
    queryFn: ({ signal }) =>
      api<Trends>(`/api/accounts/${encodeURIComponent(account.accountId)}/trends?days=28`, { signal }),
    // A month of points moves slowly: every five minutes is often enough.
    refetchInterval: 300_000,
  });
  const lines = found.data ? linesOf(found.data, account.windows) : [];
  return (
    <section className="card">
      {lines.length === 0 && <h2>{t("accounts.trend")}</h2>}
      {found.isPending && <Skeleton lines={4} />}
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data && lines.length === 0 && (
        <Empty title={t("accounts.trend.empty")}>{t("accounts.trend.emptyText")}</Empty>
      )}
      {lines.length > 0 && (
        <Trend
          title={t("accounts.trend")}
          source={t("accounts.trend.source")}
          lines={lines}
          label={t("accounts.trend.label")}
          file={`headroom-${account.accountId}`}
        />
      )}
    </section>
  );
}

/** The lines worth drawing: a window with a known point. */
function linesOf(trends: Trends, windows: Allowance[]): Line[] {
  // One that the account no longer has is still in its past.
  const find = (key: string, name = key) =>
    windows.find((window) => window.key === key) ?? { key, name, windowMinutes: null };
  const week = windows.find(({ key }) => key === "secondary");
  const slots = [
    { name: windowName(windows.find(({ key }) => key === "primary"), "primary"), points: trends.primary },
    { name: windowName(week, "secondary"), points: trends.secondary },
    { name: windowName(find("monthly"), "secondary"), points: trends.monthly },
    ...trends.others.map(({ key, name, points }) => ({ name: windowName(find(key, name), "secondary"), points })),
  ];
  return slots.filter(({ points }) => points.some(({ v }) => v !== null));
}

/** The health of each stored token. */
function tokenRows(auth: Account["auth"]): [string, string][] {
  if (!auth) return [];
  const kinds = [
    ["accounts.token.refresh", auth.refresh],
    ["accounts.token.id", auth.idToken],
  ] as const;
  return kinds.map(([word, { state }]) => [t(word), tIf(`accounts.token.state.${state}`, state ?? UNKNOWN)]);
}

function Details({ account, now }: { account: Account; now: number }) {
  const { credits, auth } = account;
  const balance = credits?.unlimited ? t("accounts.credits.unlimited") : (credits?.balance ?? null);
  const query = `?account=${encodeURIComponent(account.accountId)}`;
  return (
    <section className="card">
      <h2>
        {t("accounts.details")}
        <span className="tools">
          <Link className="link note" href={`/requests${query}`}>
            {t("links.requests")}
          </Link>
          <Link className="link note" href={`/calls${query}`}>
            {t("links.calls")}
          </Link>
        </span>
      </h2>
      <Facts
        rows={[
          [t("accounts.email"), account.email ?? UNKNOWN],
          [t("accounts.plan"), planName(account.planType)],
          ...(account.statusReason
            ? ([[t("accounts.reason"), told(account.statusReason, account.statusSaid)]] as [string, string][])
            : []),
          [t("accounts.signIn"), <SignInHealth key="s" account={account} now={now} />],
          ...(auth?.access.expiresAt &&
          account.status !== "sign_in_needed" &&
          Date.parse(auth.access.expiresAt) > now
            ? ([["", t("accounts.token.ends", { when: full(auth.access.expiresAt) })]] as [string, string][])
            : []),
          ...tokenRows(auth),
          [t("accounts.credits"), balance === null ? UNKNOWN : String(balance)],
          [t("accounts.resets"), <ResetCredits key="r" account={account} now={now} />],
          [t("accounts.lastUsed"), ago(account.lastUsedAt, now)],
          [t("accounts.streams"), count(account.activeStreams)],
          [
            t("accounts.workspace"),
            account.workspaceLabel ?? (
              <span key="w" className="mono">
                {account.workspaceId ?? UNKNOWN}
              </span>
            ),
          ],
          [
            t("accounts.id"),
            <span key="i" className="mono">
              {account.accountId}
            </span>,
          ],
        ]}
      />
    </section>
  );
}
