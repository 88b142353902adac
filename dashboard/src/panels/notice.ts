/** Whether what the page shows is what is: said in words, at the top. */

import type { State } from "../api";
import { find, write } from "../dom";
import { duration } from "../format";
import type { Link } from "../live";

interface Standing {
  kind: string;
  short: string;
  notice: string | null;
}

const OLD_S = 10; // beyond the look that was due

export function showStanding(link: Link, state: State | null, ageS: number | null): Standing {
  const standing = standingOf(link, state, ageS);
  const badge = find("link");
  if (badge.dataset.kind !== standing.kind) {
    badge.dataset.kind = standing.kind;
  }
  write(find("link-text"), standing.short);
  const notice = find("notice");
  notice.hidden = standing.notice === null;
  write(notice, standing.notice ?? "");
  document.body.classList.toggle("stale", standing.kind === "lost" || standing.kind === "old");
  return standing;
}

function standingOf(link: Link, state: State | null, ageS: number | null): Standing {
  if (link.kind === "lost") {
    const since = duration(Math.round((performance.now() - link.sinceMs) / 1000));
    const shown = state ? ` What you see is ${old(ageS)} old.` : "";
    return {
      kind: "lost",
      short: "disconnected",
      notice: `No connection to Spillgate for ${since}: trying again every few seconds.${shown}`,
    };
  }
  if (!state) {
    return { kind: "connecting", short: "connecting", notice: null };
  }
  if (state.status === "unreachable") {
    const last = ageS === null ? "It has not been read yet." : `What you see is ${old(ageS)} old.`;
    const stopped = state.error === "the governor has stopped";
    const what = stopped
      ? "The governor has stopped: nobody looks after this server."
      : `The server cannot be read: ${state.error?.replace(/\.$/, "")}.`;
    return {
      kind: "old",
      short: stopped ? "governor stopped" : "server unreachable",
      notice: `${what} ${last}`,
    };
  }
  if (ageS !== null && ageS > (state.next_look_s ?? 0) + OLD_S) {
    return {
      kind: "old",
      short: `data ${old(ageS)} old`,
      notice: `This is ${old(ageS)} old: a look at the server was due ${old(ageS - (state.next_look_s ?? 0))} ago.`,
    };
  }
  if (link.kind === "asking") {
    return {
      kind: "asking",
      short: "every few seconds",
      notice:
        "Live updates cannot be had (at most 64 pages may listen): the state is asked for every few seconds instead.",
    };
  }
  return link.kind === "live"
    ? { kind: "live", short: "live", notice: null }
    : { kind: "connecting", short: "connecting", notice: null };
}

const old = (ageS: number | null): string => duration(ageS === null ? null : Math.round(ageS));
