/** Lines of the logs that said nothing the reader knows: a chip that explains itself. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../api";
import { count } from "../format";
import { t, tIf } from "../words";
import { Dialog } from "./Dialog";
import { Failure, Skeleton } from "./States";

/** What the logs held that could not be taken as it stands. */
interface Quality {
  skippedLines: number;
  mendedLines: number;
  leftOut: { path: string; kind: string }[];
  leftOutTotal: number;
}

interface Found extends Quality {
  kinds: Record<string, number>;
  files: { name: string; warnings: Record<string, number> }[];
}

const MOST_FILES = 50;
/** These lines were read: by the longer way, or with a figure mended. Files are listed by themselves. */
const HARMLESS = ["unusual_shape", "mended_number", "mended_time", "mended_text", "unreadable", "cut_off"];
/** Counts that were completed, and lines that newer clients write and nothing is read from. */
const NOTED = ["partial_count", "missing_last", "missing_total", "bad_window", "unknown_event", "unknown_line"];

/** Hidden while everything was taken as it stands. */
export function Warnings() {
  const [open, setOpen] = useState(false);
  const quality = useQuery({
    queryKey: ["scan"],
    queryFn: ({ signal }) => api<{ quality: Quality }>("/api/scan", { signal }),
    meta: { topics: ["calls"] },
  }).data?.quality;
  const skipped = quality?.skippedLines ?? 0;
  const left = quality?.leftOutTotal ?? 0;
  const mended = quality?.mendedLines ?? 0;
  if (!skipped && !left && !mended) return null;
  return (
    <>
      <button
        type="button"
        className="chip"
        title={t("calls.chip.skipped.title")}
        onClick={() => setOpen(true)}
      >
        {skipped
          ? t("calls.chip.skipped", { count: skipped })
          : left
            ? t("calls.chip.leftOut", { number: count(left) })
            : t("calls.chip.mended", { number: count(mended) })}
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
  const noted = Object.entries(found.data.kinds).filter(([kind]) => NOTED.includes(kind));
  const files = found.data.files
    .map(({ name, warnings }) => ({ name, lines: skipped(warnings).reduce((sum, [, n]) => sum + n, 0) }))
    .filter(({ lines }) => lines > 0)
    .sort((one, other) => other.lines - one.lines);
  return (
    <>
      {kinds.length > 0 && (
        <>
          <p className="note">{t("calls.chip.skipped.title")}</p>
          <Counts
            label={t("warnings.kind")}
            rows={kinds.map(([kind, lines]) => [tIf(`warnings.kind.${kind}`, kind), lines])}
          />
          <Counts
            mono
            label={t("warnings.file")}
            rows={files.slice(0, MOST_FILES).map((f) => [f.name, f.lines])}
          />
        </>
      )}
      {files.length > MOST_FILES && (
        <p className="note">{t("calls.shown", { shown: count(MOST_FILES), total: count(files.length) })}</p>
      )}
      {found.data.mendedLines > 0 && (
        <p className="note">
          {t("calls.chip.mended", { number: count(found.data.mendedLines) })}: {t("warnings.mended")}
        </p>
      )}
      {noted.length > 0 && (
        <Counts
          label={t("warnings.noted")}
          rows={noted.map(([kind, lines]) => [tIf(`warnings.kind.${kind}`, kind), lines])}
        />
      )}
      <LeftOut found={found.data} />
    </>
  );
}

/** Files and folders that hold no log that can be read, and why. */
function LeftOut({ found }: { found: Quality }) {
  if (!found.leftOut.length) return null;
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">{t("warnings.leftOut")}</th>
          </tr>
        </thead>
        <tbody>
          {found.leftOut.slice(0, MOST_FILES).map(({ path, kind }) => (
            <tr key={path}>
              <td>
                <bdi className="mono" dir="ltr" style={{ overflowWrap: "anywhere" }}>
                  {path}
                </bdi>
                <p className="note">{tIf(`warnings.left.${kind}`, kind)}</p>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {found.leftOutTotal > MOST_FILES && (
        <p className="note">
          {t("calls.shown", { shown: count(MOST_FILES), total: count(found.leftOutTotal) })}
        </p>
      )}
    </>
  );
}

function skipped(kinds: Record<string, number>): [string, number][] {
  return Object.entries(kinds).filter(([kind]) => !HARMLESS.includes(kind) && !NOTED.includes(kind));
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
