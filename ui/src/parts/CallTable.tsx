/** A long table of calls: only the rows in sight are in the page; the next ones load on the way. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useMemo, useRef, useState, type MouseEvent, type ReactNode, type RefObject } from "react";
import { Link, useLocation } from "wouter";
import type { CallRow } from "../api";
import { costText, fitting, padding, type Column, type Context, type Tail } from "../calls";
import { callPath } from "../evidence";
import { dayOf, stamp } from "../format";
import type { CallFilters } from "../pages/Calls";
import { t } from "../words";
import { Peek, useGlance } from "./Peek";

interface Props {
  rows: CallRow[];
  columns: Column[];
  /** Nobody chose these columns: those that find no room are left out. */
  free: boolean;
  /** Which columns found room. */
  fit: (keys: string[]) => void;
  /** What stands above the table. */
  tools: ReactNode;
  compact: boolean;
  context: Context;
  filters: CallFilters;
  busy: boolean;
  more: (() => void) | null;
}

/** How wide an element is inside; null before it is on the page. */
function useRoom(holder: RefObject<HTMLElement | null>): number | null {
  const [room, setRoom] = useState<number | null>(null);
  useLayoutEffect(() => {
    const found = holder.current;
    if (!found) return;
    setRoom(found.clientWidth);
    const watch = new ResizeObserver(() => setRoom(found.clientWidth));
    watch.observe(found);
    return () => watch.disconnect();
  }, [holder]);
  return room;
}

const MEASURED = 200;
const SAMPLES = Array.from({ length: 24 }, (_, half) => half);

type Pen = CanvasRenderingContext2D;

function penOf(holder: HTMLElement | null): Pen | null {
  const pen = document.createElement("canvas").getContext("2d");
  const style = getComputedStyle(holder ?? document.body);
  if (pen) pen.font = `${style.fontSize} ${style.fontFamily}`;
  return pen;
}

/** How wide the times of these calls can be in the reader's language. */
function timeWidth(pen: Pen, rows: CallRow[], now: number): number {
  const years = new Set([new Date(now).getFullYear(), ...rows.map(({ at }) => new Date(at ?? now).getFullYear())]);
  const widths = [...years].flatMap((year) =>
    SAMPLES.map((half) => {
      const at = new Date(year, half >> 1, half % 2 ? 28 : 20, 20, 58, 58);
      return pen.measureText(stamp(at.toISOString(), now)).width;
    }),
  );
  // The page's letters are a little larger than the table's, whose figures are of one width.
  return Math.max(112, Math.ceil(Math.max(...widths)) + 28);
}

/** What a heading needs: it breaks between words, never within one; the arrow stands in the padding. */
function headWidth(pen: Pen, heading: string): number {
  const body = pen.font;
  // A heading's letters (--t-xs) are smaller than the page's, and a little bolder.
  pen.font = body.replace(/^.*?px/, "500 12px");
  const words = heading.split(/\s+/).map((word) => pen.measureText(word).width);
  pen.font = body;
  return Math.ceil(Math.max(...words)) + 17;
}

type Tails = (Tail | null)[];

/** What stands behind the decimal points of a column, each kind once. */
function tails({ tail }: Column, rows: CallRow[]): Tails {
  const kinds = new Map(rows.map((row) => [JSON.stringify(tail?.(row) ?? null), tail?.(row) ?? null]));
  return [...kinds.values()];
}

/** What the costs of all these rows need: an amount that is cut is another amount. */
function costWidth(pen: Pen, column: Column, rows: CallRow[]): number {
  const all = tails(column, rows);
  const texts = new Set(
    rows.map((row) => costText(row).replace(/\p{Nd}/gu, "0") + padding(column.tail?.(row) ?? null, all)),
  );
  return Math.ceil(Math.max(0, ...[...texts].map((text) => pen.measureText(text).width))) + 20;
}

/** What the figures of the first rows need. */
function figureWidth(pen: Pen, column: Column, rows: CallRow[], context: Context): number {
  if (column.key === "cost") return costWidth(pen, column, rows);
  const all = tails(column, rows);
  const widths = rows.slice(0, MEASURED).map((row) => {
    const shown = column.show(row, context);
    const free = padding(column.tail?.(row) ?? null, all);
    return typeof shown === "string" ? pen.measureText(shown + free).width : 0;
  });
  return Math.ceil(Math.max(0, ...widths)) + 14;
}

function fitted(column: Column, pen: Pen | null, rows: CallRow[], context: Context): Column {
  if (!pen) return column;
  const { key, number, width, word } = column;
  const cells = key === "time" ? timeWidth(pen, rows, context.now) : number ? figureWidth(pen, column, rows, context) : 0;
  return { ...column, width: Math.max(width, cells, headWidth(pen, t(word))) };
}

const EDGE = 9; // more padding beside the table's edge than between two columns

/** The columns that are shown, the last one with the room beside the edge; the first, a time, has its own. */
function edged(columns: Column[]): Column[] {
  const more = (place: number) => (place === columns.length - 1 ? EDGE : 0);
  return columns.map((column, place) => ({ ...column, width: column.width + more(place) }));
}

export function CallTable({ rows, columns: given, free, fit, tools, compact, context, filters, busy, more }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const size = compact ? 29 : 37;
  const day = dayOf(context.now);
  const room = useRoom(holder);
  const wide = useMemo(() => {
    const pen = penOf(holder.current);
    const noon = { now: Date.parse(`${day}T12:00`), accounts: undefined };
    return given.map((column) => fitted(column, pen, rows, noon));
  }, [given, rows, day]);
  const columns = useMemo(
    () => edged(free && room ? fitting(wide, room - EDGE, filters.sort) : wide),
    [wide, free, room, filters.sort],
  );
  const shown = columns.map(({ key }) => key).join();
  useEffect(() => fit(shown.split(",")), [shown, fit]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => holder.current,
    estimateSize: () => size,
    overscan: 12,
  });
  useEffect(() => virtual.measure(), [size, virtual]);
  const seen = virtual.getVirtualItems();
  const last = seen.at(-1)?.index ?? 0;
  useEffect(() => {
    if (more && last >= rows.length - 40) more();
  }, [last, rows.length, more]);
  const above = seen[0]?.start ?? 0;
  const below = virtual.getTotalSize() - (seen.at(-1)?.end ?? 0);
  const open = filters.get("open");
  const behind = useMemo(
    () => Object.fromEntries(given.filter(({ tail }) => tail).map((column) => [column.key, tails(column, rows)])),
    [given, rows],
  );
  const { glance, rest, leave } = useGlance();
  const once = useTwice();
  return (
    <section className="card table-card" aria-busy={busy}>
      {tools}
      <div ref={holder} className="scroll tall" data-compact={compact || undefined}>
        <table className="rows fixed" aria-rowcount={rows.length + 1} style={{ minWidth: least(columns) }}>
          <caption className="hidden">{t("calls.title")}</caption>
          <colgroup>
            {columns.map((column) => (
              <col key={column.key} style={{ width: column.grow ? undefined : column.width }} />
            ))}
          </colgroup>
          <Head columns={columns} filters={filters} />
          <tbody onPointerLeave={leave}>
            <Gap height={above} span={columns.length} />
            {seen.map(({ index }) => {
              const call = rows[index];
              return (
                call && (
                  <Row
                    key={call.id}
                    call={call}
                    index={index}
                    columns={columns}
                    behind={behind}
                    context={context}
                    open={open === call.id}
                    rest={rest}
                    show={(event) => {
                      leave();
                      once(event, callPath(call.id));
                      filters.change({ open: call.id });
                    }}
                  />
                )
              );
            })}
            <Gap height={below} span={columns.length} />
          </tbody>
        </table>
      </div>
      {glance && !open && <Peek glance={glance} />}
    </section>
  );
}

/** Narrower than this, the table scrolls sideways. */
function least(columns: Column[]): number {
  return columns.reduce((sum, { width }) => sum + width, 0);
}

/** The room of the rows out of sight. */
function Gap({ height, span }: { height: number; span: number }) {
  if (height <= 0) return null;
  return (
    <tr aria-hidden="true" className="gap">
      <td colSpan={span} style={{ height }} />
    </tr>
  );
}

function Head({ columns, filters }: { columns: Column[]; filters: CallFilters }) {
  const { sort, up } = filters;
  const order = (column: Column) => {
    // A second click turns round; leaving the default out keeps addresses short.
    const ascending = sort === column.sort ? !up : Boolean(column.upFirst);
    filters.change({
      sort: column.sort === "time" ? null : column.sort,
      direction: ascending ? "asc" : null,
    });
  };
  return (
    <thead>
      <tr>
        {columns.map((column) => {
          const sorted = column.sort === sort;
          return (
            <th
              key={column.key}
              scope="col"
              title={t(column.word)}
              className={column.number ? "num" : undefined}
              aria-sort={sorted ? (up ? "ascending" : "descending") : undefined}
            >
              <button type="button" className="sorter" onClick={() => order(column)}>
                {t(column.word)}
                <span aria-hidden="true" className="arrow">
                  {sorted ? (up ? "↑" : "↓") : ""}
                </span>
              </button>
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

/** A second click within this belongs to the first. */
export const DOUBLE_CLICK_MS = 500;

/**
 * Go to the page of the row that was clicked twice, in place of the panel that the first click opened, and
 * which the second one meets.
 */
function useTwice(): (event: MouseEvent, path: string) => void {
  const [, go] = useLocation();
  const first = useRef({ at: -Infinity, path: "" });
  useEffect(() => {
    const twice = ({ timeStamp }: Event) => {
      const { at, path } = first.current;
      if (timeStamp - at < DOUBLE_CLICK_MS) go(path, { replace: true });
    };
    document.addEventListener("dblclick", twice);
    return () => document.removeEventListener("dblclick", twice);
  }, [go]);
  return ({ timeStamp }, path) => {
    first.current = { at: timeStamp, path };
  };
}

/** Whether a click asks for another tab: with the middle button, or a key held. */
function aside(event: MouseEvent): boolean {
  return event.button === 1 || event.ctrlKey || event.metaKey;
}

interface RowProps {
  call: CallRow;
  index: number;
  columns: Column[];
  behind: Record<string, Tails>;
  context: Context;
  open: boolean;
  rest: (call: CallRow, row: HTMLElement) => void;
  show: (event: MouseEvent) => void;
}

function Row({ call, index, columns, behind, context, open, rest: glance, show }: RowProps) {
  const [first, ...rest] = columns;
  const path = callPath(call.id);
  // The link in the row does all of this by itself.
  const linked = ({ target }: MouseEvent) => target instanceof Element && target.closest("a") !== null;
  const press = (event: MouseEvent) => {
    if (linked(event)) return;
    if (aside(event)) window.open(path, "_blank", "noopener");
    else if (event.button === 0) show(event);
  };
  return (
    <tr
      className="openable"
      data-open={open || undefined}
      aria-rowindex={index + 2}
      onClick={press}
      onAuxClick={press}
      onPointerEnter={(event) => event.pointerType === "mouse" && glance(call, event.currentTarget)}
    >
      <th scope="row" title={first?.title?.(call)}>
        <Link href={path} data-row aria-label={t("calls.show", { time: stamp(call.at, context.now) })}>
          {first?.show(call, context)}
        </Link>
      </th>
      {rest.map((column) => (
        <td key={column.key} className={column.number ? "num" : "clip"} title={column.title?.(call)}>
          {column.show(call, context, padding(column.tail?.(call) ?? null, behind[column.key] ?? []))}
        </td>
      ))}
    </tr>
  );
}
