/** Counters: what the server did by itself, and what the governor did. */

import type { State } from "../api";
import { find, h, replace, whenChanged } from "../dom";
import { bytes, count, UNKNOWN } from "../format";
import { icon } from "../icons";

interface Counter {
  name: string;
  text: string;
  of: string;
  bad: boolean;
}

const draw = whenChanged((counters: Counter[]) => {
  const made = counters.map(({ name, text, of, bad }) =>
    h(
      "div",
      { class: bad ? "bad" : text === UNKNOWN ? "isunknown" : "" },
      h("dt", {}, name),
      h("dd", {}, bad && icon("emergency"), h("b", {}, text), h("small", {}, of)),
    ),
  );
  replace(find("totals"), made);
});

export function showTotals({ server, totals, keys, dry_run }: State): void {
  const did = dry_run ? "in a dry run" : "by the governor";
  const counter = (name: string, text: string, of: string, bad = false) => ({ name, text, of, bad });
  draw([
    counter("Keys", count(keys), "in the database"),
    counter(
      "Writes refused",
      count(server.refused_writes),
      "by the server",
      (server.refused_writes ?? 0) > 0,
    ),
    counter("Keys evicted", count(server.evicted_keys), "by the server", (server.evicted_keys ?? 0) > 0),
    counter("Memory freed", bytes(totals.freed_bytes), did),
    counter("Keys deleted", count(totals.deleted), did),
    counter("Expired keys dropped", count(totals.expired), "while the governor looked"),
    counter("TTLs shortened or given", count(totals.retimed), did),
    counter("Steps taken", count(totals.actions), "since it started"),
  ]);
}
