/** The columns of a long table: as many as fit, or those that were chosen in this browser. */
import { useLayoutEffect, useState } from "react";
import { useWidth } from "../hooks";
import { language, t, type Word } from "../words";
import { Menu, type Item } from "./Menu";

/** A choice for each table, kept in this browser; `known`: the columns that it has. */
export function useChosen(table: string, known?: readonly { key: string }[]) {
  const [chosen, set] = useState<string[]>(() => chosenOf(kept(table), known));
  const choose = (keys: string[]) => {
    set(keys);
    try {
      if (keys.length) localStorage.setItem(`${table}.columns`, keys.join(","));
      else localStorage.removeItem(`${table}.columns`);
    } catch {
      // Storage is switched off: the choice holds until the page is closed.
    }
  };
  /** Nothing was chosen: those that find no room are left out. */
  return { chosen, free: chosen.length === 0, choose };
}

/** Those of a stored choice that the table has; what another release or hand left there is none. */
export function chosenOf(stored: string, known?: readonly { key: string }[]): string[] {
  const has = (key: string) => !known || known.some((column) => column.key === key);
  return stored.split(",").filter((key) => key && has(key));
}

function kept(table: string): string {
  try {
    return localStorage.getItem(`${table}.columns`) ?? "";
  } catch {
    return "";
  }
}

/** As many columns as find room in a table whose widths follow what stands in it.
 *
 * Those of `least` give way, the first one first, until the table's holder (`ref`) need not scroll. */
export function useSqueezed(keys: string[], least: readonly string[], free: boolean, content: unknown) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const asked = `${keys.join()} ${width} ${language()}`;
  const [held, hold] = useState({ asked, content, gone: 0 });
  // Of other rows, or with other room, the widths are others: from the beginning.
  const gone = held.asked === asked && held.content === content ? held.gone : 0;
  const left = least.filter((key) => keys.includes(key));
  useLayoutEffect(() => {
    const holder = ref.current;
    const tight = free && holder !== null && holder.scrollWidth > holder.clientWidth;
    if (tight && gone < left.length) hold({ asked, content, gone: gone + 1 });
  });
  const away = left.slice(0, gone);
  return [ref, free ? keys.filter((key) => !away.includes(key)) : keys] as const;
}

interface Props {
  /** Those that can be left out. */
  columns: { key: string; word: Word }[];
  /** Those that are shown now. */
  shown: string[];
  free: boolean;
  choose: (keys: string[]) => void;
}

/** Above a table: which of its columns to show. */
export function ColumnTools(props: Props) {
  return (
    <div className="table-tools">
      <ColumnMenu {...props} />
    </div>
  );
}

function ColumnMenu({ columns, shown, free, choose }: Props) {
  const left = columns.filter(({ key }) => shown.includes(key)).length;
  const items: (Item | "line")[] = columns.map(({ key, word }) => {
    const on = shown.includes(key);
    return {
      label: t(word),
      checked: on,
      // With none left to show, nothing would be chosen, which shows as many as fit.
      disabled: on && left === 1,
      run: () => choose(on ? shown.filter((one) => one !== key) : [...shown, key]),
    };
  });
  return (
    <Menu
      label={t("calls.columns")}
      quiet
      stay
      items={[...items, "line", { label: t("columns.fit"), checked: free, run: () => choose([]) }]}
    >
      {t("calls.columns")} <span aria-hidden="true">▾</span>
    </Menu>
  );
}
