/** Light or dark: the system's, unless the viewer chose; the choice stays in this browser. */
import { useSyncExternalStore } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const listeners = new Set<() => void>();

/** What the viewer chose. */
export function theme(): Theme {
  const chosen = document.documentElement.dataset.theme;
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

/** Choose a theme and keep it. */
export function choose(next: Theme): void {
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", next);
  } catch {
    // Storage is switched off: the choice holds until the page is closed.
  }
  listeners.forEach((listener) => listener());
}

/** A value that changes whenever colours do, so that drawings on canvas know. */
export function useTheme(): { chosen: Theme; dark: boolean } {
  const state = useSyncExternalStore(subscribe, () => `${theme()} ${isDark()}`);
  const [chosen, dark] = state.split(" ");
  return { chosen: chosen as Theme, dark: dark === "true" };
}

function isDark(): boolean {
  const chosen = theme();
  return chosen === "system" ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
}

function subscribe(changed: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  listeners.add(changed);
  system.addEventListener("change", changed);
  return () => {
    listeners.delete(changed);
    system.removeEventListener("change", changed);
  };
}
