/** Small hooks that several pages share. */
import { useEffect, useRef, useState } from "react";

/** The clock, as often as something shown depends on it. */
export function useNow(every = 30_000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

/** The width of an element in pixels, 0 until it is laid out. */
export function useWidth<E extends Element>() {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!ref.current) return;
    const watcher = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    watcher.observe(ref.current);
    return () => watcher.disconnect();
  }, []);
  return [ref, width] as const;
}

/** Whether what is in an element is not wider than it; null until it is laid out. */
export function useFits<E extends HTMLElement>() {
  const ref = useRef<E>(null);
  const [fits, setFits] = useState<boolean | null>(null);
  useEffect(() => {
    const holder = ref.current;
    const inside = holder?.firstElementChild;
    if (!holder || !(inside instanceof HTMLElement)) return;
    const watcher = new ResizeObserver(() => setFits(inside.offsetWidth <= holder.clientWidth));
    watcher.observe(holder);
    watcher.observe(inside);
    return () => watcher.disconnect();
  }, []);
  return [ref, fits] as const;
}

/** Whether the window is at least this wide. */
export function useWide(pixels: number): boolean {
  const text = `(min-width: ${pixels}px)`;
  const [wide, setWide] = useState(() => matchMedia(text).matches);
  useEffect(() => {
    const list = matchMedia(text);
    const changed = () => setWide(list.matches);
    list.addEventListener("change", changed);
    return () => list.removeEventListener("change", changed);
  }, [text]);
  return wide;
}

/** The title of the window: the page, then the program. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Brimline`;
  }, [title]);
}

/** A value that follows another once it has rested. */
export function useRested<T>(value: T, ms = 250): T {
  const [rested, setRested] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setRested(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return rested;
}
