/** What a call cost and in credits, how sure both are, and where their rates come from. */
import { windowName } from "../allowance";
import type { CallDetail, RateSource } from "../api";
import { cost } from "../calls";
import { beside, credits, day, full, joined, modelName, pair, percent, share, UNKNOWN } from "../format";
import { t } from "../words";
import { Facts } from "./Copy";

export function Rates({ call }: { call: CallDetail }) {
  const { model, priceModel, creditModel } = call;
  return (
    <Facts
      rows={[
        [t("calls.col.cost"), <Sure key="c" shown={cost(call)} how={call.priceStatus === "unpriced" ? "" : t(`calls.price.${call.priceStatus}`)} />],
        ...other(t("call.priceOf"), priceModel, model),
        [t("call.priceList"), source(call.priceSource)],
        ...(call.tier ? [[t("requests.tier"), <bdi key="t">{call.tier}</bdi>] as Line] : []),
        [
          t("calls.credits"),
          <Sure key="k" shown={credits(call.credits)} how={t(`calls.credit.${call.creditConfidence ?? "unpriced"}`)} />,
        ],
        ...other(t("call.creditOf"), creditModel, model),
        [t("call.creditList"), source(call.creditSource)],
        [t("call.impact"), <span key="i" title={t("call.impact.title")}>{impact(call)}</span>],
      ]}
    />
  );
}

type Line = [string, React.ReactNode];

function Sure({ shown, how }: { shown: React.ReactNode; how: string }) {
  return (
    <>
      {shown} {how && <span className="chip">{how}</span>}
    </>
  );
}

/** Whose rate counts, where that is not the model's own. */
function other(name: string, by: string | null | undefined, model: string | null): Line[] {
  return by && by !== model ? [[name, <bdi key={name}>{modelName(by)}</bdi>]] : [];
}

/** A list of rates and the day it is of: "Codex rate card · Jun 3 2026". */
function source(from: RateSource | null | undefined): string {
  if (!from) return UNKNOWN;
  const dated = /^\d{4}-\d\d-\d\d$/.test(from.at ?? "");
  const at = from.at && (dated ? `${day(from.at)} ${from.at.slice(0, 4)}` : full(from.at));
  return beside([from.file, from.name, at]);
}

const SHORT = { primary: "primary", secondary: "secondary" } as const;

function impact({ allowanceImpact: found }: CallDetail): string {
  if (!found?.length) return UNKNOWN;
  const named = (key: string) =>
    key === "monthly" ? t("window.month") : windowName(undefined, SHORT[key as keyof typeof SHORT] ?? "secondary");
  return joined(found.map((one) => pair(named(one.key), little(one.percent))));
}

/** A small percentage, which is never 0 while it is something. */
function little(value: number): string {
  return value < 0.1 ? percent(value).replace(percent(1), share(0.001)) : share(value / 100);
}
