/** The accounts as every page needs them: the list, and a name for an id. */
import { useQuery } from "@tanstack/react-query";
import { api, type Account } from "./api";

export type Named = Pick<Account, "accountId" | "displayName">;

/** What every account is or was called, as the privacy mode shows it: for what the ledger holds. */
export function useNames(): Named[] | undefined {
  return useQuery({
    queryKey: ["account-names"],
    queryFn: ({ signal }) => api<{ accounts: Named[] }>("/api/accounts/names", { signal }),
    select: ({ accounts }) => accounts,
    meta: { topics: ["accounts", "settings"] },
  }).data;
}

// Those that were removed and whose requests were kept, as of the last look at the accounts.
let removed: Named[] = [];

export function useAccounts() {
  return useQuery({
    queryKey: ["accounts"],
    queryFn: async ({ signal }) => {
      const [found, gone] = await Promise.all([
        api<{ accounts: Account[] }>("/api/accounts", { signal }),
        api<{ accounts: Named[] }>("/api/accounts/removed", { signal }),
      ]);
      removed = gone.accounts;
      return found;
    },
    select: ({ accounts }) => accounts,
    meta: { topics: ["accounts", "settings"] },
    refetchInterval: 60_000,
  });
}

/** The name of an account id among these names; the id itself when nobody knows it. */
export function nameIn(names: Named[] | undefined, id: string | null): string | null {
  return names?.find(({ accountId }) => accountId === id)?.displayName ?? id;
}

/** The name of an account id, also once the account is gone; the id itself when nobody knows it. */
export function nameOf(accounts: Named[] | undefined, id: string | null): string | null {
  const known = (one: Named) => one.accountId === id;
  return (accounts?.find(known) ?? removed.find(known))?.displayName ?? id;
}
