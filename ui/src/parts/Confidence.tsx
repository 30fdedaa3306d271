/** How sure a cost or a credit figure is, as one filter. */
import { pair } from "../format";
import { t } from "../words";
import { One, type Option } from "./Filters";

export const PRICES = ["exact", "estimated", "unpriced"] as const;
export const CREDITS = ["exact", "estimated", "user_override", "unpriced"] as const;

interface Props {
  price: string;
  credit: string;
  change: (next: { price: string | null; credit: string | null }) => void;
}

export function Confidence({ price, credit, change }: Props) {
  const options: Option[] = [
    { value: "", label: t("filter.any") },
    ...PRICES.map((value) => ({
      value: `price:${value}`,
      label: pair(t("calls.col.cost"), t(`calls.price.${value}`)),
    })),
    ...CREDITS.map((value) => ({
      value: `credit:${value}`,
      label: pair(t("calls.credits"), t(`calls.credit.${value}`)),
    })),
  ];
  return (
    <One
      label={t("filter.confidence")}
      value={price ? `price:${price}` : credit ? `credit:${credit}` : ""}
      options={options}
      change={(chosen) => {
        const [kind, value = ""] = chosen.split(":");
        change({ price: kind === "price" ? value : null, credit: kind === "credit" ? value : null });
      }}
    />
  );
}
