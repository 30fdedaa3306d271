/** Where am I now? Pool headroom, a lane for each account, the last 14 days, what needs attention. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState, type CSSProperties } from "react";
import { Link } from "wouter";
import { pause, resume, useAct } from "../acts";
import { lane, out, planName, statusMark, statusText, unasked, windowName } from "../allowance";
import { api, query, type Account, type Allowance, type Attention, type Overview as Data } from "../api";
import { ago, count, money, percent, UNKNOWN, when } from "../format";
import { useNow, useTitle } from "../hooks";
import { useZone } from "../live";
import { DayBars, total } from "../parts/Bars";
import { shownOf } from "../parts/Chips";
import { CodexHome } from "../parts/CodexHome";
import { Meter } from "../parts/Meter";
import { Named } from "../parts/Named";
import { PrivacyMode } from "../parts/Privacy";
import { Sign } from "../parts/Sign";
import { Empty, Failure, Skeleton } from "../parts/States";
import { told } from "../told";
import { t, type Word } from "../words";

export function Overview() {
  useTitle(t("overview.title"));
  const tz = useZone();
  const [most, setMost] = useState(LANES);
  const found = useQuery({
    queryKey: ["overview", tz, most],
    queryFn: ({ signal }) =>
      api<Data>(`/api/dashboard/overview${query({ tz, accounts: most })}`, { signal }),
    placeholderData: keepPreviousData,
    meta: { topics: ["accounts", "requests", "calls", "settings"] },
    // Percentages move with the clock as well: a window that resets, a pace that drifts.
    refetchInterval: 60_000,
  });
  const now = useNow(5_000);
  const data = found.data;
  return (
    <>
      <header>
        <h1>{t("overview.title")}</h1>
        <span className="tools">
          {data && <Freshness data={data} now={now} />}
          <PrivacyMode />
        </span>
      </header>
      {found.isPending && <Waiting />}
      {found.isError && !data && (
        <section className="card">
          <Failure error={found.error} retry={() => void found.refetch()} />
        </section>
      )}
      {data && <Loaded data={data} now={now} more={() => setMost(2 * most)} />}
    </>
  );
}

function Waiting() {
  return (
    <>
      <section className="card">
        <Skeleton lines={2} tall />
      </section>
      <section className="card">
        <Skeleton lines={6} />
      </section>
    </>
  );
}

function Freshness({ data, now }: { data: Data; now: number }) {
  const updated = data.lastSyncAt
    ? t("overview.updated", { ago: ago(data.lastSyncAt, now) })
    : t("overview.notUpdated");
  const active = data.pool.accounts.active;
  return (
    <span className="note">
      {data.pool.accounts.total ? `${updated} · ${t("overview.rotation", { count: active })}` : ""}
    </span>
  );
}

function Loaded({ data, now, more }: { data: Data; now: number; more: () => void }) {
  return (
    <>
      <Figures data={data} now={now} />
      <Lanes accounts={data.accounts} total={data.pool.accounts.total} now={now} more={more} />
      <div className="grid">
        <section className="card">
          {data.days.some((day) => total(day) > 0) ? (
            <DayBars title={t("overview.days")} source={t("overview.days.source")} days={data.days} />
          ) : (
            <>
              <h2>{t("overview.days")}</h2>
              <Empty title={t("overview.days.empty")}><CodexHome word="overview.days.emptyText" /></Empty>
            </>
          )}
        </section>
        <section className="card">
          <h2>{t("overview.attention")}</h2>
          {data.attention.length ? (
            <AttentionList items={data.attention} />
          ) : (
            <Empty title={t("overview.attention.none")}>{t("overview.attention.noneText")}</Empty>
          )}
        </section>
      </div>
    </>
  );
}

function Figures({ data, now }: { data: Data; now: number }) {
  const [short, long] = lane(data.pool.windows);
  const missing = absence(data);
  const held = data.pool.onCredits ? "credits" : data.pool.state === "spent" ? "blocked" : null;
  const cost = data.today.calls ? money(data.today.costUsd) : money(0);
  return (
    <section className="card figure" aria-label={t("overview.figures")}>
      <Headroom window={short} slot="primary" missing={missing} held={held} now={now} />
      <Headroom window={long} slot="secondary" missing={missing} held={held} now={now} />
      <Link href="/calls?range=today&history=all">
        <strong className="amount" style={{ "--letters": cost.length } as CSSProperties}>
          {cost}
        </strong>
        <small>
          {todayText(data.today)}
          {data.today.unpriced > 0 && (
            <>
              <br />
              {t("overview.today.unpriced", { count: data.today.unpriced })}
            </>
          )}
        </small>
      </Link>
    </section>
  );
}

/** Why a window that the pool does not have is missing: only accounts in rotation count. */
function absence({ pool, unmeasured }: Data): Word {
  const { total, active, blocked, paused } = pool.accounts;
  if (active + blocked > 0) {
    return unmeasured === 0 ? "overview.headroom.none" : "overview.headroom.unknown";
  }
  if (total === 0) return "overview.headroom.unknown";
  return paused === total ? "overview.headroom.paused" : "overview.headroom.nobody";
}

function todayText({ calls, threads }: Data["today"]): string {
  if (!calls) return t("overview.today.none");
  // What passed the proxy alone has no thread yet; the log that names it may come later.
  if (!threads) return t("overview.today.alone", { calls: t("overview.today.calls", { count: calls }) });
  return t("overview.today", {
    calls: t("overview.today.calls", { count: calls }),
    threads: t("overview.today.threads", { count: threads }),
  });
}

interface HeadroomProps {
  window: Allowance | undefined;
  slot: "primary" | "secondary";
  /** Why the pool has no such window. */
  missing: Word;
  /** Credits pay where a window is used up, or no account may serve at all. */
  held: "credits" | "blocked" | null;
  now: number;
}

function Headroom({ window, slot, missing, held, now }: HeadroomProps) {
  const left = window?.remainingPercent ?? null;
  return (
    <Link href="/accounts" data-stale={window?.stale || undefined}>
      <strong>{left === null ? UNKNOWN : percent(left)}</strong>
      <small>
        {heldText(window, slot, held) ?? headroomText(window, slot, missing, now)}
      </small>
    </Link>
  );
}

function heldText(
  window: Allowance | undefined,
  slot: "primary" | "secondary",
  held: HeadroomProps["held"],
): string | null {
  if (!window || window.remainingPercent === null) return null;
  const left = window.remainingPercent > 0;
  if (held === "credits" && !left) return t("overview.headroom.credits", { window: windowName(window, slot) });
  // What is left cannot be spent, so it does not run out either.
  if (held === "blocked" && left) return t("overview.headroom.nobody", { window: windowName(window, slot) });
  return null;
}

function headroomText(
  window: Allowance | undefined,
  slot: "primary" | "secondary",
  missing: Word,
  now: number,
): string {
  const name = windowName(window, slot);
  if (!window || window.remainingPercent === null) return t(missing, { window: name });
  const { pace, resetAt } = window;
  const until = (at: string) => ({ window: name, when: when(at, now, "long") });
  if (window.remainingPercent <= 0 && resetAt) return t("overview.headroom.spent", until(resetAt));
  if (pace?.runsOutAt) return t("overview.headroom.until", until(pace.runsOutAt));
  if (slot === "secondary" && pace && resetAt) return t("overview.headroom.lasts", until(resetAt));
  return t("overview.headroom", { window: name });
}

/** So many lanes at first, twice as many with each click: a thousand at once would keep the page waiting. */
const LANES = 30;

interface LanesProps {
  /** Those that are shown, of `total`. */
  accounts: Account[];
  total: number;
  now: number;
  more: () => void;
}

function Lanes({ accounts, total, now, more }: LanesProps) {
  return (
    <section className="card">
      <h2>
        {t("overview.accounts")}
        {accounts.length > 0 && <span className="note">{t("overview.accounts.key")}</span>}
      </h2>
      {accounts.length === 0 && (
        <Empty
          title={t("overview.accounts.empty")}
          action={
            <Link href="/accounts" className="button primary">
              {t("overview.accounts.add")}
            </Link>
          }
        >
          <CodexHome word="overview.accounts.emptyText" />
        </Empty>
      )}
      {accounts.map((account) => (
        <Lane key={account.accountId} account={account} now={now} />
      ))}
      {accounts.length < total && (
        <div className="pages">
          <span className="note" role="status">
            {shownOf(accounts.length, total)}
          </span>
          <span className="tools">
            <button type="button" onClick={more}>
              {t("calls.more")}
            </button>
            <Link href="/accounts" className="button">
              {t("diag.all", { n: count(total) })}
            </Link>
          </span>
        </div>
      )}
    </section>
  );
}

function Lane({ account, now }: { account: Account; now: number }) {
  const act = useAct();
  const [short, long] = lane(account.windows);
  const shown = {
    idle: out(account),
    absent: account.windows.length > 0,
    paid: account.onCredits,
    unnamed: true,
    now,
  };
  return (
    <div className="lane" role="group" aria-label={account.displayName}>
      <div className="who">
        <Link href={`/accounts/${encodeURIComponent(account.accountId)}`} data-row title={account.displayName}>
          <Named name={account.displayName} />
        </Link>
        <span>
          {planName(account.planType)}
          {account.status !== "active" && (
            <>
              {" · "}
              <Sign mark={statusMark(account.status)} />
              {statusText(account, now)}
            </>
          )}
          {account.serving && <> · {t("status.serving")}</>}
        </span>
      </div>
      <Meter window={short} slot="primary" {...shown} />
      <Meter window={long} slot="secondary" {...shown} />
      <LaneButton account={account} run={(wanted) => act.mutate(wanted)} busy={act.isPending} />
      {unseen(account) ? (
        <p className="held note">{told(account.statusReason, account.statusSaid)}</p>
      ) : (
        unasked(account) && (
          <p className="held note">{told(account.usageError, account.usageErrorSaid)}</p>
        )
      )}
    </div>
  );
}

/** Whether an account is held back although the bars beside it show room: then it says why. */
function unseen(account: Account): boolean {
  const blocked = account.status === "rate_limited" || account.status === "quota_exceeded";
  return blocked && !lane(account.windows).some((window) => window?.remainingPercent === 0);
}

interface LaneButtonProps {
  account: Account;
  run: (act: ReturnType<typeof pause>) => void;
  busy: boolean;
}

function LaneButton({ account, run, busy }: LaneButtonProps) {
  if (account.status === "sign_in_needed" || account.status === "deactivated") {
    return (
      <Link href={`/accounts/${encodeURIComponent(account.accountId)}`} className="button">
        {t(account.status === "sign_in_needed" ? "accounts.again" : "accounts.open")}
      </Link>
    );
  }
  const paused = account.status === "paused";
  const word: Word = paused ? "do.resume" : "do.pause";
  return (
    <button
      type="button"
      disabled={busy}
      aria-label={`${t(word)} ${account.displayName}`}
      onClick={() => run(paused ? resume(account) : pause(account))}
    >
      {t(word)}
    </button>
  );
}

const LEVELS = {
  critical: { mark: "crit", word: "overview.level.critical" },
  warn: { mark: "warn", word: "overview.level.warn" },
  info: { mark: "none", word: "overview.level.info" },
} as const;

function AttentionList({ items }: { items: Attention[] }) {
  return (
    <ul className="attention">
      {items.map((item) => {
        const level = LEVELS[item.level] ?? LEVELS.info;
        const title = told(item.title, item.titleSaid);
        return (
          <li key={`${item.title}${item.href}`}>
            <Sign mark={level.mark} />
            <div>
              <b>
                <span className="hidden">{t("join.label", { name: t(level.word) })} </span>
                {item.href ? <Link href={item.href}>{title}</Link> : title}
              </b>
              <span>{told(item.text, item.textSaid)}</span>
            </div>
          </li>
        );
      })}
    </ul>
  );
}
