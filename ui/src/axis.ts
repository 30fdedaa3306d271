/** Round steps for a chart's axis. Pure. */

/** Rising ticks from 0 to at most `most`, each a round number, about `wanted` steps. */
export function ticks(most: number, wanted = 4): number[] {
  if (!(most > 0)) return [0];
  const rough = (most / wanted) * 0.8;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5, 10].find((n) => n * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, n) => n * step);
}

const LETTER = 7.2;

/** How wide an axis must be for its longest label, in pixels, and never below `least`. */
export function axisWidth(labels: string[], least: number): number {
  return Math.max(least, 12 + Math.ceil(LETTER * Math.max(0, ...labels.map(({ length }) => length))));
}
