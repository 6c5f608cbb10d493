// The breaks of an ad-supported view: which one is due where. The server judges by its own clock whether one was shown;
// here is only what to show.

/** As the opening tells it (docs/PROTOCOL.md §5). A break's number is its place in the list. */
export interface Break {
  at_ms: number;
  duration_ms: number;
  must_show: boolean;
  shown: boolean;
}

export interface Breaks {
  /** Which of the breaks that a seek skips must be shown. */
  skipped: 'last' | 'all';
  clip_url?: string | null;
  list: Break[];
}

/** How early a break begins before its position: `timeupdate` comes four times a second. */
const EARLY_MS = 50;

/** The break that comes before what is at this position; undefined if there is none. */
export function due(breaks: Breaks | null | undefined, position_ms: number): number | undefined {
  if (breaks === null || breaks === undefined) return undefined;
  const passed = breaks.list
    .map((one, number) => ({ ...one, number }))
    .filter((one) => one.must_show && one.at_ms <= position_ms + EARLY_MS);
  if (breaks.skipped === 'all') return passed.find((one) => !one.shown)?.number;
  const last = passed.at(-1);
  return last === undefined || last.shown ? undefined : last.number;
}

/** A break that need not be shown and is come by in playing, not by a seek. */
export function cameBy(
  breaks: Breaks | null | undefined,
  from_ms: number,
  to_ms: number,
): number | undefined {
  const number = breaks?.list.findIndex(
    (one) => !one.must_show && !one.shown && one.at_ms > from_ms && one.at_ms <= to_ms + EARLY_MS,
  );
  return number === undefined || number < 0 ? undefined : number;
}
