/** All of them, or only the ones ticked: for lists that are too long for a row of boxes. */
import { useId, useState } from "react";
import { t } from "../words";
import type { Option } from "./Filters";

const FIND_FROM = 9;

interface Props {
  legend: string;
  every: string;
  some: string;
  find: string;
  options: Option[];
  /** null is every one. */
  chosen: string[] | null;
  change: (chosen: string[] | null) => void;
  problem: string;
}

export function Ticks({ legend, every, some, find, options, chosen, change, problem }: Props) {
  const id = useId();
  const [wanted, setWanted] = useState("");
  const known = new Set(options.map(({ value }) => value));
  const all = [
    ...options,
    ...(chosen ?? []).filter((value) => !known.has(value)).map((value) => ({ value, label: value })),
  ];
  const shown = all.filter(({ label }) => label.toLowerCase().includes(wanted.trim().toLowerCase()));
  const tick = (value: string, on: boolean) =>
    change(on ? [...(chosen ?? []), value] : (chosen ?? []).filter((old) => old !== value));
  return (
    <fieldset aria-describedby={problem ? `${id}-problem` : undefined}>
      <legend>{legend}</legend>
      <div className="either">
        <label className="check">
          <input type="radio" name={id} checked={chosen === null} onChange={() => change(null)} />
          {every}
        </label>
        <label className="check">
          <input type="radio" name={id} checked={chosen !== null} onChange={() => change(chosen ?? [])} />
          {some}
        </label>
      </div>
      {chosen !== null && (
        <div className="ticks">
          {all.length >= FIND_FROM && (
            <input
              type="search"
              aria-label={find}
              placeholder={find}
              value={wanted}
              onChange={(event) => setWanted(event.target.value)}
              // Enter here looks for something; it must not send the form.
              onKeyDown={(event) => event.key === "Enter" && event.preventDefault()}
            />
          )}
          <div className="tick-list">
            {shown.map(({ value, label }) => (
              <label key={value} className="check">
                <input
                  type="checkbox"
                  checked={chosen.includes(value)}
                  onChange={(event) => tick(value, event.target.checked)}
                />
                {label}
              </label>
            ))}
            {shown.length === 0 && <p className="note">{t("filter.nothing")}</p>}
          </div>
        </div>
      )}
      {problem && (
        <p className="error" id={`${id}-problem`} role="alert">
          {problem}
        </p>
      )}
    </fieldset>
  );
}
