/** Where received telemetry is passed on to: the address of another collector, and how it fares. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { api, send, type ApiError } from "../api";
import { ago, count } from "../format";
import { useNow } from "../hooks";
import { t } from "../words";
import "../panels.css";

interface Found {
  url: string;
  headerName: string | null;
  forwarded: number;
  failed: number;
  dropped: number;
  waiting: number;
  lastError: string | null;
  lastAt: string | null;
}

const KEY = ["telemetry-relay"];
/** What to write, as it is written everywhere. */
const EXAMPLE = { url: "http://localhost:4318", header: "signoz-access-token: …" };
const FRESH_MS = 10_000;

export function Relay() {
  const found = useQuery({
    queryKey: KEY,
    queryFn: ({ signal }) => api<Found>("/api/telemetry/relay", { signal }),
    meta: { topics: ["settings"] },
    refetchInterval: ({ state }) => (state.data?.url ? FRESH_MS : false),
  }).data;
  return (
    <section id="relay" aria-labelledby="relay-title">
      <h3 id="relay-title">{t("relay.title")}</h3>
      <p className="note">{t("relay.text")}</p>
      {/* A new address from elsewhere begins with fresh fields. */}
      {found && <Form key={`${found.url} ${found.headerName ?? ""}`} found={found} />}
      {found?.url && <State found={found} />}
    </section>
  );
}

function Form({ found }: { found: Found }) {
  const id = useId();
  const client = useQueryClient();
  const [url, setUrl] = useState(found.url);
  const [header, setHeader] = useState("");
  const save = useMutation<Found, ApiError, { url: string; header: string | null }>({
    mutationFn: (body) => send("PUT", "/api/telemetry/relay", body),
    onSuccess: (now) => client.setQueryData(KEY, now),
  });
  const changed = url.trim() !== found.url || header.trim() !== "";
  return (
    <form
      className="relay"
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate({ url: url.trim(), header: header.trim() || null });
      }}
    >
      <label htmlFor={`${id}u`}>{t("relay.url")}</label>
      <input
        id={`${id}u`}
        type="url"
        value={url}
        maxLength={255}
        placeholder={EXAMPLE.url}
        aria-describedby={save.isError ? `${id}e` : undefined}
        aria-invalid={save.isError || undefined}
        onChange={(event) => setUrl(event.target.value)}
      />
      <label htmlFor={`${id}h`}>{t("relay.header")}</label>
      <input
        id={`${id}h`}
        type="password"
        autoComplete="off"
        value={header}
        maxLength={4000}
        placeholder={found.headerName ? t("relay.header.kept", { name: found.headerName }) : EXAMPLE.header}
        onChange={(event) => setHeader(event.target.value)}
      />
      <span className="tools">
        <button type="submit" disabled={!changed || save.isPending}>
          {t("do.save")}
        </button>
        {found.headerName && (
          <button type="button" disabled={save.isPending} onClick={() => save.mutate({ url: found.url, header: "" })}>
            {t("relay.header.drop")}
          </button>
        )}
        {found.url && (
          <button type="button" disabled={save.isPending} onClick={() => save.mutate({ url: "", header: null })}>
            {t("relay.stop")}
          </button>
        )}
        <span role="status" className="note">
          {save.isPending ? t("settings.saving") : save.isSuccess ? t("settings.saved") : ""}
        </span>
      </span>
      {save.isError && (
        <p className="error" role="alert" id={`${id}e`}>
          {save.error.message}
        </p>
      )}
    </form>
  );
}

function State({ found }: { found: Found }) {
  const now = useNow();
  return (
    <p className="note">
      {t("relay.state", {
        forwarded: count(found.forwarded),
        waiting: count(found.waiting),
        failed: count(found.failed),
        dropped: count(found.dropped),
      })}
      {found.lastAt && ` ${t("relay.last", { ago: ago(found.lastAt, now) })}`}
      {found.lastError && <span className="error"> {t("relay.error", { error: found.lastError })}</span>}
    </p>
  );
}
