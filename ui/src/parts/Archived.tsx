/** What to do when nothing is found because archived sessions are left out. */
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { api, query, type CallPage } from "../api";
import type { Usage } from "../usage";
import { t } from "../words";
import { Empty } from "./States";

interface Props {
  usage: Usage;
  /** What the page asks for, beyond the shared filters. */
  asked?: Parameters<typeof query>[0];
  title: string;
  /** What to show where archived sessions hold nothing of the kind either. */
  children: ReactNode;
}

/** Offers all history where that would show something. */
export function OrArchived({ usage, asked, title, children }: Props) {
  const search = query({ ...usage.shared, ...asked, history: "", sort: "", direction: "", limit: 1 });
  const found = useQuery({
    queryKey: ["calls-archived", search],
    queryFn: ({ signal }) => api<CallPage>(`/api/calls${search}`, { signal }),
    meta: { topics: ["calls"] },
    enabled: Boolean(usage.shared.history) && !usage.wrong,
  });
  if (!found.data?.total) return <>{children}</>;
  return (
    <Empty
      title={title}
      action={
        <button type="button" className="primary" onClick={() => usage.change({ history: "all" })}>
          {t("history.all")}
        </button>
      }
    >
      {t("history.onlyArchived")}
    </Empty>
  );
}
