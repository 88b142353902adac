/** The table of namespaces, sorted as one likes, and what stands beside them in memory. */

import type { Interval, LibraryNamespace, Namespace, State } from "../api";
import { find, h, replace, whenChanged, write } from "../dom";
import { ago, bounds, bytes, count, duration, estimate, type Kind, share, UNKNOWN } from "../format";
import { icon } from "../icons";
import { restOf, shades, wholeOf } from "./tank";

interface Row extends Namespace {
  hits: LibraryNamespace | null;
  shade: string;
}

interface Drawn {
  rows: Row[];
  used: number | null;
  scale: number;
  library: boolean;
  outside: { keys: Interval | null; bytes: Interval | null };
  held: Record<string, number>;
  rest: number | null;
}

interface Column {
  name: string;
  key: (row: Row) => number | string | null;
  cell: (row: Row, drawn: Drawn) => Node | string;
  numeric: boolean;
  library?: true;
}

const COLUMNS: Column[] = [
  { name: "Namespace", key: (row) => row.name, cell: nameCell, numeric: false },
  { name: "Memory", key: (row) => row.bytes?.value ?? null, cell: memoryCell, numeric: true },
  {
    name: "Share",
    key: (row) => row.bytes?.value ?? null,
    cell: (row, { used }) => shareOf(row.bytes, used),
    numeric: true,
  },
  {
    name: "Keys",
    key: (row) => row.keys?.value ?? null,
    cell: (row) => about(row.keys, "count"),
    numeric: true,
  },
  {
    name: "Without TTL",
    key: (row) => row.no_ttl?.value ?? null,
    cell: (row) => about(row.no_ttl, "count"),
    numeric: true,
  },
  {
    name: "TTL policy",
    key: (row) => row.ttl_s,
    cell: (row) => (row.ttl_s === null ? "none" : duration(row.ttl_s)),
    numeric: true,
  },
  {
    name: "TTL left",
    key: (row) => row.ttl_p50_s?.value ?? null,
    cell: (row) => about(row.ttl_p50_s, "duration"),
    numeric: true,
  },
  {
    name: "Idle",
    key: (row) => row.idle_p50_s?.value ?? null,
    cell: (row) => about(row.idle_p50_s, "duration"),
    numeric: true,
  },
  { name: "Hits", key: (row) => row.hits?.hit_ratio ?? null, cell: hitsCell, numeric: true, library: true },
  {
    name: "Cleanup",
    key: (row) => (row.protected ? Infinity : (row.priority ?? 1e9)),
    cell: ruleCell,
    numeric: false,
  },
];

let sorted = 1;
let descending = true;
let drawn: Drawn | null = null;

const redraw = whenChanged((next: Drawn) => {
  drawn = next;
  drawHead();
  drawBody();
});

export function showNamespaces(state: State): void {
  const shade = shades(state.namespaces);
  const reported = new Map(state.library?.namespaces.map((one) => [one.name, one]));
  const rows = state.namespaces.map((ns) => ({
    ...ns,
    hits: reported.get(ns.name) ?? null,
    shade: shade.get(ns.name) ?? "",
  }));
  redraw({
    rows,
    used: wholeOf(state),
    scale: Math.max(
      1,
      ...rows.map((row) => Math.max(row.bytes?.high ?? row.bytes?.value ?? 0, row.budget_bytes ?? 0)),
    ),
    library: state.library !== null,
    outside: { keys: state.unregistered_keys, bytes: state.unregistered_bytes },
    held: state.held_bytes ?? {},
    rest: restOf(state),
  });
  write(find("library-note"), libraryNote(state));
}

function libraryNote({ library, now }: State): string {
  return library
    ? `Hits as reported by ${library.processes} processes that use the cache library, ${ago(now - library.at)}.`
    : "Hit ratios appear here where programs use Spillgate's cache library.";
}

function shown(): Column[] {
  return COLUMNS.filter((column) => !column.library || drawn?.library);
}

function drawHead(): void {
  const head = find("namespaces").querySelector("thead");
  const focused = document.activeElement?.closest("th")?.textContent;
  const made = shown().map((column) => {
    const on = COLUMNS[sorted] === column;
    const order = on ? (descending ? "descending" : "ascending") : "none";
    return h(
      "th",
      { scope: "col", "aria-sort": order, class: column.numeric ? "number" : "" },
      h("button", { type: "button", onclick: () => sort(COLUMNS.indexOf(column)) }, column.name),
    );
  });
  if (head) {
    replace(head, h("tr", {}, made));
    made
      .find((cell) => cell.textContent === focused)
      ?.querySelector("button")
      ?.focus();
  }
}

function sort(index: number): void {
  descending = sorted === index ? !descending : (COLUMNS[index]?.numeric ?? false);
  sorted = index;
  drawHead();
  drawBody();
}

function drawBody(): void {
  const now = drawn;
  const body = find("namespaces").querySelector("tbody");
  if (!now || !body) {
    return;
  }
  const key = COLUMNS[sorted]?.key ?? (() => null);
  const rows = [...now.rows].sort((a, b) => compare(key(a), key(b)));
  replace(
    body,
    rows.map((row) =>
      h(
        "tr",
        {},
        shown().map((column, index) =>
          index
            ? h("td", { class: column.numeric ? "number" : "" }, column.cell(row, now))
            : h("th", { scope: "row" }, column.cell(row, now)),
        ),
      ),
    ),
    others(now),
  );
}

/** What is not known comes last, whichever way. */
function compare(a: number | string | null, b: number | string | null): number {
  if (a === null || b === null) {
    return a === b ? 0 : a === null ? 1 : -1;
  }
  const order = typeof a === "string" ? a.localeCompare(String(b)) : a - Number(b);
  return descending ? -order : order;
}

/** Rows for what is no namespace. */
function others({ outside, held, rest, used }: Drawn): Node[] {
  const row = (
    shade: string,
    name: string,
    note: string,
    size: Node | string,
    part: Node | string,
    keys: Node | string,
  ) =>
    h(
      "tr",
      { class: "other" },
      h("th", { scope: "row" }, h("span", { class: "name" }, swatch(shade), name), h("small", {}, note)),
      h("td", { class: "number" }, size),
      h("td", { class: "number" }, part),
      h("td", { class: "number" }, keys),
      h("td", { colspan: shown().length - 4 }),
    );
  const exact = (value: number) => ({ value, low: value, high: value });
  return [
    row(
      "outside",
      "outside any namespace",
      "never touched",
      about(outside.bytes, "bytes"),
      shareOf(outside.bytes, used),
      about(outside.keys, "count"),
    ),
    ...Object.entries(held).map(([name, size]) =>
      row("held", name, "not keys", bytes(size), shareOf(exact(size), used), ""),
    ),
    rest === null
      ? null
      : row("rest", "the server itself", "what no key explains", bytes(rest), shareOf(exact(rest), used), ""),
  ].filter((one) => one !== null);
}

function swatch(shade: string): HTMLElement {
  return h("span", { class: `swatch ${shade}`, "aria-hidden": "true" });
}

function nameCell(row: Row): Node {
  return h(
    "div",
    { class: "who" },
    h(
      "span",
      { class: "name" },
      swatch(row.shade),
      row.name,
      row.protected &&
        h(
          "span",
          { class: "locked", title: "protected: never cleaned up" },
          icon("lock"),
          h("span", { class: "unseen" }, "protected"),
        ),
    ),
    h(
      "small",
      { title: row.patterns.join("\n") },
      row.patterns.length > 1
        ? `${row.prefix}… and ${row.patterns.length - 1} more`
        : (row.patterns[0] ?? row.prefix),
    ),
  );
}

function memoryCell(row: Row, { scale }: Drawn): Node {
  const at = (size: number) => `${Math.min(100, (size / scale) * 100).toFixed(2)}%`;
  const { bytes: size, budget_bytes: budget } = row;
  const over = size !== null && budget !== null && size.value > budget;
  return h(
    "div",
    { class: "memory" },
    about(size, "bytes"),
    h(
      "span",
      { class: "meter", "aria-hidden": "true" },
      size && h("span", { class: `fill ${row.shade}`, "style.width": at(size.value) }),
      size?.low != null &&
        size.high != null &&
        size.high > size.low &&
        h("span", {
          class: "whisker",
          "style.left": at(size.low),
          "style.right": `calc(100% - ${at(size.high)})`,
        }),
      budget !== null && h("span", { class: "budget", "style.left": at(budget) }),
    ),
    budget !== null &&
      h(
        "small",
        { class: over ? "over" : "" },
        over && icon("warning"),
        `${over ? "over its" : "of a"} budget of ${bytes(budget)}`,
      ),
  );
}

/** An estimate with its error; the whole interval is in its title. */
function about(one: Interval | null, kind: Kind): Node {
  if (!one) {
    return h("span", { class: "isunknown" }, UNKNOWN);
  }
  const { value, error, unit } = estimate(one, kind);
  const title = bounds(one, kind);
  return h(
    "span",
    { class: "value", title },
    value,
    error && h("small", {}, error),
    unit && h("span", {}, unit),
  );
}

function shareOf(size: Interval | null, used: number | null): Node | string {
  if (!size || !used) {
    return h("span", { class: "isunknown" }, UNKNOWN);
  }
  const none = size.value === 0 && size.high;
  return none ? `≤${share(Math.min(1, none / used))}` : share(size.value / used);
}

function hitsCell({ hits }: Row): Node {
  if (hits?.hit_ratio == null) {
    return h("span", { class: "isunknown" }, hits ? "no reads" : "not reported");
  }
  const cost = hits.compute_ms === null ? "" : `, ${hits.compute_ms} ms to compute`;
  return h(
    "span",
    { title: `${count(hits.hits)} of ${count(hits.reads)} reads, ${count(hits.writes)} writes${cost}` },
    share(hits.hit_ratio),
  );
}

const RULES: Record<string, string> = {
  clear: "deleted until the target is reached",
  trim: "the longest idle are deleted first",
  expired: "only what is past its TTL, or idle without one",
  shorten: "TTLs are shortened, then trimmed",
  never: "never touched",
};

function ruleCell(row: Row): Node {
  const order = row.protected ? "" : `${row.priority ?? UNKNOWN}. `;
  return h("span", { title: RULES[row.cleanup] ?? "" }, h("b", {}, order), row.cleanup);
}
