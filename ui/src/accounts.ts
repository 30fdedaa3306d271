/** The accounts as every page needs them: the list, and a name for an id. */
import { useQuery } from "@tanstack/react-query";
import { api, type Account } from "./api";

export function useAccounts() {
  return useQuery({
    queryKey: ["accounts"],
    queryFn: ({ signal }) => api<{ accounts: Account[] }>("/api/accounts", { signal }),
    select: ({ accounts }) => accounts,
    meta: { topics: ["accounts"] },
    refetchInterval: 60_000,
  });
}

/** The name of an account id; the id itself once the account is gone. */
export function nameOf(accounts: Account[] | undefined, id: string | null): string | null {
  return accounts?.find(({ accountId }) => accountId === id)?.displayName ?? id;
}
