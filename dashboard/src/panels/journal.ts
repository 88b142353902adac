/** What happened and why: the newest first, new ones as they come, older ones on demand. */

import { type Entry, fetchJournal, LEVELS } from "../api";
import { find, h, replace, write } from "../dom";
import { bytes, count, duration, full, iso, moment, plural } from "../format";
import { icon } from "../icons";

const EVENTS = ["level", "plan", "action", "alarm", "error", "server", "policy", "started", "stopped"];
const GRAVE = new Set(["alarm", "error"]);
const PAGE = 50;
const MOST = 1000; // kept on the page
const TYPING_MS = 250;

export class JournalPanel {
  private entries: Entry[] = [];
  private waiting: Entry[] | null = null;
  private more = false;
  private fetching = 0;
  private readonly list = find("journal");
  private readonly text = find<HTMLInputElement>("journal-text");
  private readonly events = chips("journal-events", EVENTS, () => void this.fetch());
  private readonly levels = chips("journal-levels", [...LEVELS], () => void this.fetch());

  constructor(private readonly now: () => number) {
    let timer = 0;
    this.text.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => void this.fetch(), TYPING_MS);
    });
    find("journal-filter").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.fetch();
    });
    find("journal-more").addEventListener("click", () => void this.fetchMore());
  }

  /** Fetch everything anew; entries that come meanwhile are added to it. */
  async fetch(): Promise<void> {
    this.waiting = [];
    this.fetching += 1;
    const number = this.fetching;
    try {
      const journal = await fetchJournal(this.query());
      if (number !== this.fetching) {
        return; // another filter was set meanwhile
      }
      const newest = journal.entries[0]?.number ?? 0;
      this.entries = [
        ...(this.waiting ?? []).filter((one) => one.number > newest && this.wants(one)).reverse(),
        ...journal.entries,
      ];
      this.waiting = null;
      this.more = journal.more;
      replace(
        this.list,
        this.entries.map((entry) => this.row(entry)),
      );
      this.settle();
    } catch {
      if (number === this.fetching) {
        this.waiting = null;
        write(find("journal-note"), "could not be fetched");
      }
    }
  }

  /** One more, as it happens. */
  take(entry: Entry): void {
    this.waiting?.push(entry);
    if (entry.number <= (this.entries[0]?.number ?? 0) || !this.wants(entry)) {
      return;
    }
    this.entries.unshift(entry);
    const row = this.row(entry);
    row.classList.add("new");
    this.list.prepend(row);
    while (this.entries.length > MOST) {
      this.entries.pop();
      this.list.lastElementChild?.remove();
      this.more = true;
    }
    this.settle();
  }

  private async fetchMore(): Promise<void> {
    const oldest = this.entries.at(-1)?.number;
    const query = this.query();
    if (oldest !== undefined) {
      query.set("before", String(oldest));
    }
    const number = this.fetching;
    try {
      const journal = await fetchJournal(query);
      if (number !== this.fetching) {
        return;
      }
      const rows = journal.entries.map((entry) => this.row(entry));
      this.entries.push(...journal.entries);
      this.list.append(...rows);
      this.more = journal.more;
      this.settle();
      rows[0]?.focus();
    } catch {
      write(find("journal-note"), "could not be fetched");
    }
  }

  private query(): URLSearchParams {
    const query = new URLSearchParams({ limit: String(PAGE) });
    const chosen: [string, string][] = [
      ["event", [...this.events].join(",")],
      ["level", [...this.levels].join(",")],
      ["text", this.text.value.trim()],
    ];
    for (const [name, value] of chosen) {
      if (value) {
        query.set(name, value);
      }
    }
    return query;
  }

  /** The same filter as the server's: all the words, wherever they stand. */
  private wants(entry: Entry): boolean {
    const message = entry.message.toLowerCase();
    return (
      (!this.events.size || this.events.has(entry.event)) &&
      (!this.levels.size || this.levels.has(entry.level)) &&
      this.text.value
        .toLowerCase()
        .split(/\s+/)
        .every((word) => message.includes(word))
    );
  }

  private settle(): void {
    const filtered = this.events.size > 0 || this.levels.size > 0 || this.text.value.trim() !== "";
    const nothing = find("journal-empty");
    nothing.hidden = this.entries.length > 0;
    write(nothing, filtered ? "No entry is like that." : "Nothing has happened yet.");
    find("journal-more").hidden = !this.more;
    write(
      find("journal-note"),
      `${plural(this.entries.length, "entry", "entries")}${filtered ? ", filtered" : ""}${this.more ? ", there are older ones" : ""}`,
    );
  }

  private row(entry: Entry): HTMLLIElement {
    const details = Object.entries(entry.details).filter(([, value]) => value !== null && value !== "");
    return h(
      "li",
      {
        class: GRAVE.has(entry.event) ? "grave" : "",
        "data-level": entry.level,
        "data-event": entry.event,
        "data-number": entry.number,
        tabindex: -1,
      },
      h("time", { datetime: iso(entry.at), title: full(entry.at) }, moment(entry.at, this.now())),
      h(
        "span",
        { class: "tag", "data-level": entry.level, title: `level ${entry.level}` },
        icon(entry.level),
        h("span", { class: "unseen" }, `level ${entry.level}, `),
        entry.event,
      ),
      h(
        "div",
        { class: "what" },
        h("p", {}, entry.message),
        details.length > 0 &&
          h(
            "details",
            {},
            h("summary", {}, "Details", h("span", { class: "unseen" }, ` of entry ${entry.number}`)),
            h(
              "dl",
              { class: "pairs" },
              details.map(([name, value]) =>
                h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, shown(name, value))),
              ),
            ),
          ),
      ),
    );
  }
}

/** A value of an entry's details, in the unit that its name tells. */
export function shown(name: string, value: unknown): string {
  if (typeof value === "number") {
    if (name.endsWith("bytes")) {
      return bytes(value);
    }
    return name.endsWith("_s") || name === "seconds"
      ? duration(value)
      : Number.isInteger(value)
        ? count(value)
        : String(value);
  }
  if (Array.isArray(value)) {
    return value.map((one) => shown("", one)).join(", ") || "none";
  }
  if (value && typeof value === "object") {
    return (
      Object.entries(value)
        .map(([key, one]) => `${key} ${shown(name === "deleted_by_namespace" ? "" : key, one)}`)
        .join(", ") || "none"
    );
  }
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

/** Words to choose some of; none chosen means all. */
function chips(id: string, names: readonly string[], changed: () => void): Set<string> {
  const chosen = new Set<string>();
  const toggle = (event: Event) => {
    const { value, checked } = event.target as HTMLInputElement;
    if (checked) {
      chosen.add(value);
    } else {
      chosen.delete(value);
    }
    changed();
  };
  find(id).append(
    ...names.map((name) =>
      h("label", {}, h("input", { type: "checkbox", value: name, onchange: toggle }), h("span", {}, name)),
    ),
  );
  return chosen;
}
