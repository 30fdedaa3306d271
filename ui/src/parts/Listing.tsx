/** A card with one ranked table: its title, where it comes from, its rows by a bar, and a CSV. */
import { useState, type ReactNode } from "react";
import { csv, download } from "../csv";
import { count } from "../format";
import { t } from "../words";
import { Empty } from "./States";

const SHOWN = 8;

export interface ListColumn<T> {
  title: string;
  number?: boolean;
  show: (row: T) => ReactNode;
  /** For the CSV: its column's name, and the value as it is. */
  plain: [name: string, value: (row: T) => unknown];
  sort?: { now: "ascending" | "descending" | undefined; ask: () => void };
}

interface Props<T> {
  title: string;
  source: string;
  name: string;
  rows: T[];
  columns: ListColumn<T>[];
  keyOf: (row: T) => string;
  /** What the bar below the first column is drawn from. */
  bar?: (row: T) => number | null;
  tools?: ReactNode;
  note?: ReactNode;
  /** What would fill the list. */
  empty?: ReactNode;
  shown?: number;
}

export function Listing<T>(props: Props<T>) {
  const { title, source, name, rows, columns, tools, note, empty = t("diag.none.calls"), shown = SHOWN } = props;
  const [all, setAll] = useState(false);
  const save = () =>
    download(`brimline-${name}.csv`, [
      csv(
        columns.map(({ plain }) => plain[0]),
        rows.map((row) => columns.map(({ plain }) => plain[1](row))),
      ),
    ]);
  return (
    <section className="card" aria-label={title}>
      <div className="card-head">
        <h2>{title}</h2>
        <span className="tools">
          {tools}
          <span className="chip">{source}</span>
          {rows.length > 0 && (
            <button type="button" className="quiet" onClick={save}>
              {t("do.csv")}
            </button>
          )}
        </span>
      </div>
      {rows.length ? <Table {...props} rows={all ? rows : rows.slice(0, shown)} /> : <Empty title={t("diag.none")}>{empty}</Empty>}
      {(note || rows.length > shown) && (
        <div className="pages">
          <span className="note">{note}</span>
          {rows.length > shown && (
            <button type="button" className="quiet" onClick={() => setAll(!all)}>
              {all ? t("diag.fewer") : t("diag.all", { n: count(rows.length) })}
            </button>
          )}
        </div>
      )}
    </section>
  );
}

function Table<T>({ title, rows, columns, keyOf, bar }: Props<T>) {
  const most = Math.max(1, ...rows.map((row) => bar?.(row) ?? 0));
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={title}>
      <table className="listing">
        <thead>
          <tr>
            {columns.map(({ title: heading, number, sort }) => (
              <th key={heading} scope="col" className={number ? "num" : undefined} aria-sort={sort?.now}>
                {sort ? (
                  <button type="button" className="sorter" onClick={sort.ask}>
                    {heading}
                    <span className="arrow" aria-hidden="true">
                      {sort.now && (sort.now === "ascending" ? "↑" : "↓")}
                    </span>
                  </button>
                ) : (
                  heading
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ title: heading, number, show }, place) =>
                place ? (
                  <td key={heading} className={number ? "num" : undefined}>
                    {show(row)}
                  </td>
                ) : (
                  <th key={heading} scope="row">
                    {show(row)}
                    {bar && <Bar part={(bar(row) ?? 0) / most} />}
                  </th>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** How much of the most; nothing at all where there is none. */
function Bar({ part }: { part: number }) {
  return <i className="list-bar" aria-hidden="true" style={{ width: part > 0 ? `max(2px, ${100 * part}%)` : 0 }} />;
}
