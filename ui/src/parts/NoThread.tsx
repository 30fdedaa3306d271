import type { ReactNode } from "react";
import { t } from "../words";
import { CodexHome } from "./CodexHome";
import { Empty } from "./States";
import { useOptions } from "./UsageBar";

/** No thread to list: none of these filters', or none at all yet; `action` is what helps then. */
export function NoThread({ filtered, clear, action }: { filtered: boolean; clear: () => void; action?: ReactNode }) {
  // A ledger that knows no model holds no call: other filters would show no more.
  const bare = useOptions()?.models.length === 0;
  if (bare || !filtered)
    return (
      <Empty title={t("threads.empty")} action={action}>
        <CodexHome word="calls.emptyText" />
      </Empty>
    );
  return (
    <Empty
      title={t("threads.noMatch")}
      action={
        <button type="button" onClick={clear}>
          {t("do.clear")}
        </button>
      }
    >
      {t("requests.noMatchText")}
    </Empty>
  );
}
