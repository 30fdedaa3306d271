/** What some calls cost together, in dollars or credits: a mark where that is not all of it, another where it is not sure. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { api, query, type CallPage, type CallTotals } from "../api";
import { count, credits, money } from "../format";
import { t } from "../words";

interface Props {
  usd: number | null | undefined;
  /** How many of the calls have no price, and so are not in it. */
  unpriced?: number;
  /** Whether a price is an estimate, or how many are. */
  estimated?: boolean | number;
}

/** The marks beside a cost, and what each means, as the command line has them; none where it is exact. Pure. */
export function marks({ usd, unpriced = 0, estimated = false }: Props): [string, string][] {
  if (usd == null) return [];
  const found: [string, string][] = [];
  if (estimated) found.push(["*", t("cost.estimated")]);
  if (unpriced > 0) found.push(["+", t("overview.today.unpriced", { count: unpriced })]);
  return found;
}

export function Cost(props: Props) {
  return (
    <>
      {money(props.usd)}
      {marks(props).map(([mark, why]) => (
        <abbr key={mark} title={why}>
          {mark}
        </abbr>
      ))}
    </>
  );
}

/** What all that a filter finds cost. */
export function TotalCost({ totals }: { totals: CallTotals }) {
  return <Cost usd={totals.costUsd} unpriced={totals.unpriced} estimated={totals.estimated} />;
}

type Asked = Parameters<typeof query>[0];

/** How many of the calls that a filter finds have no credit rate; 0 while nobody knows. */
export function useUnrated(asked: Asked, totals: CallTotals): number {
  const search = query({ ...asked, creditConfidence: "unpriced", sort: "", direction: "", limit: 1 });
  const found = useQuery({
    queryKey: ["calls-unrated", search],
    queryFn: ({ signal }) => api<CallPage>(`/api/calls${search}`, { signal }),
    meta: { topics: ["calls", "settings"] },
    placeholderData: keepPreviousData,
    // A filter by how sure a rate is has told it already, and no credits at all say it by themselves.
    enabled: !asked.creditConfidence && totals.credits != null,
  }).data;
  return asked.creditConfidence ? 0 : (found?.total ?? 0);
}

/** A sum of credits, with a mark where calls without a rate are not in it. */
export function Credits({ sum, unrated }: { sum: number | null; unrated: number }) {
  return (
    <>
      {credits(sum)}
      {sum !== null && unrated > 0 && <abbr title={t("calls.unrated", { calls: count(unrated) })}>+</abbr>}
    </>
  );
}
