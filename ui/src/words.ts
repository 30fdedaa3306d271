/** Every word a page shows comes from a catalogue; `t` is the only way to one. */
import i18next from "i18next";
import { useSyncExternalStore } from "react";
import { direction, preferred } from "./languages";
import en from "./locales/en.json";

type Base<K> = K extends `${infer B}_one` | `${infer B}_other` ? B : K;
export type Word = Base<keyof typeof en>;
export type Values = Record<string, string | number>;

// English is always there; the others are files of their own, fetched when chosen.
const catalogues = import.meta.glob<{ default: Record<string, string> }>([
  "./locales/*.json",
  "!./locales/en.json",
]);
const KEPT = "language";
const listeners = new Set<() => void>();

void i18next.init({
  lng: "en",
  fallbackLng: "en",
  resources: { en: { translation: en } },
  keySeparator: false,
  nsSeparator: false,
  // React escapes; doing it twice would show &amp;.
  interpolation: { escapeValue: false },
  initAsync: false,
});

/** The sentence for a key, in the chosen language; `count` chooses the plural. */
export function t(word: Word, values: Values = {}): string {
  return i18next.t(word as string, values);
}

/** Like `t` for a key put together at run time; the fallback when there is no such word. */
export function tIf(word: string, fallback: string, values: Values = {}): string {
  return i18next.exists(word, values) ? i18next.t(word, values) : fallback;
}

/** The language of numbers and dates. */
export function language(): string {
  return i18next.language;
}

/** The language that a choice means: itself, or what the system asks for when it is empty. */
export function meant(chosen: string): string {
  return preferred(chosen ? [chosen] : navigator.languages);
}

/** Speak a language from now on; stays as it is when its words cannot be fetched. */
export async function speak(code: string): Promise<void> {
  const load = catalogues[`./locales/${code}.json`];
  if (load && !i18next.hasResourceBundle(code, "translation")) {
    const found = await load().catch(() => null);
    if (!found) return;
    i18next.addResourceBundle(code, "translation", found.default);
  }
  await i18next.changeLanguage(code);
  document.documentElement.lang = code;
  document.documentElement.dir = direction(code);
  listeners.forEach((listener) => listener());
}

/** The choice as this browser last knew it, so that the first picture speaks it already. */
export function remembered(): string {
  try {
    return localStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

/** Speak what the settings choose, and remember it. */
export function follow(chosen: string): void {
  try {
    if (chosen) localStorage.setItem(KEPT, chosen);
    else localStorage.removeItem(KEPT);
  } catch {
    // Storage is switched off: the settings say it again each time.
  }
  const code = meant(chosen);
  if (code !== language()) void speak(code);
}

/** The language spoken now; who uses it is drawn anew when it changes. */
export function useLanguage(): string {
  return useSyncExternalStore(
    (changed) => {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    language,
    () => "en",
  );
}
