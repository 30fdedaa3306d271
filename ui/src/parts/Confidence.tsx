/** How sure a cost or a credit figure is, as one filter. */
import type { ComponentProps } from "react";
import { pair } from "../format";
import { t } from "../words";
import { One, type Option } from "./Filters";
import { UsageBar } from "./UsageBar";

export const PRICES = ["exact", "estimated", "unpriced"] as const;
export const CREDITS = ["exact", "estimated", "user_override", "unpriced"] as const;

interface Props {
  price: string;
  credit: string;
  change: (next: { price: string | null; credit: string | null }) => void;
}

type Filters = ComponentProps<typeof UsageBar>["usage"] & {
  own: boolean;
  asked: { priceStatus: string; creditConfidence: string };
};

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

/** The usage pages' filter bar with this filter, for lists. */
export function SureBar({ filters }: { filters: Filters }) {
  const { priceStatus, creditConfidence } = filters.asked;
  return (
    <UsageBar usage={filters} also={filters.own} folded={Number(Boolean(priceStatus || creditConfidence))}>
      <Confidence
        price={priceStatus}
        credit={creditConfidence}
        change={(next) => filters.change({ ...next, open: null })}
      />
    </UsageBar>
  );
}
