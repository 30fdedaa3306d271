/** Banked resets of an account: how many, and using one up. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { redeem, useAct } from "../acts";
import { api, type Account, type ResetCredit } from "../api";
import { count, UNKNOWN, when } from "../format";
import { t } from "../words";
import { Dialog } from "./Dialog";
import { Empty, Failure, Skeleton } from "./States";

/** A name for one wish to redeem; `randomUUID` is missing on a page that came over plain HTTP. */
function wish(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function ResetCredits({ account, now }: { account: Account; now: number }) {
  const [open, setOpen] = useState(false);
  const banked = account.availableResetCredits;
  if (banked === null) return <>{UNKNOWN}</>;
  const close = () => setOpen(false);
  return (
    <>
      {count(banked)}{" "}
      {banked > 0 && (
        <button type="button" className="quiet" onClick={() => setOpen(true)}>
          {t("accounts.resets.show")}
        </button>
      )}
      <Dialog title={t("accounts.resets")} open={open} close={close} place="wide">
        <List account={account} now={now} close={close} />
      </Dialog>
    </>
  );
}

function List({ account, now, close }: { account: Account; now: number; close: () => void }) {
  const act = useAct();
  // One id for as long as this dialog is open: a second click does not use a second reset.
  const [request] = useState(wish);
  const path = `/api/accounts/${encodeURIComponent(account.accountId)}/rate-limit-reset-credits`;
  const found = useQuery({
    queryKey: ["reset-credits", account.accountId],
    queryFn: ({ signal }) => api<{ credits: ResetCredit[] }>(path, { signal }),
    staleTime: 0,
  });
  const usable = found.data?.credits.filter(({ status }) => status === "available") ?? [];
  if (found.isPending) return <Skeleton lines={3} />;
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!usable.length) return <Empty title={t("accounts.resets.none")} />;
  return (
    <div className="stack">
      <p>{t("accounts.resets.text", { name: account.displayName })}</p>
      <ul className="resets">
        {usable.map((credit) => (
          <li key={credit.id}>
            <span>
              {credit.title ?? t("accounts.resets.one")}
              {credit.expiresAt && (
                <span className="note"> {t("keys.expires", { when: when(credit.expiresAt, now) })}</span>
              )}
            </span>
            <button
              type="button"
              disabled={act.isPending}
              onClick={() => act.mutate(redeem(account, credit.id, request), { onSuccess: close })}
            >
              {t("accounts.resets.redeem")}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
