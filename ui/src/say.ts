/** One line at the foot of the page that says what an action did; read out by screen readers. */
import { useSyncExternalStore } from "react";

export interface Said {
  text: string;
  failed: boolean;
}

const SHOWN_MS = 6_000;
let current: Said | null = null;
let timer = 0;
const listeners = new Set<() => void>();

function set(next: Said | null): void {
  current = next;
  listeners.forEach((listener) => listener());
}

/** Say what was done, or why it was not. */
export function say(text: string, failed = false): void {
  clearTimeout(timer);
  set({ text, failed });
  // A failure stays until something else is said: it may take a while to read.
  if (!failed) timer = window.setTimeout(() => set(null), SHOWN_MS);
}

/** Take the line away. */
export function hush(): void {
  set(null);
}

export function useSaid(): Said | null {
  return useSyncExternalStore(
    (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    () => current,
  );
}
