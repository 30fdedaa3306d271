/** The user's own files: what is wrong in those that a page uses, and on Settings where each lies. */
import { useQuery } from "@tanstack/react-query";
import { api } from "../api";
import { told, type Said } from "../told";
import { t } from "../words";

export interface OwnFile {
  path: string;
  configured: boolean;
  problems: { text: string; said: Said | null }[];
  /** Of prices: how many models the file names, its own stamp, and what Brimline brings along. */
  models?: number;
  source?: { name?: string; fetched_at?: string } | null;
  shipped?: { name: string; checked: string }[];
}

export type OwnFileName = "thresholds" | "projects" | "allowance" | "pricing" | "rate-card";

export function useOwnFiles() {
  return useQuery({
    queryKey: ["own-files"],
    queryFn: ({ signal }) => api<Record<OwnFileName, OwnFile>>("/api/usage/files", { signal }),
    meta: { topics: ["settings", "calls"] },
    // Files are edited elsewhere, and nothing tells of it.
    refetchInterval: 60_000,
  }).data;
}

function sentences(file: OwnFile): string[] {
  return file.problems.map(({ text, said }) => told(text, said));
}

/** What is wrong in the files that the page's figures come from; nothing while all is well. */
export function OwnFileProblems({ names }: { names: readonly OwnFileName[] }) {
  const files = useOwnFiles();
  const wrong = files ? names.flatMap((name) => sentences(files[name])) : [];
  if (!wrong.length) return null;
  return (
    <div className="notices" role="status">
      {wrong.map((sentence) => (
        <div className="notice" key={sentence}>
          {sentence}
        </div>
      ))}
    </div>
  );
}

/** Every file, where it lies and whether it holds. */
export function OwnFiles() {
  const files = useOwnFiles();
  if (!files) return null;
  return (
    <section className="card" id="own-files">
      <h2>{t("own.title")}</h2>
      <p className="note">{t("own.text")}</p>
      <div className="scroll" tabIndex={0} role="group" aria-label={t("own.title")}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t("own.file")}</th>
              <th scope="col">{t("own.state")}</th>
            </tr>
          </thead>
          <tbody>
            {Object.values(files).map((file) => (
              <tr key={file.path}>
                <th scope="row" className="mono" dir="ltr">
                  {file.path}
                </th>
                <td>
                  {file.problems.length ? (
                    sentences(file).map((sentence) => <p key={sentence}>{sentence}</p>)
                  ) : (
                    <span className="muted">{t(file.configured ? "own.fine" : "own.none")}</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
