/**
 * The seventeen panels of the SigNoz dashboard, at the place where each helps.
 *
 * Corrected at first: the ledger has the exact numbers, telemetry adds what only it saw. One click
 * shows what SigNoz' own query says of the same time.
 */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { api, query } from "../api";
import { joined, percent } from "../format";
import { useNow } from "../hooks";
import { ALL, PLACES, TELEMETRY_ONLY, TILES, type Panel, type PanelId, type PanelPage, type Place, type Scope } from "../panels";
import { since } from "../range";
import { useUsage, type Usage } from "../usage";
import { t, type Word } from "../words";
import { Counted } from "./Counted";
import { Events } from "./Events";
import { useConnected } from "./connected";
import { BarsPanel, DurationPanel } from "./PanelLines";
import { DETAILS, DetailsPanel, SharesPanel, TilesPanel } from "./PanelTables";
import { Quality } from "./Quality";
import { Empty, Failure, Skeleton } from "./States";
import { useOptions } from "./UsageBar";
import "../panels.css";

const FRESH_MS = 60_000;
const HOUR = 3_600_000;

/** What every panel gets: the answer, what it was asked for, and which of the two measures is shown. */
export interface Shown {
  page: PanelPage;
  scope: Scope;
  literal: boolean;
  usage: Usage;
}

/** The time of the Requests page slides; whole hours, so that the same question is asked again. */
function useScope(place: Place, usage: Usage): Scope {
  const now = useNow(HOUR / 4);
  const provider = usage.shared.provider || ALL;
  const { tz } = usage.shared;
  if (place !== "requests") return { from: usage.span.from ?? "first", ...(usage.span.to && { to: usage.span.to }), provider, tz };
  return { from: since(usage.get("range"), now - (now % (HOUR / 4))) ?? "first", provider: "codex", tz };
}

function usePanels(place: Place, scope: Scope, usage: Usage, wrong: boolean) {
  const literal = usage.get("measure") === "signoz";
  // How many conversations to list is the address' to say; whatever is no number is as none.
  const details = Number(usage.get("talks")) > DETAILS ? usage.get("talks") : "";
  return useQuery({
    queryKey: ["panels", place, scope, literal, details],
    queryFn: ({ signal }) => {
      const asked = { ...scope, id: [...PLACES[place]], literal: String(literal), details };
      return api<PanelPage>(`/api/telemetry/panels${query(asked)}`, { signal });
    },
    meta: { topics: ["calls", "telemetry", "settings"] },
    placeholderData: keepPreviousData,
    refetchInterval: FRESH_MS,
    enabled: !wrong,
  });
}

export function Panels({ place, usage: given }: { place: Place; usage?: Usage }) {
  const own = useUsage("30d");
  const usage = given ?? own;
  const literal = usage.get("measure") === "signoz";
  const scope = useScope(place, usage);
  const found = usePanels(place, scope, usage, place !== "requests" && usage.wrong);
  return (
    <section className="panels" aria-labelledby="panels-title">
      <Head usage={usage} literal={literal} page={found.data} narrow={place !== "requests"} />
      {found.data ? (
        <Cards place={place} shown={{ page: found.data, scope, literal, usage }} />
      ) : (
        <div className="card">
          {found.isError ? (
            <Failure error={found.error} retry={() => void found.refetch()} />
          ) : (
            !usage.wrong && <Skeleton lines={6} />
          )}
        </div>
      )}
      {place === "diagnostics" && !usage.wrong && <Quality usage={usage} scope={scope} />}
      <Events scope={scope} usage={usage} />
      <Counted scope={scope} usage={usage} />
    </section>
  );
}

interface HeadProps {
  usage: Usage;
  literal: boolean;
  page: PanelPage | undefined;
  narrow: boolean;
}

function Head({ usage, literal, page, narrow }: HeadProps) {
  const { history } = usage.shared;
  const archived = useOptions()?.archived;
  const wider = narrow ? unheard(usage) : [];
  return (
    <div className="panels-head">
      <h2 id="panels-title">{t("panels.title")}</h2>
      <span className="tools">
        {page && <CoverageChip page={page} />}
        <span className="toggle" role="group" aria-label={t("panels.measure")}>
          {([false, true] as const).map((one) => (
            <button
              key={String(one)}
              type="button"
              aria-pressed={literal === one}
              onClick={() => usage.change({ measure: one ? "signoz" : null })}
            >
              {t(one ? "panels.literal" : "panels.corrected")}
            </button>
          ))}
        </span>
      </span>
      <p className="note">
        {t(literal ? "panels.literal.text" : "panels.corrected.text")}
        {wider.length > 0 && <> {t("panels.wider", { filters: joined(wider) })}</>}
        {/* Telemetry knows no sessions' files: what is archived is not told apart. */}
        {narrow && history && archived && <> {t("panels.archived")}</>}
      </p>
    </div>
  );
}

/** The filters that are set and that telemetry does not know, by their names. */
function unheard({ shared }: Usage): string[] {
  const set: [Word, boolean][] = [
    ["filter.search", shared.q !== ""],
    ["filter.model", shared.model.length > 0],
    ["filter.effort", shared.effort.length > 0],
    ["filter.project", shared.project.length > 0],
    ["filter.account", shared.account.length > 0],
    ["filter.tag", shared.tag.length > 0],
  ];
  return set.filter(([, on]) => on).map(([word]) => t(word));
}

/** How much of the ledger telemetry saw as well; leads to the quality of the data. */
function CoverageChip({ page: { coverage, provider } }: { page: PanelPage }) {
  return (
    <>
      {provider !== "claude" && <span className="chip">{t("provider.codex")}</span>}
      {provider !== "codex" && <span className="chip">{t("provider.claude")}</span>}
      {coverage.telemetry > 0 && (
        <Link className="chip" href="/diagnostics#quality" title={t("panels.coverage.title")}>
          {t("panels.coverage", { share: percent(coverage.telemetryPercent) })}
        </Link>
      )}
    </>
  );
}

/** Whether telemetry of a client ever came; undefined until that is known. */
function useHeard(provider: string): boolean | undefined {
  const found = useQuery({
    queryKey: ["telemetry-heard", provider],
    queryFn: ({ signal }) =>
      api<{ silence: { lastEventAt: string | null } }>(`/api/telemetry/quality${query({ provider })}`, { signal }),
    meta: { topics: ["telemetry"] },
  });
  if (found.isPending) return undefined;
  return Boolean(found.data?.silence.lastEventAt);
}

/** No telemetry: how to have some, or that it is connected and this time has none. */
function SwitchOn({ provider }: { provider: string }) {
  // What is connected is Codex; of Claude Code it says nothing.
  const connected = useConnected();
  const heard = useHeard(provider);
  const known = connected !== undefined && heard !== undefined;
  const on = heard || (provider !== "claude" && connected);
  const link = (
    <Link className="button" href="/settings#connect">
      {t("panels.off.link")}
    </Link>
  );
  return (
    <div className="card">
      <Empty title={t("panels.off")} action={known && !on && link}>
        {known && t(on ? "panels.off.connected" : "panels.off.text")}
      </Empty>
    </div>
  );
}

function Cards({ place, shown }: { place: Place; shown: Shown }) {
  const silent = shown.page.coverage.telemetry === 0;
  const panels = Object.fromEntries(shown.page.panels.map((panel) => [panel.id, panel])) as Partial<Record<PanelId, Panel>>;
  const told = (id: PanelId) => {
    const panel = panels[id];
    if (!panel || (silent && (shown.literal || TELEMETRY_ONLY.includes(id)) && !something(panel))) return null;
    return <One key={id} panel={panel} shown={shown} />;
  };
  const tiles = TILES.map((id) => panels[id]).filter((panel) => panel !== undefined);
  const off = <SwitchOn provider={shown.page.provider} />;
  // Nothing at all: empty figures and charts would say no more than this.
  if (shown.page.coverage.calls === 0 && silent) return off;
  if (place === "requests") return told("success") ?? off;
  if (place === "trends") {
    return (
      <>
        {!(silent && shown.literal) && <TilesPanel panels={tiles} shown={shown} />}
        <Pair>{[told("models"), told("modelTokens")]}</Pair>
        <Pair>{[told("conversationsOverTime"), told("tokensOverTime")]}</Pair>
        {silent && off}
      </>
    );
  }
  return (
    <>
      {silent && off}
      {told("tools")}
      <Pair>{[told("decisions"), told("terminals")]}</Pair>
      {told("commandDuration")}
      {told("users")}
      {told("success")}
      {told("conversationDetails")}
    </>
  );
}

function something({ items, points, surfaces, configured }: Panel): boolean {
  return Boolean(items?.length || surfaces?.length || configured?.length || points?.some(({ v }) => v));
}

function Pair({ children }: { children: ReactNode[] }) {
  const there = children.filter(Boolean);
  if (there.length < 2) return <>{there}</>;
  return <div className="grid even">{there}</div>;
}

function One({ panel, shown }: { panel: Panel; shown: Shown }) {
  if (panel.id === "commandDuration") return <DurationPanel panel={panel} shown={shown} />;
  if (panel.id === "conversationDetails") return <DetailsPanel panel={panel} shown={shown} />;
  if (panel.id === "conversationsOverTime" || panel.id === "tokensOverTime")
    return <BarsPanel panel={panel} shown={shown} />;
  return <SharesPanel panel={panel} shown={shown} />;
}
