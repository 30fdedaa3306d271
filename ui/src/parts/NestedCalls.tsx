/** The calls of one thread or session as a small table of their own order; more load on demand. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { api, query, type CallPage, type CallRow } from "../api";
import { COLUMNS, type Column } from "../calls";
import { beside } from "../format";
import { useNow } from "../hooks";
import { callPath } from "../evidence";
import { nested, nestOf, type Nest, type Usage } from "../usage";
import { t, tIf } from "../words";
import { shownOf } from "./Chips";
import { Failure, Skeleton } from "./States";

const NESTED = ["time", "model", "effort", "initiator", "tokens", "cached", "uncached", "output", "cache", "context", "cost", "duration"];
/** Left to the call's own page where room is short. */
const WIDE = ["effort", "initiator", "output", "context", "duration"];
const FIRST = 20;
const MORE = 100;

interface Props {
  thread: string;
  /** The filters of the list around it; without them the whole thread is shown. */
  usage?: Usage;
  /** What more the list around it asks for. */
  narrowed?: Parameters<typeof query>[0];
  label: string;
}

function placed({ key, number }: Column): string {
  return `${number ? "num" : ""} ${key === "model" ? "clip" : ""} ${WIDE.includes(key) ? "wide-only" : ""}`;
}

/** Whose work a call was, where it was not the thread's own: "sub-agent · explorer". */
function whose({ kind, role }: CallRow): string {
  return beside([tIf(`threads.kind.${kind}`, kind), role !== kind && role]);
}

export function NestedCalls({ thread, usage, narrowed, label }: Props) {
  const [own, setOwn] = useState<Nest>(() => nestOf([], thread));
  const kept = usage?.all("nested") ?? [];
  const { sort, up, rows: wanted } = usage ? nestOf(kept, thread) : own;
  const keep = (next: Nest) =>
    usage ? usage.change({ nested: nested(kept, thread, next) }, { replace: true }) : setOwn(next);
  const now = useNow();
  const columns = COLUMNS.filter(({ key }) => NESTED.includes(key));
  const asked = {
    ...usage?.shared,
    ...narrowed,
    thread,
    sort,
    direction: up ? "asc" : "desc",
  };
  const found = useInfiniteQuery({
    queryKey: ["calls", "nested", asked],
    queryFn: ({ signal, pageParam }) =>
      api<CallPage>(
        `/api/calls${query({ ...asked, limit: pageParam ? MORE : FIRST, cursor: pageParam })}`,
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (last) => last.nextCursor ?? undefined,
    meta: { topics: ["calls"] },
  });
  const shown = found.data?.pages.reduce((sum, { calls }) => sum + calls.length, 0) ?? 0;
  const ready = found.hasNextPage && !found.isFetchingNextPage;
  const { fetchNextPage } = found;
  useEffect(() => {
    if (ready && shown < wanted) void fetchNextPage();
  }, [ready, shown, wanted, fetchNextPage]);
  if (found.isPending) return <Skeleton lines={3} />;
  if (found.isError && !found.data)
    return <Failure error={found.error} retry={() => void found.refetch()} />;
  const rows = found.data.pages.flatMap(({ calls }) => calls);
  const total = found.data.pages[0]?.total ?? rows.length;
  return (
    <>
      <div className="scroll" tabIndex={0} role="group" aria-label={label}>
        <table className="rows nested">
          <thead>
            <tr>
              {columns.map((column) => {
                const sorted = column.sort === sort;
                return (
                  <th
                    key={column.key}
                    scope="col"
                    className={placed(column)}
                    aria-sort={sorted ? (up ? "ascending" : "descending") : undefined}
                  >
                    {column.sort ? (
                      <button
                        type="button"
                        className="sorter"
                        onClick={() =>
                          keep({
                            sort: column.sort ?? "time",
                            up: sorted ? !up : Boolean(column.upFirst),
                            rows: 0,
                          })
                        }
                      >
                        {t(column.word)}
                        <span aria-hidden="true" className="arrow">
                          {sorted ? (up ? "↑" : "↓") : ""}
                        </span>
                      </button>
                    ) : (
                      t(column.word)
                    )}
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {rows.map((call) => (
              <tr key={call.id}>
                {columns.map((column, index) =>
                  index === 0 ? (
                    <th
                      scope="row"
                      key={column.key}
                      title={column.title?.(call)}
                      className={call.kind === "main" ? undefined : "depth1"}
                    >
                      <Link href={callPath(call.id)}>{column.show(call, { now, accounts: undefined })}</Link>
                      {call.kind !== "main" && <small className="muted whose">{whose(call)}</small>}
                    </th>
                  ) : (
                    <td
                      key={column.key}
                      className={placed(column)}
                      title={column.title?.(call)}
                    >
                      {column.show(call, { now, accounts: undefined })}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <div className="pages">
        <span className="note">{shownOf(rows.length, total)}</span>
        <span className="tools">
          {found.hasNextPage && (
            <button
              type="button"
              disabled={found.isFetchingNextPage}
              onClick={() => keep({ sort, up, rows: Math.max(rows.length, wanted) + MORE })}
            >
              {t("calls.more")}
            </button>
          )}
        </span>
      </div>
    </>
  );
}
