/** The headroom meter: fill = percent left, tick = where an even pace would be. */
import { mark, unusualName, windowName } from "../allowance";
import type { Allowance } from "../api";
import { ago, percent, reset, UNKNOWN, when } from "../format";
import { t } from "../words";
import { Sign } from "./Sign";

interface Props {
  window: Allowance | undefined;
  slot: "primary" | "secondary";
  /** The account is out of rotation: hatched. */
  idle?: boolean;
  /** The account has windows, only not this one. */
  absent?: boolean;
  /** Credits pay for the account where a window is used up. */
  paid?: boolean;
  /** Nothing beside it names the window, so one that is not usual here says its name. */
  unnamed?: boolean;
  now: number;
}

export function Meter({ window, slot, idle, absent = false, paid = false, unnamed = false, now }: Props) {
  const name = windowName(window, slot);
  const left = window?.remainingPercent ?? null;
  if (!window || left === null) return <Unknown name={name} absent={absent} />;
  const onCredits = paid && window.level === "spent";
  const level = idle ? "ok" : mark(onCredits ? "low" : window.level);
  const unusual = unnamed && unusualName(window, slot);
  return (
    <div className="meter" data-stale={window.stale || undefined}>
      <div className="row">
        <span>
          <b>
            <Sign mark={level} />
            {t("meter.left", { percent: percent(left) })}
          </b>
          {unusual && <> · {unusual}</>}
          <Note window={window} idle={idle} onCredits={onCredits} now={now} />
        </span>
        <span
          title={window.resetAt ? t("meter.reset.title", { when: when(window.resetAt, now) }) : undefined}
        >
          {reset(window.resetAt, now)}
        </span>
      </div>
      <div
        className="bar"
        data-level={idle ? "idle" : level}
        role="meter"
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(left)}
        aria-label={sentence(window, name, left, now)}
      >
        {left > 0 && <i style={{ width: `calc(${Math.min(100, left)}% + 2px)` }} />}
        {window.pace && <u style={{ insetInlineStart: `calc(${window.pace.expectedRemaining}% - 1px)` }} />}
      </div>
    </div>
  );
}

interface NoteProps {
  window: Allowance;
  idle: boolean | undefined;
  onCredits: boolean;
  now: number;
}

function Note({ window, idle, onCredits, now }: NoteProps) {
  if (window.stale) return <> · {t("meter.stale", { ago: ago(window.observedAt, now) })}</>;
  if (onCredits && !idle) return <> · {t("meter.credits")}</>;
  if (window.level === "spent") return <> · {t("meter.spent")}</>;
  // How much is left matters once the account serves again; that nothing is, already now.
  if (idle) return null;
  if (window.level === "low") return <> · {t("meter.low")}</>;
  if (window.level === "critical") return <> · {t("meter.critical")}</>;
  return null;
}

function Unknown({ name, absent }: { name: string; absent: boolean }) {
  const label = absent ? t("meter.say.none", { window: name }) : t("meter.say.unknown", { window: name });
  return (
    <div className="meter">
      <div className="row">
        <b>{UNKNOWN}</b>
        <span>{absent ? t("meter.none") : t("meter.unknown")}</span>
      </div>
      <div className="bar" data-level="unknown" role="img" aria-label={label} />
    </div>
  );
}

function sentence(window: Allowance, name: string, left: number, now: number): string {
  const pace = window.pace ? t("meter.say.pace", { percent: percent(window.pace.expectedRemaining) }) : "";
  const resets = window.resetAt ? t("meter.say.reset", { when: when(window.resetAt, now) }) : "";
  return t("meter.say", { window: name, percent: percent(left), more: pace + resets });
}
