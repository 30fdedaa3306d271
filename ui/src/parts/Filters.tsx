/** The controls of a filter bar; each writes to the address. */
import * as Radix from "@radix-ui/react-dropdown-menu";
import { useEffect, useId, useState } from "react";
import { useRested } from "../hooks";
import { t } from "../words";

export interface Option {
  value: string;
  label: string;
}

interface SearchProps {
  value: string;
  hint: string;
  change: (value: string) => void;
}

/** A search box that asks once typing rests. */
export function SearchBox({ value, hint, change }: SearchProps) {
  const [text, setText] = useState(value);
  const rested = useRested(text);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (rested === text && rested.trim() !== value) change(rested.trim());
    // Only the rested text decides; the address following it must not ask again.
  }, [rested]);
  return (
    <input
      type="search"
      className="search"
      aria-label={t("filter.search")}
      placeholder={hint}
      value={text}
      maxLength={200}
      onChange={(event) => setText(event.target.value)}
    />
  );
}

interface OneProps {
  label: string;
  value: string;
  options: Option[];
  change: (value: string) => void;
}

/** Choose exactly one. */
export function One({ label, value, options, change }: OneProps) {
  const id = useId();
  return (
    <span className="field">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => change(event.target.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value}>
            {option.label}
          </option>
        ))}
      </select>
    </span>
  );
}

interface ManyProps {
  label: string;
  values: string[];
  options: Option[];
  change: (values: string[]) => void;
}

/** Choose any number; none chosen means any. What the address names stays choosable. */
export function Many({ label, values, options, change }: ManyProps) {
  const known = new Set(options.map(({ value }) => value));
  const all = [
    ...options,
    ...values.filter((value) => !known.has(value)).map((value) => ({ value, label: value })),
  ];
  if (!all.length) return null;
  const name = (value: string) => all.find((option) => option.value === value)?.label ?? value;
  const shown =
    values.length === 0 ? t("filter.any") : values.length === 1 ? name(values[0] ?? "") : values.length;
  return (
    <Radix.Root modal={false}>
      <Radix.Trigger className="many" data-set={values.length > 0 || undefined}>
        {t("join.label", { name: label })} <b>{shown}</b>
      </Radix.Trigger>
      <Radix.Content className="menu" align="start" sideOffset={4} collisionPadding={8}>
        {all.map(({ value, label: text }) => (
          <Radix.CheckboxItem
            key={value}
            checked={values.includes(value)}
            onSelect={(event) => event.preventDefault()}
            onCheckedChange={(on) => change(on ? [...values, value] : values.filter((old) => old !== value))}
          >
            <Radix.ItemIndicator className="tick">✓</Radix.ItemIndicator>
            {text}
          </Radix.CheckboxItem>
        ))}
      </Radix.Content>
    </Radix.Root>
  );
}
