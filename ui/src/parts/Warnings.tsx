/** Lines of the logs that said nothing the reader knows: a chip that explains itself. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api";
import { count } from "../format";
import { t, tIf } from "../words";
import { Dialog } from "./Dialog";
import { Failure, Skeleton } from "./States";

interface Found {
  kinds: Record<string, number>;
  files: { name: string; warnings: Record<string, number> }[];
  skippedLines: number;
}

const MOST_FILES = 50;
/** These lines were read, only by the longer way. */
const HARMLESS = "unusual_shape";

/** Hidden while nothing was skipped. */
export function Warnings() {
  const [open, setOpen] = useState(false);
  const skipped = useQuery({
    queryKey: ["scan"],
    queryFn: ({ signal }) => api<{ skippedLines: number }>("/api/scan", { signal }),
    meta: { topics: ["calls"] },
  }).data?.skippedLines;
  if (!skipped) return null;
  return (
    <>
      <button
        type="button"
        className="chip"
        title={t("calls.chip.skipped.title")}
        onClick={() => setOpen(true)}
      >
        {t("calls.chip.skipped", { count: skipped })}
      </button>
      <Dialog title={t("warnings.title")} open={open} close={() => setOpen(false)} place="wide">
        {open && <Kinds />}
      </Dialog>
    </>
  );
}

function Kinds() {
  const found = useQuery({
    queryKey: ["warnings"],
    queryFn: ({ signal }) => api<Found>("/api/ledger/warnings", { signal }),
    meta: { topics: ["calls"] },
  });
  if (found.isError) return <Failure error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Skeleton lines={4} />;
  const kinds = skipped(found.data.kinds).sort((one, other) => other[1] - one[1]);
  const files = found.data.files
    .map(({ name, warnings }) => ({ name, lines: skipped(warnings).reduce((sum, [, n]) => sum + n, 0) }))
    .filter(({ lines }) => lines > 0)
    .sort((one, other) => other.lines - one.lines);
  return (
    <>
      <p className="note">{t("calls.chip.skipped.title")}</p>
      <Counts
        label={t("warnings.kind")}
        rows={kinds.map(([kind, lines]) => [tIf(`warnings.kind.${kind}`, kind), lines])}
      />
      <Counts mono label={t("warnings.file")} rows={files.slice(0, MOST_FILES).map((f) => [f.name, f.lines])} />
      {files.length > MOST_FILES && (
        <p className="note">{t("calls.shown", { shown: count(MOST_FILES), total: count(files.length) })}</p>
      )}
    </>
  );
}

function skipped(kinds: Record<string, number>): [string, number][] {
  return Object.entries(kinds).filter(([kind]) => kind !== HARMLESS);
}

interface CountsProps {
  label: string;
  rows: [string, number][];
  mono?: boolean;
}

function Counts({ label, rows, mono = false }: CountsProps) {
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label={label}>
      <table>
        <thead>
          <tr>
            <th scope="col">{label}</th>
            <th scope="col" className="num">
              {t("warnings.lines")}
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(([name, lines]) => (
            <tr key={name}>
              <th scope="row" className={mono ? "mono" : undefined} dir={mono ? "ltr" : undefined}>
                {name}
              </th>
              <td className="num">{count(lines)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
