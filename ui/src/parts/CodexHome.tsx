/** A sentence that names the folder in which Codex keeps its files. */
import { useServer } from "../live";
import { t, type Word } from "../words";

export function CodexHome({ word }: { word: Word }) {
  return <>{t(word, { home: useServer().codexHome })}</>;
}
