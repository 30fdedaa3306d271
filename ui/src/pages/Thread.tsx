/** One thread: what it cost, how its cache and context went, what happened when, and its sub-agents. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { api, type Lifecycle, type ThreadDetail, type ThreadSession } from "../api";
import { callPath } from "../evidence";
import { beside, compact, count, credits, duration, exact, full, money, share, stamp, UNKNOWN } from "../format";
import { useNow, useTitle } from "../hooks";
import { Arrow } from "../parts/Arrow";
import { CopyLink } from "../parts/Chips";
import { Copy, Facts } from "../parts/Copy";
import { Cost } from "../parts/Cost";
import { One } from "../parts/Filters";
import { NestedCalls } from "../parts/NestedCalls";
import { PrivacyMode } from "../parts/Privacy";
import { Sign } from "../parts/Sign";
import { Awaited } from "../parts/States";
import { Trend } from "../parts/Trend";
import { Attention, flagged, mix, origins, threadCost, titleOf } from "../threads";
import { t, tIf } from "../words";

export function ThreadPage({ id }: { id: string }) {
  const found = useQuery({
    queryKey: ["thread", id],
    queryFn: ({ signal }) => api<ThreadDetail>(`/api/threads/${encodeURIComponent(id)}`, { signal }),
    meta: { topics: ["calls", "settings"] },
  });
  const thread = found.data;
  const title = thread ? titleOf(thread.title, thread.id) : t("calls.col.thread");
  useTitle(title);
  return (
    <>
      <p className="note crumb">
        <Link href="/threads"><Arrow to="back" /> {t("threads.title")}</Link>
      </p>
      <header>
        <h1>
          <bdi>{title}</bdi>
        </h1>
        <span className="tools">
          <PrivacyMode />
          {thread && <CopyLink />}
        </span>
      </header>
      {!thread && (
        <Awaited
          found={found}
          missing={[t("threads.notFound"), t("threads.notFoundText")]}
          list={["/threads", t("threads.title")]}
        />
      )}
      {thread && <Loaded thread={thread} />}
    </>
  );
}

function Loaded({ thread }: { thread: ThreadDetail }) {
  const context = thread.maxContextPercent;
  return (
    <>
      <section className="card">
        <dl className="totals inner" aria-label={t("threads.summary")}>
          <Total name={t("calls.total.cost")} value={threadCost(thread)} />
          <Total
            name={t("calls.total.tokens")}
            value={compact(thread.totalTokens)}
            title={exact(thread.totalTokens)}
          />
          <Total name={t("calls.total.calls")} value={count(thread.calls)} />
          <Total name={t("calls.cacheShare")} value={share(thread.cacheRatio)} />
          <Total name={t("threads.col.context")} value={share(context === null ? null : context / 100)} />
          <Total name={t("calls.credits")} value={credits(thread.credits)} />
          <Total name={t("threads.col.attention")} value={<Attention thread={thread} />} />
        </dl>
        {thread.flags.length > 0 && (
          <p className="chips">
            {thread.flags.map((flag) => (
              <span className="chip" key={flag}>
                {flagged({ ...thread, flags: [flag] })}
              </span>
            ))}
          </p>
        )}
      </section>
      {thread.advice && <Afresh advice={thread.advice} />}
      {thread.curve.length > 1 && <Curves thread={thread} />}
      <div className="grid">
        <section className="card">
          <h2>{t("threads.lifecycle")}</h2>
          <Signals thread={thread} />
        </section>
        <section className="card">
          <h2>{t("accounts.details")}</h2>
          <Facts
            rows={[
              [t("calls.col.project"), thread.project ?? UNKNOWN],
              [t("calls.provider"), tIf(`provider.${thread.provider}`, thread.provider)],
              [t("calls.col.model"), mix(thread.models)],
              [t("calls.col.effort"), mix(thread.efforts)],
              [t("threads.pricing"), priced(thread)],
              [t("threads.started"), full(thread.startedAt)],
              [t("threads.col.latest"), full(thread.lastAt)],
              [t("calls.col.duration"), duration(thread.durationMs)],
              ...(origins(thread) ? [[t("threads.origin"), origins(thread)] as [string, string]] : []),
              [
                t("calls.threadId"),
                <span key="id">
                  <span className="mono">{thread.id}</span>{" "}
                  <Copy text={thread.id} label={t("calls.threadId")} />
                </span>,
              ],
            ]}
          />
        </section>
      </div>
      {thread.sessionList.length > 1 && (
        <section className="card">
          <h2>{t("threads.work")}</h2>
          <Sessions list={thread.sessionList} />
        </section>
      )}
      <section className="card">
        <div className="card-head">
          <h2>{t("threads.timeline")}</h2>
          <Link className="link note" href={`/calls?thread=${encodeURIComponent(thread.id)}&history=all`}>
            {t("threads.inCalls")}
          </Link>
        </div>
        <NestedCalls thread={thread.id} label={t("threads.timeline")} />
      </section>
    </>
  );
}

/** How sure the cost is, and how many calls are not in it. */
function priced({ calls, costUsd, unpriced, estimated = 0 }: ThreadDetail): string {
  if (costUsd === null) return t("calls.price.unpriced");
  const some = estimated + unpriced < calls ? "mixed" : "estimated";
  return beside([
    t(`calls.price.${estimated ? some : "exact"}`),
    unpriced > 0 && t("trends.unpriced", { count: unpriced }),
  ]);
}

/** The thread carries much, and that no longer helps. */
function Afresh({ advice }: { advice: NonNullable<ThreadDetail["advice"]> }) {
  // How full the context is, or how much of what is carried comes from the cache.
  const full = advice.contextPercent === null ? null : advice.contextPercent / 100;
  const values = {
    tokens: compact(advice.carriedTokens),
    share: share(advice.key === "cache-lost" ? advice.cacheRatio : full),
  };
  return (
    <section className="card" aria-label={t("afresh.title")}>
      <ul className="attention">
        <li>
          <Sign mark="warn" />
          <div>
            <b>{t("afresh.title")}</b>
            <span>
              {tIf(`afresh.${advice.key}`, "", values)} {t("afresh.next")}
            </span>
          </div>
        </li>
      </ul>
    </section>
  );
}

function Total({ name, value, title }: { name: string; value: React.ReactNode; title?: string }) {
  return (
    <div>
      <dd title={title}>{value}</dd>
      <dt>{name}</dt>
    </div>
  );
}

/** Which session's curves are shown: each has a context of its own. */
function CurveOf({ thread, shown, choose }: { thread: ThreadDetail; shown: string; choose: (id: string) => void }) {
  const drawn = new Map<string, number>();
  for (const { sessionId } of thread.curve) drawn.set(sessionId, (drawn.get(sessionId) ?? 0) + 1);
  const known = thread.sessionList.filter(({ id }) => id === shown || (drawn.get(id) ?? 0) > 1);
  if (known.length < 2) return null;
  return (
    <div className="chart-tools">
      <One
        label={t("threads.session")}
        value={shown}
        options={known.map((one) => ({ value: one.id, label: sessionName(one) }))}
        change={choose}
      />
    </div>
  );
}

/** A session among the others of its thread: "own work", "sub-agent · explorer". */
function sessionName({ kind, role, startedAt, id }: ThreadSession): string {
  const whose = beside([tIf(`threads.kind.${kind}`, kind), role !== kind && role]);
  return [whose, startedAt ? full(startedAt) : id.slice(0, 8)].join(" · ");
}

function Curves({ thread }: { thread: ThreadDetail }) {
  const [chosen, choose] = useState(thread.ownSessionId);
  const curve = useMemo(() => thread.curve.filter(({ sessionId }) => sessionId === chosen), [thread.curve, chosen]);
  const lines = useMemo(
    () => [
      {
        name: t("calls.cacheShare"),
        points: curve.map(({ at, cacheRatio }) => ({
          t: at,
          v: cacheRatio === null ? null : cacheRatio * 100,
        })),
      },
      {
        name: t("calls.contextShare"),
        points: curve.map(({ at, contextPercent }) => ({ t: at, v: contextPercent })),
      },
    ],
    [curve],
  );
  return (
    <section className="card">
      <Trend
        title={t("threads.curves")}
        source={t("overview.days.source")}
        lines={lines}
        label={t("threads.curves.label")}
        file={`thread-${thread.id}`}
        calls={curve}
      />
      <CurveOf thread={thread} shown={chosen} choose={choose} />
    </section>
  );
}

/** What a signal says, from its numbers; nothing when a newer server names one we do not know. */
function said({ key, from, to, value }: Lifecycle): string | null {
  const ratio = (n: number | null) => share(n);
  switch (key) {
    case "first-expensive-turn":
      // Its cost, or how full the context was that made it dear.
      if (value !== null) return t("life.first-expensive-turn", { cost: money(value) });
      return to === null ? null : t("life.first-full-turn", { share: share(to / 100) });
    case "largest-jump":
      return t("life.largest-jump", { tokens: compact(value) });
    case "cache-trend":
      return t("life.cache-trend", { from: ratio(from), to: ratio(to) });
    case "context-trend":
      return t("life.context-trend", {
        from: ratio(from === null ? null : from / 100),
        to: ratio(to === null ? null : to / 100),
      });
    case "subagent-before-spike":
      return t("life.subagent-before-spike");
    case "compactions":
      return t("life.compactions", { count: value ?? 0 });
    default:
      return null;
  }
}

function Signals({ thread }: { thread: ThreadDetail }) {
  const now = useNow();
  const shown = thread.lifecycle.filter((signal) => said(signal) !== null);
  if (!shown.length) return <p className="note">{t("threads.lifecycle.none")}</p>;
  return (
    <ul className="attention signals">
      {shown.map((signal) => (
        <li key={signal.key}>
          <div>
            {signal.callId ? (
              <Link href={callPath(signal.callId)}>{said(signal)}</Link>
            ) : (
              said(signal)
            )}
            {signal.at && <span title={full(signal.at)}>{stamp(signal.at, now)}</span>}
          </div>
        </li>
      ))}
    </ul>
  );
}

/** Sessions as a tree: a sub-agent stands under the one that started it. Pure. */
export function nested(list: ThreadSession[]): { session: ThreadSession; depth: number }[] {
  const known = new Set(list.map(({ id }) => id));
  const found: { session: ThreadSession; depth: number }[] = [];
  const seen = new Set<string>();
  const add = (session: ThreadSession, depth: number) => {
    if (seen.has(session.id)) return;
    seen.add(session.id);
    found.push({ session, depth });
    list.filter(({ parentId }) => parentId === session.id).forEach((child) => add(child, depth + 1));
  };
  list.filter(({ parentId }) => !parentId || !known.has(parentId)).forEach((root) => add(root, 0));
  // A loop of parents has no root; its members still show.
  list.forEach((session) => add(session, 0));
  return found;
}

function Sessions({ list }: { list: ThreadSession[] }) {
  const now = useNow();
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={t("threads.work")}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("threads.session")}</th>
            <th scope="col">{t("threads.kind")}</th>
            <th scope="col">{t("threads.started")}</th>
            <th scope="col" className="num">
              {t("series.calls")}
            </th>
            <th scope="col" className="num">
              {t("calls.col.tokens")}
            </th>
            <th scope="col" className="num">
              {t("calls.col.cache")}
            </th>
            <th scope="col" className="num">
              {t("calls.col.cost")}
            </th>
          </tr>
        </thead>
        <tbody>
          {nested(list).map(({ session, depth }) => (
            <tr key={session.id}>
              <th scope="row" className={`depth${Math.min(depth, 3)}`}>
                <Link href={`/calls?session=${encodeURIComponent(session.id)}&history=all`} title={session.id} dir="auto">
                  {session.role ?? titleOf(session.title, session.id)}
                </Link>
              </th>
              <td>
                {tIf(`threads.kind.${session.kind}`, session.kind)}
                {session.attachment === "inferred" && (
                  <small className="muted whose" title={t("threads.inferredWhy")}>
                    {t("threads.inferred")}
                  </small>
                )}
              </td>
              <td className="nowrap" title={full(session.startedAt)}>{stamp(session.startedAt, now)}</td>
              <td className="num">{count(session.calls)}</td>
              <td className="num" title={exact(session.totalTokens)}>
                {compact(session.totalTokens)}
              </td>
              <td className="num">{share(session.cacheRatio)}</td>
              <td className="num">
                <Cost usd={session.costUsd} unpriced={session.unpriced} estimated={session.estimated} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
