/** The languages there are, and which one suits the viewer. Pure. */

export interface Language {
  code: string;
  /** In its own words, because that is what its speakers look for. */
  name: string;
  rtl?: boolean;
}

export const LANGUAGES: Language[] = [
  { code: "en", name: "English" },
  { code: "ar", name: "العربية", rtl: true },
  { code: "de", name: "Deutsch" },
  { code: "es", name: "Español" },
  { code: "fr", name: "Français" },
  { code: "it", name: "Italiano" },
  { code: "ja", name: "日本語" },
  { code: "ko", name: "한국어" },
  { code: "pt", name: "Português" },
  { code: "ru", name: "Русский" },
  { code: "vi", name: "Tiếng Việt" },
  { code: "zh", name: "简体中文" },
];

/** The language of ours that a list of preferences asks for first; English when none is ours. */
export function preferred(wanted: readonly string[]): string {
  for (const tag of wanted) {
    const code = tag.toLowerCase().split("-")[0];
    if (LANGUAGES.some((language) => language.code === code)) return code as string;
  }
  return "en";
}

/** Which way a language runs. */
export function direction(code: string): "ltr" | "rtl" {
  return LANGUAGES.find((language) => language.code === code)?.rtl ? "rtl" : "ltr";
}
