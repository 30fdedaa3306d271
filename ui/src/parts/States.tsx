/** What a page shows when it has no data: still loading, empty, or failed. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "wouter";
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

/** In place of one thing's page: it is still loading, is not there (with the way to its list), or failed. */
export function Awaited({
  found,
  missing,
  list,
}: {
  found: UseQueryResult<unknown, ApiError>;
  /** The title and the text of what is not there. */
  missing: [string, string];
  /** The address and the name of the list that it would be on. */
  list: [string, string];
}) {
  const [title, text] = missing;
  const [href, name] = list;
  const back = (
    <Link href={href} className="button">
      {name}
    </Link>
  );
  return (
    <section className="card">
      {found.isPending && <Skeleton lines={8} />}
      {found.isError &&
        (found.error.status === 404 ? (
          <Empty title={title} action={back}>
            {text}
          </Empty>
        ) : (
          <Failure error={found.error} retry={() => void found.refetch()} />
        ))}
    </section>
  );
}
