/** Tables as CSV that a spreadsheet opens without harm. Pure but for `download`. */
import { say } from "./say";

/** One cell: quoted where needed; text that a spreadsheet would run as a formula is made text. */
export function cell(value: unknown): string {
  if (value == null) return "";
  let text = String(value);
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows with a heading; lines end as RFC 4180 says. */
export function csv(heading: string[], rows: unknown[][]): string {
  return [heading, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** What Brimline's window offers its pages (desktop/window.py); a browser has none of it. */
interface Saved {
  saved: boolean;
  message: string | null; // where it lies, or why it was not saved; null: thought better of
}
interface Bridge {
  pywebview?: {
    api?: {
      saveText?: (name: string, text: string) => Promise<Saved>;
      save?: (path: string, name: string) => Promise<Saved>;
    };
  };
}

/** Hand a file to the window's save dialog, or to the browser's own download. */
export function download(name: string, parts: string[], type = "text/csv;charset=utf-8"): void {
  const api = (globalThis as Bridge).pywebview?.api;
  if (api?.saveText) {
    void api.saveText(name, parts.join("")).then(({ saved, message }) => {
      if (message) say(message, !saved);
    });
    return;
  }
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  // The browser has taken the blob by the next task.
  setTimeout(() => URL.revokeObjectURL(address), 0);
}

/** Have the server's file at a path of ours saved: everything a filter finds, however much it is. */
export function fetchFile(path: string, name: string): void {
  const api = (globalThis as Bridge).pywebview?.api;
  if (api?.save) {
    void api.save(path, name).then(({ saved, message }) => {
      if (message) say(message, !saved);
    });
    return;
  }
  const link = document.createElement("a");
  link.href = path;
  link.download = name;
  link.click();
}
