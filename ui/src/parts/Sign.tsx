/** A shape for a state, so that no state is told by colour alone. Words always stand beside it. */
import type { Mark } from "../allowance";

const SHAPES: Record<Mark, string> = { ok: "", warn: "▲", crit: "●", idle: "‖", none: "" };

export function Sign({ mark }: { mark: Mark }) {
  if (!SHAPES[mark]) return null;
  return (
    <span className={`sign sign-${mark}`} aria-hidden="true">
      {mark === "idle" ? <Bars /> : SHAPES[mark]}
    </span>
  );
}

/** Two upright bars; the character for pause is an emoji on some systems. */
function Bars() {
  return (
    <svg width="9" height="10" viewBox="0 0 9 10">
      <path d="M1 0h2.5v10H1zM5.5 0H8v10H5.5z" fill="currentColor" />
    </svg>
  );
}
