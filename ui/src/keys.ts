/** The keys of every page: `g` and a letter goes somewhere, `/` searches, j and k walk rows. */
import { useEffect } from "react";
import { useLocation } from "wouter";
import { going } from "./usage";

export const PLACES = [
  { key: "o", path: "/", word: "nav.overview" },
  { key: "a", path: "/accounts", word: "nav.accounts" },
  { key: "t", path: "/trends", word: "nav.trends" },
  { key: "i", path: "/insights", word: "nav.insights" },
  { key: "c", path: "/calls", word: "nav.calls" },
  { key: "h", path: "/threads", word: "nav.threads" },
  { key: "d", path: "/diagnostics", word: "nav.diagnostics" },
  { key: "r", path: "/requests", word: "nav.requests" },
  { key: "k", path: "/keys", word: "nav.keys" },
  { key: "s", path: "/settings", word: "nav.settings" },
] as const;

const CHORD_MS = 1_500;

function writing(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.closest("input, textarea, select, [contenteditable]") !== null
  );
}

function covered(): boolean {
  return document.querySelector("[role=dialog], [role=menu]") !== null;
}

function walk(step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row === document.activeElement);
  const next = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function search(): boolean {
  const box = document.querySelector<HTMLInputElement>("main input[type=search]");
  box?.focus();
  box?.select();
  return box !== null;
}

/** Listen while mounted; `help` shows the list of keys. */
export function useKeys(help: () => void): void {
  const [, go] = useLocation();
  useEffect(() => {
    let chord = -Infinity;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (writing(event.target)) {
        if (event.key === "Escape") (event.target as HTMLElement).blur();
        return;
      }
      if (covered()) return;
      const place = event.timeStamp - chord < CHORD_MS && PLACES.find(({ key }) => key === event.key);
      chord = event.key === "g" ? event.timeStamp : -Infinity;
      if (place) go(going(place.path, location.pathname, location.search));
      else if (event.key === "j") walk(1);
      else if (event.key === "k") walk(-1);
      else if (event.key === "?") help();
      else if (event.key !== "/" || !search()) return;
      event.preventDefault();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [go, help]);
}
