/** The calls of one thread or session as a small table of their own order; more load on demand. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { api, query, type CallPage } from "../api";
import { COLUMNS } from "../calls";
import { useNow } from "../hooks";
import { callPath } from "../evidence";
import type { Usage } from "../usage";
import { t } from "../words";
import { shownOf } from "./Chips";
import { Failure, Skeleton } from "./States";

const NESTED = ["time", "model", "effort", "initiator", "tokens", "cached", "uncached", "output", "cache", "context", "cost", "duration"];
const FIRST = 20;
const MORE = 100;

interface Props {
  thread: string;
  /** The filters of the list around it; without them the whole thread is shown. */
  usage?: Usage;
  label: string;
}

export function NestedCalls({ thread, usage, label }: Props) {
  const [sort, setSort] = useState({ key: "time", up: false });
  const now = useNow();
  const columns = COLUMNS.filter(({ key }) => NESTED.includes(key));
  const asked = {
    ...usage?.shared,
    thread,
    sort: sort.key,
    direction: sort.up ? "asc" : "desc",
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
                const sorted = column.sort === sort.key;
                return (
                  <th
                    key={column.key}
                    scope="col"
                    className={column.number ? "num" : undefined}
                    aria-sort={sorted ? (sort.up ? "ascending" : "descending") : undefined}
                  >
                    {column.sort ? (
                      <button
                        type="button"
                        className="sorter"
                        onClick={() =>
                          setSort({
                            key: column.sort ?? "time",
                            up: sorted ? !sort.up : Boolean(column.upFirst),
                          })
                        }
                      >
                        {t(column.word)}
                        <span aria-hidden="true" className="arrow">
                          {sorted ? (sort.up ? "↑" : "↓") : ""}
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
                    <th scope="row" key={column.key} title={column.title?.(call)}>
                      <Link href={callPath(call.id)}>{column.show(call, { now, accounts: undefined })}</Link>
                    </th>
                  ) : (
                    <td
                      key={column.key}
                      className={column.number ? "num" : undefined}
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
              onClick={() => void found.fetchNextPage()}
            >
              {t("calls.more")}
            </button>
          )}
        </span>
      </div>
    </>
  );
}
