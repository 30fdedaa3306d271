/** How a request ended: a word, and a shape when it was not well. */
import type { Mark } from "../allowance";
import { tIf } from "../words";
import { Sign } from "./Sign";

const MARKS: Record<string, Mark> = {
  ok: "ok",
  rate_limit: "warn",
  quota: "warn",
  error: "crit",
  cancelled: "none",
};

export function RequestStatus({ status }: { status: string }) {
  return (
    <span className={status === "ok" ? undefined : "strong"}>
      <Sign mark={MARKS[status] ?? "warn"} />
      {tIf(`requests.status.${status}`, status)}
    </span>
  );
}
