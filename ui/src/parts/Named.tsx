/** An account's name where room is short: accounts of one e-mail differ in its end, so that stays. */
import "../parted.css";

/** The e-mail is cut before what tells its accounts apart, “(workspace, plan)”. */
export function Named({ name }: { name: string }) {
  const at = name.endsWith(")") ? name.indexOf(" (") : -1;
  if (at <= 0) return <>{name}</>;
  return (
    <span className="parted">
      <span>{name.slice(0, at)}</span>{" "}
      <span>{name.slice(at + 1)}</span>
    </span>
  );
}
