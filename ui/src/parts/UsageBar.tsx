/** The one filter bar of the usage pages. What a page adds of its own stands in the middle. */
import { useQuery } from "@tanstack/react-query";
import { useId, useState, type ReactNode } from "react";
import { nameIn, useNames } from "../accounts";
import { api } from "../api";
import { count, percent } from "../format";
import { DAY_RANGES } from "../range";
import { NO_FILTER, type Usage } from "../usage";
import { t } from "../words";
import { Many, One, SearchBox, type Option } from "./Filters";

interface Options {
  models: string[];
  efforts: string[];
  projects: string[];
  accounts: string[];
  tags?: string[];
  /** Whether there are archived sessions. */
  archived?: boolean;
  /** What counts as much or dear: the user's file, or what Brimline brings along. */
  thresholds?: Record<string, number>;
}

/** What can be chosen: what the ledger has seen. */
export function useOptions(): Options | undefined {
  return useQuery({
    queryKey: ["call-options"],
    queryFn: ({ signal }) => api<Options>("/api/calls/options", { signal }),
    meta: { topics: ["calls", "accounts"] },
  }).data;
}

/** The limits that words about high context name; "–" until they are known. */
export function useLimits(): { share: string; tokens: string } {
  const limits = useOptions()?.thresholds;
  return { share: percent(limits && 100 * (limits.high_context_percent ?? 0)), tokens: count(limits?.large_cumulative_tokens) };
}

/** Values that are shown as they are. */
export function plain(values: readonly string[] | undefined): Option[] {
  return (values ?? []).map((value) => ({ value, label: value }));
}

interface Props {
  usage: Usage;
  /** After them: what only this page filters by. */
  children?: ReactNode;
  /** Whether a filter of the page's own is set. */
  also?: boolean;
  /** How many of `children` are set: where room is short they are folded away. */
  folded?: number;
}

export function UsageBar({ usage, children, also = false, folded = 0 }: Props) {
  const options = useOptions();
  const accounts = useNames();
  const [open, setOpen] = useState(false);
  const more = useId();
  const { effort, project, account, tag, history } = usage.shared;
  const hidden = folded + effort.length + project.length + account.length + tag.length + Number(!history);
  const set = (key: string) => (value: string | string[]) => usage.change({ [key]: value, open: null });
  return (
    <form
      className="filters"
      role="search"
      aria-label={t("filter.bar")}
      onSubmit={(event) => event.preventDefault()}
    >
      <SearchBox
        value={usage.shared.q}
        hint={t("calls.searchHint")}
        change={(q) => usage.change({ q, open: null }, { replace: true })}
      />
      <Span usage={usage} />
      <Toggle value={usage.shared.provider} change={set("provider")} />
      <Many
        label={t("filter.model")}
        values={usage.shared.model}
        options={plain(options?.models)}
        change={set("model")}
      />
      <button
        type="button"
        className="many unfold"
        aria-expanded={open}
        aria-controls={more}
        data-set={hidden > 0 || undefined}
        onClick={() => setOpen(!open)}
      >
        {t("filter.more")}
        {hidden > 0 && (
          <>
            : <b>{hidden}</b>
          </>
        )}
      </button>
      <span className="fold" id={more} data-open={open || undefined}>
        <Many
          label={t("filter.effort")}
          values={effort}
          options={plain(options?.efforts)}
          change={set("effort")}
        />
        {children}
        <Many
          label={t("filter.project")}
          values={project}
          options={plain(options?.projects)}
          change={set("project")}
        />
        <Many
          label={t("filter.account")}
          values={account}
          options={(options?.accounts ?? []).map((value) => ({
            value,
            label: nameIn(accounts, value) ?? value,
          }))}
          change={set("account")}
        />
        <Many label={t("filter.tag")} values={tag} options={plain(options?.tags)} change={set("tag")} />
        <One
          label={t("filter.history")}
          value={history || "all"}
          options={[
            { value: "active", label: t("history.active") },
            { value: "all", label: t("history.all") },
          ]}
          change={(value) => set("history")(value === "all" ? value : "")}
        />
      </span>
      {(usage.narrowed || also) && (
        <button type="button" className="quiet" onClick={() => usage.change(NO_FILTER)}>
          {t("do.clear")}
        </button>
      )}
      {usage.wrong && (
        <p className="error" role="alert">
          {t("filter.reversed")}
        </p>
      )}
    </form>
  );
}

/** Whose work: of both together, or of one. */
function Toggle({ value, change }: { value: string; change: (value: string) => void }) {
  return (
    <span className="toggle" role="group" aria-label={t("filter.provider")}>
      {(["", "codex", "claude"] as const).map((one) => (
        <button key={one} type="button" aria-pressed={value === one} onClick={() => change(one)}>
          {t(`provider.${one || "combined"}`)}
        </button>
      ))}
    </span>
  );
}

function Span({ usage }: { usage: Usage }) {
  return (
    <>
      <One
        label={t("filter.range")}
        value={usage.range}
        options={DAY_RANGES.map((value) => ({ value, label: t(`range.${value}`) }))}
        change={(range) =>
          usage.change({
            ...(range === "custom" ? { from: null, to: null, ...usage.span } : { from: null, to: null }),
            range: range === usage.fallback ? null : range,
            open: null,
          })
        }
      />
      {usage.range === "custom" &&
        (["from", "to"] as const).map((end) => (
          <label key={end} className="field">
            <span className="muted">{t(`filter.${end}`)}</span>
            <input
              type="date"
              // An hour of a chart is a moment, of which the bar shows the day.
              value={usage.get(end).slice(0, 10)}
              onChange={(event) => usage.change({ [end]: event.target.value, range: "custom" })}
            />
          </label>
        ))}
    </>
  );
}
