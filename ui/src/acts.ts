/** What a viewer can do to accounts; each says what happened and fetches what changed. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { send, type Account, type ApiError } from "./api";
import { refetch } from "./live";
import { say } from "./say";
import { t } from "./words";

interface Act {
  method: string;
  path: string;
  body?: unknown;
  done: string;
}

/** Run an act; its outcome is said at the foot of the page. */
export function useAct() {
  const client = useQueryClient();
  return useMutation<unknown, ApiError, Act>({
    mutationFn: ({ method, path, body }) => send(method, path, body),
    onSuccess: (_, { done }) => say(done),
    onError: (error) => say(t("failed.any", { message: error.message }), true),
    // Also after a failure: it may be because what is shown is old.
    onSettled: () => refetch(client, ["accounts"]),
  });
}

const at = (account: Account) => `/api/accounts/${encodeURIComponent(account.accountId)}`;

export function pause(account: Account, until: string | null = null): Act {
  const name = account.displayName;
  return { method: "POST", path: `${at(account)}/pause`, body: { until }, done: t("done.paused", { name }) };
}

export function resume(account: Account): Act {
  const name = account.displayName;
  return { method: "POST", path: `${at(account)}/resume`, done: t("done.resumed", { name }) };
}

export function all(verb: "pause" | "resume"): Act {
  const done = t(verb === "pause" ? "done.pausedAll" : "done.resumedAll");
  return { method: "POST", path: `/api/accounts/${verb}-all`, done };
}

export function rename(account: Account, alias: string | null): Act {
  return { method: "PUT", path: `${at(account)}/alias`, body: { alias }, done: t("done.renamed") };
}

export function prioritise(account: Account, priority: number): Act {
  return { method: "PATCH", path: at(account), body: { priority }, done: t("done.priority") };
}

export function route(account: Account, routingPolicy: string): Act {
  return { method: "PATCH", path: at(account), body: { routingPolicy }, done: t("done.policy") };
}

/** Use up one banked reset; asking twice with the same id uses one. */
export function redeem(account: Account, creditId: string, redeemRequestId: string): Act {
  const name = account.displayName;
  const body = { creditId, redeemRequestId };
  const path = `${at(account)}/rate-limit-reset-credits/consume`;
  return { method: "POST", path, body, done: t("done.redeemed", { name }) };
}

export function probe(account: Account): Act {
  const name = account.displayName;
  return { method: "POST", path: `${at(account)}/probe`, done: t("done.probed", { name }) };
}

export function remove(account: Account, history: "keep" | "erase"): Act {
  const name = account.displayName;
  return { method: "DELETE", path: `${at(account)}?history=${history}`, done: t("done.removed", { name }) };
}
