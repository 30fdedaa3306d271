/** Panels over time: conversations and tokens as bars, the duration of commands as lines. */
import { useMemo, useState } from "react";
import { csv, download } from "../csv";
import { clock, day as dayName, dayOf, duration, month } from "../format";
import { BESIDE, dayAt, daysOf, eventsOf, literalEvents, rows, type Panel, type PanelPage, type PanelPoint } from "../panels";
import { changed } from "../url";
import { t } from "../words";
import { ChartHead } from "./ChartHead";
import type { Shown } from "./Panels";
import { bothHref, EventsLink, LiteralNote, Said, source } from "./PanelTables";
import { Stack, StackTable, type Bar } from "./Stack";
import { Trend } from "./Trend";

/** A step's name, long enough to be told from its neighbours. */
function stepName(points: PanelPoint[], index: number, page: PanelPage, tz: string): { label: string; tick: string } {
  const { from, to } = daysOf(points, index, page, tz);
  const at = Date.parse(points[index]?.t ?? "");
  if (page.step === "hour") return { label: `${dayName(dayOf(at))} ${clock(at)}`, tick: clock(at) };
  if (page.step === "month") return { label: month(from.slice(0, 7)), tick: month(from.slice(0, 7)) };
  const label = from === to ? dayName(from) : `${dayName(from)} – ${dayName(to)}`;
  return { label, tick: dayName(from) };
}

export function BarsPanel({ panel, shown }: { panel: Panel; shown: Shown }) {
  const [table, setTable] = useState(false);
  const { page, scope, literal, usage } = shown;
  const points = (literal ? panel.literal?.points : panel.points) ?? [];
  const tokens = panel.id === "tokensOverTime";
  const title = t(`panels.${panel.id}`);
  const names = [t(tokens ? "requests.col.tokens" : "panels.conversations")];
  const opened = (more: Record<string, string>) => usage.path + changed(usage.search, { events: eventsOf(more) });
  const behind = (index: number) => {
    const days = daysOf(points, index, page, scope.tz);
    if (!literal) {
      const { v, told = 0 } = points[index] ?? { v: 0 };
      if (!tokens && told > 0) {
        const threads = (v ?? 0) - told;
        return opened({ has: "alone", ...days, ...(threads && { [BESIDE.threads]: String(threads) }) });
      }
      if (!tokens) return rows("/threads", { ...scope, ...days });
      return bothHref(shown, { ledger: (v ?? 0) - told, telemetry: told }, days) ?? "";
    }
    return opened({ ...literalEvents(panel.id), ...days });
  };
  const bars: Bar[] = points.map((point, index) => ({
    key: point.t,
    ...stepName(points, index, page, scope.tz),
    values: [point.v],
    href: behind(index),
  }));
  return (
    <div className="card">
      <ChartHead
        title={title}
        source={source(panel.id, shown)}
        table={table}
        show={setTable}
        save={() => download(`brimline-${panel.id}.csv`, [csv(["time", panel.id], points.map(({ t: time, v }) => [time, v]))])}
      />
      <LiteralNote panel={panel.id} shown={shown} />
      {table ? (
        <StackTable label={title} names={names} bars={bars} unit="plain" />
      ) : (
        <Stack label={title} names={names} bars={bars} colours={[tokens ? "c1" : "c3"]} unit="plain" />
      )}
    </div>
  );
}

export function DurationPanel({ panel, shown }: { panel: Panel; shown: Shown }) {
  const { literal, page, scope } = shown;
  const lines = useMemo(() => {
    const placed = (points: PanelPoint[] = []) =>
      // Noon, so that the chart's own zone moves no day.
      page.step === "hour" ? points : points.map(({ t: time, v }) => ({ t: new Date(`${dayAt(time, scope.tz)}T12:00:00`).toISOString(), v }));
    if (literal) return [{ name: t("panels.line.all"), points: placed(panel.literal?.points) }];
    return [
      { name: t("panels.line.commands"), points: placed(panel.points) },
      { name: t("panels.line.tools"), points: placed(panel.tools?.points) },
      { name: t("panels.line.requests"), points: placed(panel.requests?.points) },
    ];
  }, [literal, panel, page.step, scope.tz]);
  const value = literal ? panel.literal?.value : panel.value;
  const guessed = literal ? panel.literal?.estimated : panel.estimated;
  return (
    <div className="card">
      <Trend
        title={t("panels.commandDuration")}
        source={source(panel.id, shown)}
        lines={lines}
        label={t("panels.commandDuration.label")}
        file="command-duration"
        daily={page.step !== "hour"}
        unit="ms"
      />
      <LiteralNote panel={panel.id} shown={shown} />
      <p className="note panel-foot">
        <Said
          text={({ value: mark = "" }) => t("panels.p95", { value: mark })}
          parts={{
            value:
              value == null ? (
                duration(value)
              ) : (
                <EventsLink shown={shown} more={literal ? literalEvents(panel.id) : { has: "command" }}>
                  {duration(value)}
                </EventsLink>
              ),
          }}
        />
        {guessed && ` ${t("panels.estimate")}`}
        {!literal && ` ${t("panels.approval")}`}
      </p>
    </div>
  );
}
