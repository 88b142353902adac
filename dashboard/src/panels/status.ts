/** The header and the figures: where it stands, right now. */

import type { State } from "../api";
import { find, replace, write } from "../dom";
import { ago, bytes, bytesPerSecond, duration, share, UNKNOWN } from "../format";
import { icon } from "../icons";

const NAMES: Record<string, string> = { healthy: "normal" };
const OVERDUE_S = -2;

export function showServer({ server, url, version, history }: State): void {
  write(find("server-url"), url);
  write(
    find("server-product"),
    server.product ? `${capital(server.product)} ${server.version ?? ""}`.trim() : UNKNOWN,
  );
  write(find("server-eviction"), server.eviction_policy ?? UNKNOWN);
  write(find("server-user"), server.user ?? UNKNOWN);
  write(find("version"), `Spillgate ${version}`);
  const kept = history.file ? "History is kept in a file" : "History is in memory: --history FILE keeps it";
  write(find("history-note"), history.error ? `History cannot be written: ${history.error}` : kept);
}

/** The level's name and why. */
export function showLevel(state: State): void {
  const status = statusOf(state);
  const level = find("level");
  if (level.dataset.level !== status) {
    level.dataset.level = status;
    replace(find("level-icon"), icon(status));
  }
  write(find("level-name"), status);
  write(find("level-reason"), reasonOf(state));
  find("level-mode").hidden = !state.dry_run;
}

/** What a tab among many says: how it stands, or that this is not known any more. */
export function showTitle(state: State, doubt: string | null): void {
  const status = statusOf(state);
  const known = state.pressure === null ? status : `${share(state.pressure, 0)} ${status}`;
  document.title = `${doubt ?? known} · Spillgate`;
}

function statusOf(state: State): string {
  return NAMES[state.status] ?? state.status;
}

function reasonOf(state: State): string {
  if (state.status === "unreachable") {
    const last = state.level === "unknown" ? "" : ` The level was ${state.level} when it was last read.`;
    return `${sentence(state.error ?? "The server cannot be read")}${last}`;
  }
  return sentence(state.reason ?? "The reason is not known");
}

// An address stays as it is.
const capital = (text: string): string =>
  /^\S+:\/\//.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1);

function sentence(text: string): string {
  const begun = capital(text);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}

export function showFigures(state: State): void {
  put(
    "used",
    bytes(state.used_bytes),
    `${share(state.pressure)} of the limit of ${bytes(state.limit_bytes)}`,
  );
  const over = (state.available_bytes ?? 0) < 0;
  put(
    "free",
    bytes(state.available_bytes),
    `${over ? "over the" : "ceiling"}${over ? " ceiling of" : ""} ${bytes(state.ceiling_bytes)}`,
  );
  put("forecast", share(state.forecast), "by the next look");
  put("rate", bytesPerSecond(state.fill_bytes_s), trend(state.fill_bytes_s));
  const still = state.time_to_limit_s === null && state.fill_bytes_s !== null;
  put(
    "left",
    still ? "none in sight" : duration(state.time_to_limit_s),
    still ? "memory does not grow" : "at this rate",
  );
}

function trend(rate: number | null): string {
  if (rate === null) {
    return "takes two looks";
  }
  return rate > 0 ? "memory grows" : "memory does not grow";
}

/** What changes with every second that passes. */
export function showTime(state: State, ageS: number | null): void {
  const left = state.next_look_s === null || ageS === null ? null : state.next_look_s - ageS;
  put("look", nextLook(left), lastLook(ageS));
}

function nextLook(left: number | null): string {
  if (left === null) {
    return UNKNOWN;
  }
  return left < OVERDUE_S ? "overdue" : left < 1 ? "now" : `in ${duration(Math.round(left))}`;
}

function lastLook(ageS: number | null): string {
  return ageS === null ? "not read yet" : `read ${ago(ageS)}`;
}

function put(name: string, text: string, of: string): void {
  const figure = find(`f-${name}`);
  write(figure, text);
  figure.classList.toggle("isunknown", text === UNKNOWN);
  write(find(`f-${name}-of`), of);
}
