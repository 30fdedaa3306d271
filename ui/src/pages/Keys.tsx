/** Who may use it? The keys of the proxy's clients, what they may use, and how much is left. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { useLocation } from "wouter";
import { mark } from "../allowance";
import { api, send, type ApiError, type ApiKey, type KeyLimit, type Settings } from "../api";
import { ago, compact, full, joined, money, percent, reset, stamp, when } from "../format";
import { useNow, useTitle } from "../hooks";
import { left, level, usedText, windowText } from "../limits";
import { refetch } from "../live";
import { Buttons } from "../parts/Buttons";
import { Copy } from "../parts/Copy";
import { Dialog } from "../parts/Dialog";
import { KeyForm } from "../parts/KeyForm";
import { Menu } from "../parts/Menu";
import { Sign } from "../parts/Sign";
import { Empty, Failure, Skeleton } from "../parts/States";
import { say } from "../say";
import { t } from "../words";

const WEEK = 6.5 * 24 * 3600 * 1000;

type WithSecret = ApiKey & { key?: string };

/** The API keys, newest first. */
export function useApiKeys() {
  return useQuery({
    queryKey: ["api-keys"],
    queryFn: ({ signal }) => api<ApiKey[]>("/api/api-keys/", { signal }),
    // What is left of a limit moves with every request.
    meta: { topics: ["keys", "requests"] },
    refetchInterval: 60_000,
  });
}

export function Keys() {
  useTitle(t("keys.title"));
  const found = useApiKeys();
  const keys = found.data;
  const [creating, setCreating] = useState(false);
  const [secret, setSecret] = useState<WithSecret | null>(null);
  const create = (
    <button type="button" className="primary" onClick={() => setCreating(true)}>
      {t("keys.create")}
    </button>
  );
  return (
    <>
      <header>
        <h1>{t("keys.title")}</h1>
        {keys && keys.length > 0 && create}
      </header>
      <Ask keys={keys} />
      <section className="card" aria-label={t("keys.list")}>
        {found.isPending && <Skeleton lines={5} />}
        {found.isError && !keys && <Failure error={found.error} retry={() => void found.refetch()} />}
        {keys?.length === 0 && (
          <Empty title={t("keys.empty")} action={create}>
            {t("keys.emptyText")}
          </Empty>
        )}
        {keys && keys.length > 0 && <List keys={keys} reveal={setSecret} />}
      </section>
      <Dialog
        title={t("keys.create")}
        open={creating}
        close={() => setCreating(false)}
        place="wide"
        sturdy
      >
        <KeyForm
          of={null}
          close={() => setCreating(false)}
          done={(key) => {
            setCreating(false);
            setSecret(key);
          }}
        />
      </Dialog>
      <Secret of={secret} close={() => setSecret(null)} />
    </>
  );
}

/** Whether clients are asked at all; beside it, what that means now. */
function Ask({ keys }: { keys: ApiKey[] | undefined }) {
  const id = useId();
  const client = useQueryClient();
  const now = useNow();
  const settings = useQuery({
    queryKey: ["settings"],
    queryFn: ({ signal }) => api<Settings>("/api/settings", { signal }),
    meta: { topics: ["settings"] },
  });
  const save = useMutation<Settings, ApiError, boolean>({
    mutationFn: (on) => send("PUT", "/api/settings", { apiKeyAuthEnabled: on }),
    onSuccess: (values) => client.setQueryData(["settings"], values),
  });
  if (!settings.data) {
    return (
      <section className="card">
        {settings.isError ? (
          <Failure error={settings.error} retry={() => void settings.refetch()} />
        ) : (
          <Skeleton lines={1} />
        )}
      </section>
    );
  }
  const on = save.isPending ? save.variables : settings.data.apiKeyAuthEnabled === true;
  const shut = on && keys && !keys.some((key) => usable(key, now));
  return (
    <section className="card">
      <div className="setting">
        <div>
          <label htmlFor={id}>{t("keys.ask")}</label>
          <p className="note" id={`${id}-help`}>
            {t(on ? "keys.ask.on" : "keys.ask.off")}
          </p>
          {shut && (
            <p className="note" role="alert">
              <Sign mark="warn" />
              {t("keys.ask.none")}
            </p>
          )}
          {save.isError && (
            <p className="error" role="alert">
              {save.error.message}
            </p>
          )}
        </div>
        <div className="setting-control">
          <input
            id={id}
            type="checkbox"
            role="switch"
            checked={on}
            aria-describedby={`${id}-help`}
            onChange={(event) => save.mutate(event.target.checked)}
          />
        </div>
      </div>
    </section>
  );
}

function usable(key: ApiKey, now: number): boolean {
  return key.isActive && !(key.expiresAt && Date.parse(key.expiresAt) <= now);
}

interface ListProps {
  keys: ApiKey[];
  reveal: (key: WithSecret) => void;
}

function List({ keys, reveal }: ListProps) {
  const now = useNow();
  return (
    <div className="lanes keys-list" role="list">
      {keys.map((key) => (
        <Row key={key.id} of={key} now={now} reveal={reveal} />
      ))}
    </div>
  );
}

interface RowProps {
  of: ApiKey;
  now: number;
  reveal: (key: WithSecret) => void;
}

function Row({ of: key, now, reveal }: RowProps) {
  return (
    <div className="lane" role="listitem">
      <div className="who">
        <b title={key.name}>{key.name}</b>
        <span className="mono">{key.keyPrefix}…</span>
        <span>
          <State of={key} now={now} />
        </span>
      </div>
      <div className="key-limits">
        {key.limits.length === 0 && <p className="note">{t("keys.noLimits")}</p>}
        {key.limits.map((limit) => (
          <LimitMeter key={limit.id} limit={limit} idle={!usable(key, now)} now={now} />
        ))}
      </div>
      <div className="key-facts note">
        <span title={key.allowedModels ? joined(key.allowedModels) : undefined}>
          {key.allowedModels ? t("keys.models", { count: key.allowedModels.length }) : t("keys.models.all")}
          {" · "}
          {key.assignedAccountIds
            ? t("keys.accounts", { count: key.assignedAccountIds.length })
            : t("keys.accounts.all")}
        </span>
        <Used of={key} now={now} />
      </div>
      <Actions of={key} reveal={reveal} />
    </div>
  );
}

function State({ of: key, now }: { of: ApiKey; now: number }) {
  const ends = key.expiresAt;
  if (!key.isActive) {
    return (
      <>
        <Sign mark="idle" />
        {t("keys.off")}
      </>
    );
  }
  if (ends && Date.parse(ends) <= now) {
    return (
      <>
        <Sign mark="crit" />
        <span title={full(ends)}>{t("keys.expired", { when: date(ends, now) })}</span>
      </>
    );
  }
  return <>{ends ? t("keys.expires", { when: date(ends, now) }) : t("keys.active")}</>;
}

/** A day far away needs its year, one close by its weekday. */
function date(iso: string, now: number): string {
  return Math.abs(Date.parse(iso) - now) < WEEK ? when(iso, now) : stamp(iso, now);
}

interface WeekUsed {
  totalRequests: number;
  totalTokens: number;
  totalCostUsd: number;
}

function Used({ of: key, now }: { of: ApiKey; now: number }) {
  const used = useQuery({
    queryKey: ["key-week", key.id],
    queryFn: ({ signal }) =>
      api<WeekUsed>(`/api/api-keys/${encodeURIComponent(key.id)}/usage-7d`, { signal }),
    meta: { topics: ["requests"] },
  }).data;
  return (
    <>
      {used && used.totalRequests > 0 && (
        <span>
          {t("keys.week", {
            requests: t("requests.count", { count: used.totalRequests }),
            tokens: compact(used.totalTokens),
            cost: money(used.totalCostUsd),
          })}
        </span>
      )}
      {key.lastUsedAt ? (
        <span>{t("keys.lastUsed", { ago: ago(key.lastUsedAt, now) })}</span>
      ) : (
        used?.totalRequests === 0 && <span>{t("keys.neverUsed")}</span>
      )}
    </>
  );
}

/** The headroom meter for a limit: the same picture as for an account's window. */
function LimitMeter({ limit, idle, now }: { limit: KeyLimit; idle: boolean; now: number }) {
  const share = left(limit);
  const look = idle ? "idle" : mark(level(limit));
  const back = reset(limit.resetAt, now);
  const more =
    (limit.modelFilter ? t("keys.meter.model", { model: limit.modelFilter }) : "") +
    (limit.resetAt ? t("keys.meter.reset", { when: when(limit.resetAt, now) }) : "");
  return (
    <div className="meter">
      <div className="row">
        <span>
          <b>
            <Sign mark={idle ? "ok" : look} />
            {t("meter.left", { percent: percent(share) })}
          </b>
          {" · "}
          {usedText(limit)}, {windowText(limit.limitWindow)}
          {limit.modelFilter && ` · ${limit.modelFilter}`}
        </span>
        <span title={limit.resetAt ? t("meter.reset.title", { when: when(limit.resetAt, now) }) : undefined}>
          {back}
        </span>
      </div>
      <div
        className="bar"
        data-level={look}
        role="meter"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(share)}
        aria-label={t("keys.meter", {
          used: usedText(limit),
          window: windowText(limit.limitWindow),
          left: percent(share),
          more,
        })}
      >
        {share > 0 && <i style={{ width: `calc(${share}% + 2px)` }} />}
      </div>
    </div>
  );
}

interface Change {
  method: string;
  path?: string;
  body?: unknown;
  done: string;
}

/** What is done to a key; its outcome is said at the foot of the page. */
function useChange(key: ApiKey) {
  const client = useQueryClient();
  const at = `/api/api-keys/${encodeURIComponent(key.id)}`;
  return useMutation<WithSecret | null, ApiError, Change>({
    mutationFn: ({ method, path = "", body }) => send(method, at + path, body),
    onSuccess: (_, { done }) => done && say(done),
    onError: (error) => say(t("failed.any", { message: error.message }), true),
    onSettled: () => refetch(client, ["keys"]),
  });
}

function Actions({ of: key, reveal }: Omit<RowProps, "now">) {
  const change = useChange(key);
  const [, go] = useLocation();
  const [dialog, setDialog] = useState<"edit" | "regenerate" | "delete" | null>(null);
  const { name } = key;
  const close = () => setDialog(null);
  const switched = {
    method: "PATCH",
    body: { isActive: !key.isActive },
    done: t(key.isActive ? "keys.done.off" : "keys.done.on", { name }),
  };
  const zero = { method: "PATCH", body: { resetUsage: true }, done: t("keys.done.reset", { name }) };
  return (
    <span className="tools">
      <button type="button" aria-label={t("keys.editName", { name })} data-row onClick={() => setDialog("edit")}>
        {t("keys.edit")}
      </button>
      <Menu
        label={t("keys.menu", { name })}
        quiet
        items={[
          { label: t("keys.requests"), run: () => go(`/requests?key=${encodeURIComponent(key.id)}`) },
          "line",
          { label: t(key.isActive ? "keys.disable" : "keys.enable"), run: () => change.mutate(switched) },
          ...(key.limits.length ? [{ label: t("keys.reset"), run: () => change.mutate(zero) }] : []),
          { label: t("keys.regenerate"), run: () => setDialog("regenerate") },
          "line",
          { label: t("keys.delete"), danger: true, run: () => setDialog("delete") },
        ]}
      >
        •••
      </Menu>
      <Dialog title={t("keys.editName", { name })} open={dialog === "edit"} close={close} place="wide" sturdy>
        <KeyForm
          of={key}
          close={close}
          done={() => {
            close();
            say(t("keys.done.saved", { name }));
          }}
        />
      </Dialog>
      <Dialog title={t("keys.regenerateTitle", { name })} open={dialog === "regenerate"} close={close}>
        <Confirm
          text={t("keys.regenerateText")}
          word={t("keys.regenerate")}
          close={close}
          busy={change.isPending}
          run={() =>
            change.mutate(
              { method: "POST", path: "/regenerate", done: "" },
              {
                onSuccess: (made) => {
                  close();
                  if (made) reveal(made);
                },
              },
            )
          }
        />
      </Dialog>
      <Dialog title={t("keys.deleteTitle", { name })} open={dialog === "delete"} close={close}>
        <Confirm
          text={t("keys.deleteText")}
          word={t("keys.delete")}
          close={close}
          busy={change.isPending}
          run={() =>
            change.mutate(
              { method: "DELETE", done: t("keys.done.deleted", { name }) },
              { onSuccess: close },
            )
          }
        />
      </Dialog>
    </span>
  );
}

interface ConfirmProps {
  text: string;
  word: string;
  close: () => void;
  busy: boolean;
  run: () => void;
}

function Confirm({ text, word, close, busy, run }: ConfirmProps) {
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        run();
      }}
    >
      <p>{text}</p>
      <Buttons close={close} busy={busy} word={word} danger />
    </form>
  );
}

/** The secret, shown this once. */
function Secret({ of: key, close }: { of: WithSecret | null; close: () => void }) {
  const line = `export BRIMLINE_API_KEY=${key?.key ?? ""}`;
  return (
    <Dialog
      title={t("keys.secretTitle", { name: key?.name ?? "" })}
      open={key !== null}
      close={close}
      place="wide"
      sturdy
    >
      <div className="stack">
        <p>{t("keys.secretText")}</p>
        <div className="code">
          <code aria-label={t("keys.secret")}>{key?.key}</code>
          <Copy text={key?.key ?? ""} label={t("keys.secret")} />
        </div>
        <p className="note">{t("keys.secretCodex")}</p>
        <div className="code">
          <code aria-label={t("keys.secretLine")}>{line}</code>
          <Copy text={line} label={t("keys.secretLine")} />
        </div>
        <div className="buttons">
          <button type="button" className="primary" onClick={close}>
            {t("keys.secretDone")}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
