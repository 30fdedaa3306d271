/** Every word a page shows comes from a catalogue; `t` is the only way to one. */
import i18next from "i18next";
import en from "./locales/en.json";

type Base<K> = K extends `${infer B}_one` | `${infer B}_other` ? B : K;
export type Word = Base<keyof typeof en>;
export type Values = Record<string, string | number>;

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

/** Like `t` for a key put together at run time; the key itself when there is no such word. */
export function tIf(word: string, fallback: string): string {
  return i18next.exists(word) ? i18next.t(word) : fallback;
}

/** The language of numbers and dates. */
export function language(): string {
  return i18next.language;
}
