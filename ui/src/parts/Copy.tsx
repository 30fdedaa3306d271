/** A value in mono that can be copied. */
import { useState } from "react";
import { pair } from "../format";
import { say } from "../say";
import { t } from "../words";

export function Copy({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = () =>
    navigator.clipboard.writeText(text).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), 2_000);
      },
      // Without the right to the clipboard the text can still be selected by hand.
      () => say(text),
    );
  return (
    <button
      type="button"
      className="quiet"
      aria-label={pair(t("do.copy"), label)}
      onClick={() => void copy()}
    >
      {t(copied ? "do.copied" : "do.copy")}
    </button>
  );
}

/** Names and values, a line each. */
export function Facts({ rows, mono = false }: { rows: [string, React.ReactNode][]; mono?: boolean }) {
  return (
    <dl className={mono ? "facts mono-facts" : "facts"}>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
