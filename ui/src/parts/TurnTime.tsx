/** Where the time of a turn went: a line for each kind of step, the chosen call's own ones strong. */
import { Link } from "wouter";
import { callPath, stepSums, type Segment, type Turn } from "../evidence";
import { count, duration, full, pair } from "../format";
import { t } from "../words";

const COLOURS: Record<Segment["kind"], string> = {
  start: "other",
  retry: "bad",
  waiting: "c2",
  streaming: "c1",
  model: "c1",
  approval: "c4",
  tool: "c3",
};

export function TurnTime({ turn, call }: { turn: Turn; call: string }) {
  const total = Math.max(1, ...turn.segments.map(({ endMs }) => endMs));
  return (
    <>
      <div className="turn-lines" role="group" aria-label={t("call.turn.label")}>
        {stepSums(turn.segments).map(({ kind, ms }) => (
          <div key={kind} className="turn-line">
            <span className="turn-name">
              <i className={`swatch ${COLOURS[kind]}`} aria-hidden="true" />
              {t(`call.step.${kind}`)}
            </span>
            <div className="turn-bar">
              {turn.segments
                .filter((part) => part.kind === kind)
                .map((part, index) => (
                  <Step key={index} part={part} total={total} own={part.callId === call} />
                ))}
            </div>
            <span className="num">{duration(ms)}</span>
          </div>
        ))}
      </div>
      <p className="note turn-foot">
        {t("call.turn.total")}: {duration(total)} · {t("calls.count", { count: turn.calls })} ·{" "}
        {full(turn.startedAt)}
      </p>
    </>
  );
}

function Step({ part, total, own }: { part: Segment; total: number; own: boolean }) {
  const width = Math.max(0.4, (100 * (part.endMs - part.startMs)) / total);
  const style = {
    insetInlineStart: `${Math.min((100 * part.startMs) / total, 100 - width)}%`,
    width: `${width}%`,
  };
  const failed = part.kind === "tool" && part.success === false;
  const said = [
    ...(part.attempts ? [pair(t("call.step.retry"), count(part.attempts)), part.name] : [part.name ?? t(`call.step.${part.kind}`)]),
    failed && t("panels.success.failed"),
    duration(part.endMs - part.startMs),
    t(`calls.witness.${part.source}`),
  ];
  const title = said.filter(Boolean).join(" · ");
  const look = { className: failed ? "bad" : COLOURS[part.kind], style, title, "data-own": own || undefined };
  if (!part.callId || own) return <i {...look} role="img" aria-label={title} />;
  return <Link {...look} href={callPath(part.callId)} aria-label={title} />;
}
