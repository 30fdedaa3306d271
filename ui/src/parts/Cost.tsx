/** What some calls cost together, with one mark where that is not sure or not all of it. */
import { money } from "../format";
import { t } from "../words";

interface Props {
  usd: number | null | undefined;
  /** How many of the calls have no price, and so are not in it. */
  unpriced?: number;
  /** Whether a price is an estimate. */
  estimated?: boolean;
}

/** Why a cost has a mark; empty where it is exact. Pure. */
export function doubt({ usd, unpriced = 0, estimated = false }: Props): string {
  if (usd == null) return "";
  const without = unpriced > 0 && t("overview.today.unpriced", { count: unpriced });
  return [estimated && t("calls.estimated"), without].filter(Boolean).join("\n");
}

export function Cost(props: Props) {
  const why = doubt(props);
  return (
    <>
      {money(props.usd)}
      {why && <abbr title={why}>*</abbr>}
    </>
  );
}
