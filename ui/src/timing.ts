/** Where the time of one request went. Pure. */
import type { Attempt, RequestRow } from "./api";

export interface Phase {
  name: "earlier" | "waiting" | "silent" | "streaming";
  ms: number;
}

/** How long the attempts before the last one took. */
function earlier(attempts: Attempt[]): number {
  return attempts.slice(0, -1).reduce((sum, { ms }) => sum + (ms ?? 0), 0);
}

/** The phases of a request in order, without empty ones; none while its length is unknown.
 * "silent" is the wait of one that ended without any event. */
export function phases({ latencyMs, firstEventMs, attempts }: RequestRow): Phase[] {
  if (latencyMs === null) return [];
  const first = Math.min(firstEventMs ?? latencyMs, latencyMs);
  const before = Math.min(earlier(attempts), first);
  const all: Phase[] = [
    { name: "earlier", ms: before },
    { name: firstEventMs === null ? "silent" : "waiting", ms: first - before },
    { name: "streaming", ms: latencyMs - first },
  ];
  return all.filter(({ ms }) => ms > 0);
}

/** Where each attempt lies in its request, in percent of the whole. */
export function spans(attempts: Attempt[], whole: number): { from: number; width: number }[] {
  const total = Math.max(1, whole, attempts.reduce((sum, { ms }) => sum + (ms ?? 0), 0));
  let at = 0;
  return attempts.map(({ ms }) => {
    const from = (100 * at) / total;
    at += ms ?? 0;
    // Thin, but never invisible; and never past the end.
    const width = Math.max(1, (100 * (ms ?? 0)) / total);
    return { from: Math.min(from, 100 - width), width };
  });
}
