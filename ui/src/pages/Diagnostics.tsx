/** How does it work? Tools, commands, git, files and loops, and the tokens beside them. */
import type { ReactNode } from "react";
import { Link } from "wouter";
import {
  behind,
  useFacts,
  useRefresh,
  useSection,
  type Changes,
  type Commands,
  type Concentration,
  type Dimension,
  type Fact,
  type Git,
  type Group,
  type Occasion,
  type Overview,
  type PathRow,
  type Productivity,
  type Reads,
  type Status,
  type Told,
  type ToolOutput,
} from "../diagnostics";
import { csv, download } from "../csv";
import { ago, compact, count, day as dayName, decimal, exact, full, percent, share, stamp } from "../format";
import { useNow, useTitle } from "../hooks";
import { OrArchived } from "../parts/Archived";
import { PrivacyMode } from "../parts/Privacy";
import { CopyLink } from "../parts/Chips";
import { One } from "../parts/Filters";
import { Listing, type ListColumn } from "../parts/Listing";
import { Panels } from "../parts/Panels";
import { Empty, Failure, Skeleton } from "../parts/States";
import { UsageBar } from "../parts/UsageBar";
import { onward, useUsage, type Usage } from "../usage";
import { t, tIf } from "../words";
import "../diagnostics.css";

export function Diagnostics() {
  useTitle(t("nav.diagnostics"));
  const usage = useUsage();
  const refresh = useRefresh();
  const overview = useSection<Overview>("overview", usage);
  return (
    <>
      <header>
        <h1>{t("nav.diagnostics")}</h1>
        <span className="tools">
          <PrivacyMode />
          <Age overview={overview.data} live={usage.narrowed} />
          <button type="button" onClick={refresh.refresh} disabled={refresh.running}>
            {t("do.reload")}
          </button>
          <CopyLink />
        </span>
      </header>
      <UsageBar usage={usage} />
      {refresh.running && <Running status={refresh.status} />}
      <Trouble status={refresh.status} asked={refresh.error?.message} />
      {!usage.wrong && (
        <Waiting found={overview} lines={2}>
          {(data) =>
            data.status === "missing" ? (
              <Missing refresh={refresh.refresh} />
            ) : data.usage_rows === 0 ? (
              <NoCalls usage={usage} />
            ) : (
              <Sections data={data} usage={usage} />
            )
          }
        </Waiting>
      )}
      <Panels place="diagnostics" usage={usage} />
    </>
  );
}

// ── states ──────────────────────────────────────────────────────────────────────────────

function Age({ overview, live }: { overview: Overview | undefined; live: boolean }) {
  const now = useNow();
  const snapshot = overview?.snapshot;
  if (!snapshot) return null;
  return (
    <span className="note" title={full(snapshot.computed_at)}>
      {live ? t("diag.live") : t("diag.computed", { ago: ago(snapshot.computed_at, now) })}
      {" · "}
      {t("diag.logs", { n: count(snapshot.source_logs_scanned) })}
    </span>
  );
}

function Running({ status }: { status: Status | undefined }) {
  const progress = status?.progress;
  const total = progress?.filesTotal ?? 0;
  return (
    <div className="notice progress" role="status">
      <span>
        {progress && total > 0
          ? t("diag.running", { done: count(progress.filesDone), total: count(total) })
          : t("diag.computing")}
      </span>
      <progress
        aria-label={t("diag.computing")}
        max={progress?.bytesTotal || undefined}
        value={progress?.bytesTotal ? progress.bytesDone : undefined}
      />
    </div>
  );
}

function Trouble({ status, asked }: { status: Status | undefined; asked: string | undefined }) {
  const why = asked ?? status?.error;
  if (!why) return null;
  return (
    <p className="notice" role="alert">
      <span className="sign sign-warn" aria-hidden="true">
        ▲
      </span>
      {asked ?? t("diag.failed", { why })}
    </p>
  );
}

function Missing({ refresh }: { refresh: () => void }) {
  return (
    <section className="card">
      <Empty
        title={t("diag.missing")}
        action={
          <button type="button" className="primary" onClick={refresh}>
            {t("do.reload")}
          </button>
        }
      >
        {t("diag.missingText")}
      </Empty>
    </section>
  );
}

/** No calls: eleven empty lists would say no more than this. */
function NoCalls({ usage }: { usage: Usage }) {
  const title = t(usage.narrowed ? "calls.noMatch" : "calls.empty");
  return (
    <section className="card">
      <OrArchived usage={usage} title={title}>
        <Empty title={title}>{t("diag.none.calls")}</Empty>
      </OrArchived>
    </section>
  );
}

interface Found<T> {
  data: T | undefined;
  error: Parameters<typeof Failure>[0]["error"] | null;
  refetch: () => unknown;
}

/** A card while its rows load or could not be loaded, then what they make. */
function Waiting<T>({ found, lines = 8, children }: { found: Found<T>; lines?: number; children: (data: T) => ReactNode }) {
  if (found.data !== undefined) return <>{children(found.data)}</>;
  return (
    <section className="card">
      {found.error ? <Failure error={found.error} retry={() => void found.refetch()} /> : <Skeleton lines={lines} />}
    </section>
  );
}

// ── sections ────────────────────────────────────────────────────────────────────────────

function Sections({ data, usage }: { data: Overview; usage: Usage }) {
  const tools = useSection<ToolOutput>("tool-output", usage);
  const commands = useSection<Commands>("commands", usage);
  const git = useSection<Git>("git-interactions", usage);
  const reads = useSection<Reads>("file-reads", usage);
  const changes = useSection<Changes>("file-modifications", usage);
  const productivity = useSection<Productivity>("read-productivity", usage);
  const concentration = useSection<Concentration>("concentration", usage);
  const facts = useFacts(usage);
  return (
    <>
      <Figures data={data} runs={tools.data?.summary.function_calls} usage={usage} />
      <Waiting found={facts} lines={12}>
        {({ rows }) => <Facts rows={rows} usage={usage} />}
      </Waiting>
      <div className="grid even diag">
        <Waiting found={tools}>{(found) => <Tools found={found} usage={usage} />}</Waiting>
        <Waiting found={tools}>{(found) => <Programs found={found} usage={usage} />}</Waiting>
        <Waiting found={commands}>{(found) => <CommandList found={found} usage={usage} />}</Waiting>
        <Waiting found={git}>{(found) => <GitList found={found} usage={usage} />}</Waiting>
        <Waiting found={reads}>{(found) => <ReadList found={found} usage={usage} />}</Waiting>
        <Waiting found={changes}>{(found) => <ChangeList found={found} usage={usage} />}</Waiting>
        <Waiting found={reads}>{(found) => <LargestReads found={found} />}</Waiting>
        <Waiting found={changes}>{(found) => <LargestChanges found={found} />}</Waiting>
        <Waiting found={changes}>{(found) => <Extensions found={found} usage={usage} />}</Waiting>
        <Waiting found={productivity}>{(found) => <Yields found={found} usage={usage} />}</Waiting>
        <Waiting found={facts}>{({ rows }) => <Loops rows={rows} usage={usage} />}</Waiting>
      </div>
      <Waiting found={concentration}>{(found) => <Concentrated found={found} usage={usage} />}</Waiting>
    </>
  );
}

function Figures({ data, runs, usage }: { data: Overview; runs: number | undefined; usage: Usage }) {
  const calls = onward("/calls", usage.search);
  const parts: [string, ReactNode, string][] = [
    [t("series.calls"), <Link key="calls" href={calls}>{count(data.usage_rows)}</Link>, exact(data.usage_rows)],
    [t("diag.by.source_log"), <Link key="sessions" href={onward("/threads", usage.search)}>{count(data.session_count)}</Link>, exact(data.session_count)],
    [t("nav.threads"), <Link key="threads" href={onward("/threads", usage.search)}>{count(data.thread_count)}</Link>, exact(data.thread_count)],
    [t("calls.col.tokens"), <Link key="tokens" href={calls}>{compact(data.total_tokens)}</Link>, exact(data.total_tokens)],
    [t("calls.col.new"), <Link key="new" href={calls}>{compact(data.uncached_input_tokens)}</Link>, exact(data.uncached_input_tokens)],
    [t("calls.col.cache"), <Link key="cache" href={calls}>{share(data.cache_ratio)}</Link>, ""],
    [t("diag.runs"), runs ? <Link key="runs" href={behind(usage, "tool_run", "*")}>{count(runs)}</Link> : count(runs), exact(runs)],
    [t("diag.facts"), count(data.diagnostic_fact_rows), exact(data.diagnostic_fact_rows)],
  ];
  return (
    <dl className="card totals diag-figures">
      {parts.map(([word, shown, title]) => (
        <div key={word}>
          <dd title={title}>{shown}</dd>
          <dt>{word}</dt>
        </div>
      ))}
    </dl>
  );
}

function note(notes: string[]): string {
  return notes.map((key) => tIf(`diag.note.${key}`, "")).filter(Boolean).join(" ");
}

// ── facts ───────────────────────────────────────────────────────────────────────────────

const TYPES = [
  "function", "tool", "mcp_tool", "mcp_server", "skill", "subagent", "command_family", "activity", "compaction", "loop", "outcome",
]; // prettier-ignore
const FACT_SORTS = {
  times: (row: Fact) => row.occurrences,
  calls: (row: Fact) => row.associated_calls,
  uncached: (row: Fact) => row.associated_uncached_input_tokens,
  tokens: (row: Fact) => row.associated_total_tokens,
  output: (row: Fact) => row.associated_output_tokens,
  cache: (row: Fact) => row.avg_cache_ratio ?? -1,
  largest: (row: Fact) => row.largest_call_tokens,
};
type FactSort = keyof typeof FACT_SORTS;

function Facts({ rows, usage }: { rows: Fact[]; usage: Usage }) {
  const kinds = TYPES.filter((type) => rows.some((row) => row.fact_type === type));
  const kind = kinds.find((type) => type === usage.get("kind")) ?? "";
  const sort = (Object.keys(FACT_SORTS) as FactSort[]).find((key) => key === usage.get("sort")) ?? "uncached";
  const up = usage.get("direction") === "asc";
  const value = FACT_SORTS[sort];
  const shown = rows
    .filter((row) => !kind || row.fact_type === kind)
    .sort((a, b) => (up ? value(a) - value(b) : value(b) - value(a)) || a.fact_name.localeCompare(b.fact_name));
  const sorted = (key: FactSort) => ({
    now: key === sort ? (up ? ("ascending" as const) : ("descending" as const)) : undefined,
    ask: () =>
      usage.change({
        sort: key === "uncached" ? null : key,
        direction: key === sort ? (up ? null : "asc") : key === "cache" ? "asc" : null,
      }),
  });
  return (
    <Listing
      title={t("diag.facts")}
      source={t("diag.source")}
      name="facts"
      shown={12}
      rows={shown}
      columns={factColumns(usage, sorted)}
      keyOf={(row) => `${row.fact_type}:${row.fact_name}`}
      bar={(row) => Math.max(0, value(row))}
      note={t("diag.overlap")}
      tools={
        <One
          label={t("diag.type")}
          value={kind}
          options={[
            { value: "", label: t("diag.type.all") },
            ...kinds.map((type) => ({ value: type, label: typeName(type) })),
          ]}
          change={(next) => usage.change({ kind: next || null })}
        />
      }
    />
  );
}

function typeName(type: string): string {
  return tIf(`diag.type.${type}`, type);
}

function FactName({ row, usage, type = true }: { row: Fact; usage: Usage; type?: boolean }) {
  return (
    <>
      <Link href={behind(usage, row.fact_type, row.fact_name)}>{tIf(`diag.name.${row.fact_name}`, row.fact_name)}</Link>
      {type && <span className="muted aside">{typeName(row.fact_type)}</span>}
    </>
  );
}

function Tokens({ of: value }: { of: number | null }) {
  return <span title={exact(value)}>{compact(value)}</span>;
}

/** Tokens that lead to their calls; what is unknown leads nowhere. */
function Counted({ of: value, href }: { of: number | null; href: string }) {
  return value === null ? (
    <Tokens of={value} />
  ) : (
    <Link href={href}>
      <Tokens of={value} />
    </Link>
  );
}

function factColumns(
  usage: Usage,
  sorted: (key: FactSort) => NonNullable<ListColumn<Fact>["sort"]>,
): ListColumn<Fact>[] {
  const tokens = (title: string, key: FactSort): ListColumn<Fact> => ({
    title,
    number: true,
    sort: sorted(key),
    show: (row) => (
      <Link href={behind(usage, row.fact_type, row.fact_name)}>
        <Tokens of={FACT_SORTS[key](row)} />
      </Link>
    ),
    plain: [`${key}_tokens`, FACT_SORTS[key]],
  });
  return [
    {
      title: t("diag.col.fact"),
      show: (row) => <FactName row={row} usage={usage} />,
      plain: ["fact", (row) => `${row.fact_type}:${row.fact_name}`],
    },
    {
      title: t("diag.col.times"),
      number: true,
      sort: sorted("times"),
      show: (row) => <Link href={behind(usage, row.fact_type, row.fact_name)}>{count(row.occurrences)}</Link>,
      plain: ["occurrences", (row) => row.occurrences],
    },
    {
      title: t("series.calls"),
      number: true,
      sort: sorted("calls"),
      show: (row) => <Link href={behind(usage, row.fact_type, row.fact_name)}>{count(row.associated_calls)}</Link>,
      plain: ["calls", (row) => row.associated_calls],
    },
    tokens(t("calls.col.new"), "uncached"),
    tokens(t("calls.col.tokens"), "tokens"),
    tokens(t("calls.col.output"), "output"),
    {
      title: t("calls.col.cache"),
      number: true,
      sort: sorted("cache"),
      show: (row) => <Link href={behind(usage, row.fact_type, row.fact_name)}>{share(row.avg_cache_ratio)}</Link>,
      plain: ["avg_cache_ratio", (row) => row.avg_cache_ratio],
    },
    {
      title: t("diag.col.largest"),
      number: true,
      sort: sorted("largest"),
      show: (row) =>
        row.largest_record_id ? (
          <Link href={`/calls/${encodeURIComponent(row.largest_record_id)}`}>
            <Tokens of={row.largest_call_tokens} />
          </Link>
        ) : (
          <Tokens of={row.largest_call_tokens} />
        ),
      plain: ["largest_call_tokens", (row) => row.largest_call_tokens],
    },
  ];
}

function Loops({ rows, usage }: { rows: Fact[]; usage: Usage }) {
  const mine = rows
    .filter((row) => row.fact_type === "loop" || row.fact_type === "outcome" || row.fact_type === "compaction")
    .sort((a, b) => Number(b.fact_type === "loop") - Number(a.fact_type === "loop") || b.occurrences - a.occurrences);
  return (
    <Listing
      title={t("diag.loops")}
      source={t("diag.source")}
      name="loops"
      rows={mine}
      keyOf={(row) => `${row.fact_type}:${row.fact_name}`}
      columns={[
        {
          title: t("diag.col.fact"),
          show: (row) => (
            <>
              <FactName row={row} usage={usage} type={false} />
              {row.action_hint && <span className="muted under">{tIf(`diag.hint.${row.action_hint}`, "")}</span>}
            </>
          ),
          plain: ["fact", (row) => `${row.fact_type}:${row.fact_name}`],
        },
        {
          title: t("diag.col.times"),
          number: true,
          show: (row) => <Link href={behind(usage, row.fact_type, row.fact_name)}>{count(row.occurrences)}</Link>,
          plain: ["occurrences", (row) => row.occurrences],
        },
        {
          title: t("series.calls"),
          number: true,
          show: (row) => <Link href={behind(usage, row.fact_type, row.fact_name)}>{count(row.associated_calls)}</Link>,
          plain: ["calls", (row) => row.associated_calls],
        },
        {
          title: t("calls.col.new"),
          number: true,
          show: (row) => (
            <Link href={behind(usage, row.fact_type, row.fact_name)}>
              <Tokens of={row.associated_uncached_input_tokens} />
            </Link>
          ),
          plain: ["uncached_tokens", (row) => row.associated_uncached_input_tokens],
        },
      ]}
    />
  );
}

// ── tools, commands, git ────────────────────────────────────────────────────────────────

interface Part<T> {
  found: T;
  usage: Usage;
}

function toldColumns<T extends Told>(title: string, usage: Usage, type: "tool_run" | "command_root", name: (row: T) => string): ListColumn<T>[] {
  const uncounted = type === "tool_run" ? "tool_uncounted" : "root_uncounted";
  return [
    {
      title,
      show: (row) => <Link href={behind(usage, type, name(row))}>{name(row)}</Link>,
      plain: ["name", name],
    },
    {
      title: t("diag.col.runs"),
      number: true,
      show: (row) => <Link href={behind(usage, type, name(row))}>{count(row.calls)}</Link>,
      plain: ["runs", (row) => row.calls],
    },
    {
      title: t("diag.col.outputTokens"),
      number: true,
      show: (row) => <Counted of={row.original_token_sum} href={behind(usage, type, name(row))} />,
      plain: ["output_tokens", (row) => row.original_token_sum],
    },
    {
      title: t("diag.col.uncounted"),
      number: true,
      show: (row) =>
        row.outputs_missing_original_token_count ? (
          <Link href={behind(usage, uncounted, name(row))}>{count(row.outputs_missing_original_token_count)}</Link>
        ) : (
          count(row.outputs_missing_original_token_count)
        ),
      plain: ["not_counted", (row) => row.outputs_missing_original_token_count],
    },
  ];
}

/** A bar of the tokens; where no output was counted, of the runs. */
function toldBar(rows: Told[]): (row: Told) => number | null {
  const counted = rows.some((row) => row.original_token_sum !== null);
  return (row) => (counted ? row.original_token_sum : row.calls);
}

function Tools({ found, usage }: Part<ToolOutput>) {
  return (
    <Listing
      title={t("diag.toolOutput")}
      source={t("diag.source")}
      name="tool-output"
      rows={found.functions}
      keyOf={(row) => row.function}
      bar={toldBar(found.functions)}
      columns={toldColumns<ToolOutput["functions"][number]>(t("diag.col.tool"), usage, "tool_run", (row) => row.function)}
      note={note(found.notes)}
    />
  );
}

function Programs({ found, usage }: Part<ToolOutput>) {
  return (
    <Listing
      title={t("diag.programOutput")}
      source={t("diag.source")}
      name="program-output"
      rows={found.command_roots}
      keyOf={(row) => row.root}
      bar={toldBar(found.command_roots)}
      columns={toldColumns<ToolOutput["command_roots"][number]>(t("diag.col.program"), usage, "command_root", (row) => row.root)}
    />
  );
}

const FEW = 4;

function CommandList({ found, usage }: Part<Commands>) {
  type Row = Commands["commands"][number];
  return (
    <Listing<Row>
      title={t("diag.commands")}
      source={t("diag.source")}
      name="commands"
      rows={found.commands}
      keyOf={(row) => row.root}
      bar={(row) => row.total}
      columns={[
        {
          title: t("diag.col.program"),
          show: (row) => <Link href={behind(usage, "command_root", row.root)}>{row.root}</Link>,
          plain: ["program", (row) => row.root],
        },
        {
          title: t("diag.col.subs"),
          show: (row) => (
            <span className="subs">
              {row.children
                .filter(({ child }) => child !== "<none>" && child !== "<arg>")
                .slice(0, FEW)
                .map(({ child, count: number }) => (
                  <Link key={child} href={behind(usage, "command", `${row.root} ${child}`)}>
                    {child} <b>{count(number)}</b>
                  </Link>
                ))}
            </span>
          ),
          plain: ["subcommands", (row) => row.children.map(({ child, count: n }) => `${child} ${n}`).join("; ")],
        },
        {
          title: t("diag.col.runs"),
          number: true,
          show: (row) => <Link href={behind(usage, "command_root", row.root)}>{count(row.total)}</Link>,
          plain: ["runs", (row) => row.total],
        },
      ]}
      note={note(found.notes)}
    />
  );
}

function GitList({ found, usage }: Part<Git>) {
  type Row = Git["interactions"][number];
  return (
    <Listing<Row>
      title={t("diag.git")}
      source={t("diag.source")}
      name="git"
      rows={found.interactions}
      keyOf={(row) => `${row.root} ${row.operation}`}
      bar={(row) => row.calls}
      columns={[
        {
          title: t("diag.col.operation"),
          show: (row) => <Link href={behind(usage, "git", `${row.root} ${row.operation}`)}>{`${row.root} ${row.operation}`}</Link>,
          plain: ["operation", (row) => `${row.root} ${row.operation}`],
        },
        {
          title: t("diag.col.effect"),
          show: (row) => <span className="muted">{tIf(`diag.effect.${row.mutability}`, row.mutability)}</span>,
          plain: ["effect", (row) => row.mutability],
        },
        {
          title: t("diag.col.runs"),
          number: true,
          show: (row) => <Link href={behind(usage, "git", `${row.root} ${row.operation}`)}>{count(row.calls)}</Link>,
          plain: ["runs", (row) => row.calls],
        },
        {
          title: t("diag.col.outputTokens"),
          number: true,
          show: (row) => <Counted of={row.original_token_sum} href={behind(usage, "git", `${row.root} ${row.operation}`)} />,
          plain: ["output_tokens", (row) => row.original_token_sum],
        },
      ]}
      note={note(found.notes)}
    />
  );
}

// ── files ───────────────────────────────────────────────────────────────────────────────

function pathColumn<T extends PathRow>(usage: Usage, type: string): ListColumn<T> {
  return {
    title: t("diag.col.file"),
    show: (row) => (
      <span className="file" dir="ltr">
        <Link href={behind(usage, type, row.path_hash)} title={row.path_label}>
          {row.path_label}
        </Link>
        <span className="muted mono">{row.path_hash.slice(0, 6)}</span>
      </span>
    ),
    plain: ["file", (row) => `${row.path_label} ${row.path_hash}`],
  };
}

function ReadList({ found, usage }: Part<Reads>) {
  type Row = Reads["top_paths"][number];
  return (
    <Listing<Row>
      title={t("diag.reads")}
      source={t("diag.source")}
      name="file-reads"
      rows={found.top_paths}
      keyOf={(row) => row.path_hash}
      bar={(row) => row.original_token_sum}
      columns={[
        pathColumn(usage, "read"),
        {
          title: t("diag.col.reads"),
          number: true,
          show: (row) => <Link href={behind(usage, "read", row.path_hash)}>{count(row.read_events)}</Link>,
          plain: ["reads", (row) => row.read_events],
        },
        {
          title: t("diag.col.outputTokens"),
          number: true,
          show: (row) => <Counted of={row.original_token_sum} href={behind(usage, "read", row.path_hash)} />,
          plain: ["output_tokens", (row) => row.original_token_sum],
        },
      ]}
      note={note(found.notes)}
    />
  );
}

function ChangeList({ found, usage }: Part<Changes>) {
  type Row = Changes["top_paths"][number];
  return (
    <Listing<Row>
      title={t("diag.changes")}
      source={t("diag.source")}
      name="file-modifications"
      rows={found.top_paths}
      keyOf={(row) => row.path_hash}
      bar={(row) => row.modifications}
      columns={[
        pathColumn(usage, "changed"),
        {
          title: t("diag.col.changes"),
          number: true,
          show: (row) => <Link href={behind(usage, "changed", row.path_hash)}>{count(row.modifications)}</Link>,
          plain: ["changes", (row) => row.modifications],
        },
      ]}
      note={note(found.notes)}
    />
  );
}

/** A file of one occasion, and when it was, which leads to its call. */
function occasionColumns<T extends Occasion>(now: number, more: (row: T) => number): [ListColumn<T>, ListColumn<T>] {
  return [
    {
      title: t("diag.col.file"),
      show: (row) => (
        <span className="file" dir="ltr">
          {row.path_label}
          {more(row) > 1 && <span className="muted">+{count(more(row) - 1)}</span>}
        </span>
      ),
      plain: ["file", (row) => row.path_label],
    },
    {
      title: t("diag.col.when"),
      show: (row) => <Link href={`/calls/${encodeURIComponent(row.record_id)}`}>{stamp(row.event_timestamp, now)}</Link>,
      plain: ["at", (row) => row.event_timestamp],
    },
  ];
}

function LargestReads({ found }: { found: Reads }) {
  type Row = Reads["largest_commands"][number];
  const [file, when] = occasionColumns<Row>(useNow(), (row) => row.paths);
  return (
    <Listing<Row>
      title={t("diag.largestReads")}
      source={t("diag.source")}
      name="largest-reads"
      rows={found.largest_commands}
      keyOf={(row) => `${row.record_id} ${row.event_timestamp} ${row.reader} ${row.path_label} ${row.original_token_sum}`}
      bar={(row) => row.original_token_sum}
      columns={[
        file,
        {
          title: t("diag.col.reader"),
          show: (row) => readerName(row.reader),
          plain: ["reader", (row) => row.reader],
        },
        {
          title: t("diag.col.outputTokens"),
          number: true,
          show: (row) => <Counted of={row.original_token_sum} href={`/calls/${encodeURIComponent(row.record_id)}`} />,
          plain: ["output_tokens", (row) => row.original_token_sum],
        },
        when,
      ]}
    />
  );
}

function LargestChanges({ found }: { found: Changes }) {
  type Row = Changes["largest_events"][number];
  const [file, when] = occasionColumns<Row>(useNow(), (row) => row.path_count);
  return (
    <Listing<Row>
      title={t("diag.largestChanges")}
      source={t("diag.source")}
      name="largest-edits"
      rows={found.largest_events}
      keyOf={(row) => `${row.record_id} ${row.event_timestamp} ${row.path_label} ${row.path_count}`}
      bar={(row) => row.path_count}
      columns={[
        file,
        {
          title: t("diag.col.files"),
          number: true,
          show: (row) => <Link href={`/calls/${encodeURIComponent(row.record_id)}`}>{count(row.path_count)}</Link>,
          plain: ["files", (row) => row.path_count],
        },
        when,
      ]}
    />
  );
}

function Extensions({ found, usage }: Part<Changes>) {
  type Row = Changes["by_extension"][number];
  const calls = (row: Row) => behind(usage, "extension", row.extension);
  return (
    <Listing<Row>
      title={t("diag.extensions")}
      source={t("diag.source")}
      name="edits-by-type"
      rows={found.by_extension}
      keyOf={(row) => row.extension}
      bar={(row) => row.modifications}
      columns={[
        {
          title: t("diag.col.extension"),
          show: (row) => <Link href={calls(row)}>{row.extension === "<none>" ? t("diag.noExtension") : <bdi dir="ltr">{row.extension}</bdi>}</Link>,
          plain: ["extension", (row) => row.extension],
        },
        {
          title: t("diag.col.changes"),
          number: true,
          show: (row) => <Link href={calls(row)}>{count(row.modifications)}</Link>,
          plain: ["changes", (row) => row.modifications],
        },
        {
          title: t("diag.col.files"),
          number: true,
          show: (row) => <Link href={calls(row)}>{count(row.unique_paths)}</Link>,
          plain: ["files", (row) => row.unique_paths],
        },
      ]}
    />
  );
}

/** The program or tool, without the kind of reading that it counts as. */
function readerName(reader: string): string {
  return reader.split(":")[1] ?? reader;
}

function Yields({ found, usage }: Part<Productivity>) {
  type Row = Productivity["readers"][number];
  return (
    <Listing<Row>
      title={t("diag.productivity")}
      source={t("diag.source")}
      name="read-productivity"
      rows={found.readers}
      keyOf={(row) => row.reader}
      bar={(row) => row.productive_read_pct}
      columns={[
        {
          title: t("diag.col.reader"),
          show: (row) => <Link href={behind(usage, "reader", row.reader)}>{readerName(row.reader)}</Link>,
          plain: ["reader", (row) => row.reader],
        },
        {
          title: t("diag.col.reads"),
          number: true,
          show: (row) => <Link href={behind(usage, "reader", row.reader)}>{count(row.read_events)}</Link>,
          plain: ["reads", (row) => row.read_events],
        },
        {
          title: t("diag.col.productive"),
          number: true,
          show: (row) => <Link href={behind(usage, "reader", row.reader)}>{percent(row.productive_read_pct)}</Link>,
          plain: ["productive_percent", (row) => row.productive_read_pct],
        },
      ]}
      note={note(found.notes)}
    />
  );
}

// ── concentration ───────────────────────────────────────────────────────────────────────

const METRICS = [
  "total_tokens", "input_tokens", "cached_input_tokens", "uncached_input_tokens", "output_tokens",
  "reasoning_output_tokens", "calls", "estimated_cost_usd", "usage_credits", "share",
] as const; // prettier-ignore

function saveConcentration({ dimensions }: Concentration) {
  const lines = dimensions.flatMap(({ dimension, top_rows }) =>
    top_rows.map((row) => [dimension, row.session ?? row.project ?? row.label ?? "", ...METRICS.map((metric) => row[metric])]),
  );
  download("brimline-concentration.csv", [csv(["dimension", "group", ...METRICS], lines)]);
}

function Concentrated({ found, usage }: Part<Concentration>) {
  return (
    <section className="card" aria-label={t("diag.concentration")}>
      <div className="card-head">
        <h2>{t("diag.concentration")}</h2>
        <span className="tools">
          <span className="chip">{t("diag.ledger")}</span>
          <button type="button" className="quiet" onClick={() => saveConcentration(found)}>
            {t("do.csv")}
          </button>
        </span>
      </div>
      <div className="thirds">
        {found.dimensions.map((dimension) => (
          <By key={dimension.dimension} dimension={dimension} usage={usage} />
        ))}
      </div>
    </section>
  );
}

function By({ dimension, usage }: { dimension: Dimension; usage: Usage }) {
  const { top_1_share: one, top_3_share: three, top_5_share: five } = dimension;
  return (
    <div>
      <h3>
        {t(`diag.by.${dimension.dimension}`)}{" "}
        <Link className="muted" href={groupsHref(dimension.dimension, usage)}>
          {count(dimension.group_count)}
        </Link>
      </h3>
      <dl className="facts">
        {([[1, one], [3, three], [5, five]] as const).map(([n, value]) => (
          <div key={n}>
            <dt>{t("diag.top", { n })}</dt>
            <dd>
              <TopLink rows={dimension.top_rows.slice(0, n)} usage={usage} dimension={dimension.dimension}>
                {share(value)}
              </TopLink>
            </dd>
          </div>
        ))}
      </dl>
      <p className="note">
        {dimension.effective_group_count !== null &&
          t("diag.effective", { n: decimal(dimension.effective_group_count) })}
      </p>
      <table className="listing">
        <thead>
          <tr>
            <th scope="col">{t("diag.col.group")}</th>
            <th scope="col" className="num">
              {t("calls.col.tokens")}
            </th>
            <th scope="col" className="num">
              {t("diag.col.share")}
            </th>
          </tr>
        </thead>
        <tbody>
          {dimension.top_rows.slice(0, 5).map((row) => (
            <tr key={row.session ?? row.project ?? row.label}>
              <th scope="row" className="clip">
                <GroupLink row={row} usage={usage} dimension={dimension.dimension}>
                  {groupName(row, dimension.dimension)}
                </GroupLink>
              </th>
              <td className="num">
                <GroupLink row={row} usage={usage} dimension={dimension.dimension}>
                  <Tokens of={row.total_tokens} />
                </GroupLink>
              </td>
              <td className="num">
                <GroupLink row={row} usage={usage} dimension={dimension.dimension}>
                  {share(row.share)}
                </GroupLink>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function groupName(row: Group, dimension: Dimension["dimension"]): ReactNode {
  if (dimension === "day") return dayName(row.label ?? "");
  if (dimension === "source_log") return row.label?.slice(8);
  return row.project || <span className="muted">{t("diag.noProject")}</span>;
}

/** Where all groups of a kind are listed. */
function groupsHref(dimension: Dimension["dimension"], usage: Usage): string {
  if (dimension === "source_log") return onward("/threads", usage.search);
  return onward("/trends", usage.search, { range: usage.range, by: dimension === "cwd" ? "project" : null });
}

/** To the calls of the largest groups together. */
function TopLink({ rows, usage, dimension, children }: Omit<GroupLinkProps, "row"> & { rows: Group[] }) {
  const names = rows.map(({ session, project, label }) => ({ source_log: session, cwd: project, day: label })[dimension] ?? "");
  if (!names.length || names.includes("")) return <>{children}</>;
  const together = {
    day: { fact: `days:${names.join(",")}` },
    source_log: { fact: `sessions:${names.join(",")}` },
    cwd: { project: names },
  };
  return <Link href={onward("/calls", usage.search, { ...together[dimension] })}>{children}</Link>;
}

interface GroupLinkProps {
  row: Group;
  usage: Usage;
  dimension: Dimension["dimension"];
  children: ReactNode;
}

/** To the calls of a group; those without a project have no list of their own. */
function GroupLink({ row, usage, dimension, children }: GroupLinkProps) {
  const day = row.label ?? "";
  const filters: Record<Dimension["dimension"], Record<string, string | null>> = {
    day: { range: "custom", from: day, to: day },
    source_log: { session: row.session ?? null },
    cwd: { project: row.project ?? null },
  };
  if (dimension === "cwd" && !row.project) return <>{children}</>;
  return <Link href={onward("/calls", usage.search, { ...filters[dimension] })}>{children}</Link>;
}
