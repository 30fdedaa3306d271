/** What a page shows when it has no data: still loading, empty, or failed. */
import type { ReactNode } from "react";
import type { ApiError } from "../api";
import { t } from "../words";

/** Grey lines in the shape of what will come, so that nothing jumps. */
export function Skeleton({ lines = 3, tall = false }: { lines?: number; tall?: boolean }) {
  return (
    <div className="skeleton" role="status" aria-label={t("state.loading")} data-tall={tall || undefined}>
      {Array.from({ length: lines }, (_, index) => (
        <i key={index} />
      ))}
    </div>
  );
}

/** Nothing yet: what would fill this place, and the next step. */
export function Empty({
  title,
  children,
  action,
}: {
  title: string;
  children?: ReactNode;
  action?: ReactNode;
}) {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children && <p className="note">{children}</p>}
      {action && <div className="empty-action">{action}</div>}
    </div>
  );
}

/** It could not be loaded: the server's own sentence and a way to try again. */
export function Failure({ error, retry }: { error: ApiError; retry: () => void }) {
  return (
    <div className="empty" role="alert">
      <p className="empty-title">
        <span className="sign sign-crit" aria-hidden="true">
          ●
        </span>
        {error.status === 0 ? t("away.title") : t("state.failed")}
      </p>
      <p className="note">{error.message}</p>
      <div className="empty-action">
        <button type="button" onClick={retry}>
          {t("do.retry")}
        </button>
      </div>
    </div>
  );
}
