/** An arrow back or on; it turns round where the page runs from right to left. */
export function Arrow({ to }: { to: "back" | "on" }) {
  return (
    <span className="way" aria-hidden="true">
      {to === "back" ? "←" : "→"}
    </span>
  );
}
