/** Memory over time as columns. Pure: what is drawn, told and listed is worked out here. */

import { type Columns, LEVELS, type Point, type Span } from "./api";
import { bytes, full, plural, share } from "./format";

export const SPANS: Record<Span, { seconds: number; words: string }> = {
  hour: { seconds: 3_600, words: "the last hour" },
  day: { seconds: 86_400, words: "the last day" },
  week: { seconds: 604_800, words: "the last week" },
  year: { seconds: 31_536_000, words: "the last year" },
};

export const NAMES = ["used", "high", "level", "limit", "keys", "evicted", "refused"] as const;

export function empty(): Columns {
  return { at: [], used: [], high: [], level: [], limit: [], keys: [], evicted: [], refused: [] };
}

export function pointAt(columns: Columns, index: number): Point | null {
  const at = columns.at[index];
  if (at === undefined) {
    return null;
  }
  const point: Point = {
    at,
    used: null,
    high: null,
    level: null,
    limit: null,
    keys: null,
    evicted: null,
    refused: null,
  };
  for (const name of NAMES) {
    point[name] = columns[name][index] ?? null;
  }
  return point;
}

/** Take in one second: as a point of its own, or into the bucket of that time, where points are coarser. */
export function take(columns: Columns, point: Point, resolutionS: number): void {
  const at = Math.floor(point.at / resolutionS) * resolutionS;
  const last = columns.at.length - 1;
  const latest = columns.at[last];
  if (latest !== undefined && at < latest) {
    return; // told already
  }
  if (latest !== at) {
    columns.at.push(at);
    for (const name of NAMES) {
      columns[name].push(point[name]);
    }
    return;
  }
  if (resolutionS <= 1) {
    return;
  }
  for (const name of ["used", "limit", "keys"] as const) {
    columns[name][last] = point[name] ?? columns[name][last] ?? null;
  }
  for (const name of ["high", "level"] as const) {
    columns[name][last] = largest(columns[name][last], point[name]);
  }
  for (const name of ["evicted", "refused"] as const) {
    const before = columns[name][last];
    columns[name][last] = before == null && point[name] == null ? null : (before ?? 0) + (point[name] ?? 0);
  }
}

function largest(a: number | null | undefined, b: number | null): number | null {
  return a == null ? b : b == null ? a : Math.max(a, b);
}

export function dropBefore(columns: Columns, at: number): void {
  const first = columns.at.findIndex((one) => one >= at);
  const gone = first === -1 ? columns.at.length : first;
  if (gone > 0) {
    columns.at.splice(0, gone);
    for (const name of NAMES) {
      columns[name].splice(0, gone);
    }
  }
}

export interface Change {
  at: number;
  from: number;
  to: number;
}

/** Where the level became another. */
export function changes(columns: Columns): Change[] {
  const found: Change[] = [];
  let before: number | null = null;
  columns.at.forEach((at, index) => {
    const level = columns.level[index] ?? null;
    if (level !== null) {
      if (before !== null && level !== before) {
        found.push({ at, from: before, to: level });
      }
      before = level;
    }
  });
  return found;
}

function gaps(columns: Columns): number {
  return columns.used.filter(
    (value, index) => value === null && (index === 0 || columns.used[index - 1] !== null),
  ).length;
}

/** The text that stands for the picture. */
export function summary(columns: Columns, span: Span, to: number): string {
  const known = columns.used.filter((value) => value !== null);
  const now = known.at(-1);
  if (now === undefined) {
    return `Nothing is known of ${SPANS[span].words} yet.`;
  }
  let top = 0;
  columns.high.forEach((value, index) => {
    if ((value ?? 0) > (columns.high[top] ?? 0)) {
      top = index;
    }
  });
  const lowest = known.reduce((least, value) => Math.min(least, value));
  const changed = changes(columns).length;
  const missing = gaps(columns);
  const limit = columns.limit.findLast((value) => value !== null);
  return [
    `${period(columns, span, to)} memory was between ${bytes(lowest)} and ${bytes(columns.high[top] ?? now)}`,
    ` (highest at ${full(columns.at[top] ?? 0)}), and is now ${bytes(now)}`,
    limit ? `, ${share(now / limit)} of the limit of ${bytes(limit)}` : "",
    `. ${changed ? plural(changed, "change") : "No change"} of level`,
    missing ? `, ${plural(missing, "gap")} without data.` : ".",
  ].join("");
}

const YOUNG = 0.95;

function period(columns: Columns, span: Span, to: number): string {
  const first = columns.at[0] ?? to;
  const { seconds, words } = SPANS[span];
  return to - first < YOUNG * seconds ? `Since ${full(first)}` : `Over ${words}`;
}

export interface Row {
  from: number;
  to: number;
  used: number | null;
  high: number | null;
  level: string | null;
  keys: number | null;
  evicted: number | null;
  refused: number | null;
}

/** At most `most` rows, newest first, each drawn from as many points in a row. */
export function rows(columns: Columns, most: number): Row[] {
  const size = Math.max(1, Math.ceil(columns.at.length / most));
  const made: Row[] = [];
  for (let end = columns.at.length; end > 0; end -= size) {
    const gathered = empty();
    const begin = Math.max(0, end - size);
    for (let index = begin; index < end; index += 1) {
      const point = pointAt(columns, index);
      if (point) {
        take(gathered, { ...point, at: 0 }, Number.MAX_SAFE_INTEGER);
      }
    }
    const level = gathered.level[0] ?? null;
    made.push({
      from: columns.at[begin] ?? 0,
      to: columns.at[end - 1] ?? 0,
      used: gathered.used[0] ?? null,
      high: gathered.high[0] ?? null,
      level: level === null ? null : (LEVELS[level] ?? null),
      keys: gathered.keys[0] ?? null,
      evicted: gathered.evicted[0] ?? null,
      refused: gathered.refused[0] ?? null,
    });
  }
  return made;
}
