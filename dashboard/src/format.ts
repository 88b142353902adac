/** Numbers as people read them, in the units of the rest of Spillgate: KB, MB and GB are powers of 1024. */

import type { Interval } from "./api";

export const UNKNOWN = "unknown";

const BYTES = ["B", "KB", "MB", "GB", "TB"];
const SPACE = "\u00a0";
const wholes = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

type Number = number | null | undefined;

export function bytes(size: Number): string {
  return size == null ? UNKNOWN : inUnit(size, unitFor(size));
}

function unitFor(size: number): number {
  let unit = 0;
  while (unit < BYTES.length - 1 && Math.abs(Number(oneDecimal(size / 1024 ** unit))) >= 1024) {
    unit += 1;
  }
  return unit;
}

function inUnit(size: number, unit: number): string {
  const shown = unit ? oneDecimal(size / 1024 ** unit) : String(Math.round(size));
  return `${shown}${SPACE}${BYTES[unit]}`;
}

const oneDecimal = (value: number): string => String(Math.round(value * 10) / 10);

export function bytesPerSecond(rate: Number): string {
  if (rate == null) {
    return UNKNOWN;
  }
  return `${rate > 0 ? "+" : ""}${bytes(rate)}/s`;
}

export function count(value: Number): string {
  return value == null ? UNKNOWN : wholes.format(value);
}

export function share(value: Number, digits = 1): string {
  return value == null ? UNKNOWN : `${(value * 100).toFixed(digits)}${SPACE}%`;
}

const DURATIONS: readonly [string, number][] = [
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
];

/** The two largest units from a minute up: "1 h 30 min", "12 s", "0.4 s". */
export function duration(seconds: Number): string {
  if (seconds == null) {
    return UNKNOWN;
  }
  if (seconds < 60) {
    const shown = seconds < 10 && seconds % 1 ? seconds.toFixed(1) : String(Math.round(seconds));
    return `${shown}${SPACE}s`;
  }
  const index = DURATIONS.findIndex(([, size]) => seconds >= size);
  const [large, largeSize] = DURATIONS[index] ?? ["s", 1];
  const [small, smallSize] = DURATIONS[index + 1] ?? ["s", 1];
  const whole = Math.floor(seconds / largeSize);
  const rest = Math.floor((seconds % largeSize) / smallSize);
  return rest ? `${whole}${SPACE}${large} ${rest}${SPACE}${small}` : `${whole}${SPACE}${large}`;
}

/** Seconds and minutes ago, roughly: what a glance needs. */
export function ago(seconds: number): string {
  return seconds < 1.5 ? "just now" : `${duration(Math.round(seconds))} ago`;
}

/** How far the interval of an estimate reaches to its wider side; 0 where it is exact, null where it is not known. */
export function reach(estimate: Interval): number | null {
  if (estimate.low == null || estimate.high == null) {
    return null;
  }
  return Math.max(estimate.high - estimate.value, estimate.value - estimate.low);
}

export type Kind = "bytes" | "count" | "duration";

/** An estimate in one unit: its value, its error ("" where it is exact), and the unit ("" for a count). */
export function estimate(one: Interval, kind: Kind): { value: string; error: string; unit: string } {
  const most = one.value === 0 && one.high ? one.high : one.value;
  const [unit, size] = unitOf(most, kind);
  const format = (number: number) => (unit ? oneDecimal(number / size) : wholes.format(number));
  if (most !== one.value) {
    return { value: `≤${format(most)}`, error: "", unit }; // none was seen, some may be there
  }
  const far = reach(one);
  const value = unit === "B" ? String(Math.round(one.value)) : format(one.value);
  const shown = far === null ? "±?" : far === 0 ? "" : format(far) === "0" ? "±<0.1" : `±${format(far)}`;
  return { value, error: shown, unit };
}

function unitOf(value: number, kind: Kind): [string, number] {
  if (kind === "count") {
    return ["", 1];
  }
  if (kind === "bytes") {
    const unit = unitFor(value);
    return [BYTES[unit] ?? "B", 1024 ** unit];
  }
  return [...(DURATIONS.find(([, size]) => value >= size) ?? (["s", 1] as const))];
}

/** The same in one text. */
export function about(one: Interval | null, kind: Kind): string {
  if (!one) {
    return UNKNOWN;
  }
  const { value, error, unit } = estimate(one, kind);
  return [value, error, unit].filter(Boolean).join(SPACE);
}

const FORMATS: Record<Kind, (value: Number) => string> = { bytes, count, duration };

export function bounds(one: Interval, kind: Kind): string {
  const far = reach(one);
  if (far == null) {
    return "an estimate whose error is not known";
  }
  if (far === 0) {
    return "exact";
  }
  const format = FORMATS[kind];
  return `between ${format(one.low)} and ${format(one.high)}, at 95 % confidence`;
}

export function time(at: number): string {
  return clock.format(at * 1000);
}

/** A time of day, with its date where that is not today's. */
export function moment(at: number, nowS: number): string {
  const when = at * 1000;
  const same = day.format(when) === day.format(nowS * 1000);
  return same && Math.abs(nowS - at) < 86_400 ? time(at) : `${day.format(when)} ${minutes.format(when)}`;
}

export function full(at: number): string {
  return `${year.format(at * 1000)}, ${time(at)}`;
}

export function iso(at: number): string {
  return new Date(at * 1000).toISOString();
}

export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}
