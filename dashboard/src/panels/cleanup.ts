/** A cleanup by hand: what would go is shown first, and the token is asked for. It is kept in memory alone. */

import { type CleanupReport, type Namespace, postCleanup, type State } from "../api";
import { type Child, find, fragment, h, replace } from "../dom";
import { bytes, plural } from "../format";
import { icon } from "../icons";
import { confirmation, inWords, outcome } from "./cleanup-words";

const LEVELS: Record<string, string> = {
  preventive:
    "Loses nothing: drops what has expired, caps TTLs at the policy's, trims what is over its budget.",
  emergency: "By priority until there is room again. Protected namespaces stay.",
  critical: "The same, and TTLs are shortened as far as the policy lets them be.",
};
const COMMAND = "spillgate cleanup --level emergency --dry-run";

type Phase = "form" | "preview" | "done";

export class Cleanup {
  private readonly dialog = find<HTMLDialogElement>("cleanup");
  private state: State | null = null;
  private phase: Phase = "form";
  private level = "emergency";
  private readonly names = new Set<string>();
  private token = "";
  private report: CleanupReport | null = null;
  private problem: string | null = null;
  private busy: AbortController | null = null;

  constructor() {
    find("cleanup-open").addEventListener("click", () => this.open());
    this.dialog.addEventListener("close", () => this.closed());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
  }

  know(state: State): void {
    const before = this.state?.cleanup;
    this.state = state;
    if (this.dialog.open && JSON.stringify(before) !== JSON.stringify(state.cleanup)) {
      this.draw();
    }
  }

  private open(): void {
    this.phase = "form";
    this.report = this.problem = null;
    this.draw();
    this.dialog.showModal();
    this.focus();
  }

  /** A preview that nobody waits for any more is given up; a cleanup goes on, and the journal tells of it. */
  private closed(): void {
    this.busy?.abort();
    this.busy = null;
  }

  private draw(): void {
    const content = this.state?.cleanup.enabled
      ? { form: () => this.form(), preview: () => this.preview(), done: () => this.done() }[this.phase]()
      : this.off();
    replace(
      this.dialog,
      h(
        "div",
        { class: "inside" },
        h(
          "div",
          { class: "head" },
          h("h2", { id: "cleanup-title", tabindex: -1 }, this.title()),
          h(
            "button",
            {
              type: "button",
              class: "button quiet close",
              "aria-label": "Close",
              onclick: () => this.dialog.close(),
            },
            "✕",
          ),
        ),
        content,
      ),
    );
  }

  private title(): string {
    return {
      form: "Clean up by hand",
      preview: "What would go",
      done: this.report?.error ? "Not finished" : "Done",
    }[this.phase];
  }

  private focus(): void {
    const first = this.phase === "form" ? this.dialog.querySelector<HTMLElement>("input:checked") : null;
    (first ?? find("cleanup-title")).focus();
  }

  private go(phase: Phase): void {
    this.phase = phase;
    this.draw();
    this.focus();
  }

  private off(): Node {
    return fragment(
      h(
        "p",
        {},
        this.state
          ? "Cleaning up from this page is off, because no token is set."
          : "Nothing is known of the server yet.",
      ),
      h(
        "p",
        {},
        "To turn it on, start Spillgate with ",
        h("code", {}, "SPILLGATE_TOKEN"),
        " set to a secret of your own; this dialog then asks for it.",
      ),
      h("p", {}, "On the command line it always works:"),
      h("pre", { tabindex: 0, role: "region", "aria-label": "Command" }, h("code", {}, COMMAND)),
    );
  }

  private form(): Node {
    const named = this.level !== "preventive";
    const offered = this.state?.namespaces.filter((ns) => !ns.protected) ?? [];
    const kept = this.state?.namespaces.filter((ns) => ns.protected).map((ns) => ns.name) ?? [];
    return h(
      "form",
      { onsubmit: (event: Event) => this.submit(event, true) },
      h(
        "fieldset",
        { class: "choices" },
        h("legend", {}, "Level"),
        this.state?.cleanup.levels.map((level) => this.levelChoice(level)),
      ),
      h(
        "fieldset",
        { class: "choices names", disabled: !named },
        h("legend", {}, named ? "Only these namespaces" : "All namespaces at once"),
        named && h("p", { class: "note" }, "None chosen: all, by priority, until the target is reached."),
        offered.map((ns) => this.nameChoice(ns)),
        offered.length === 0 && h("p", { class: "note" }, "No namespace may be cleaned up."),
        kept.length > 0 &&
          h(
            "p",
            { class: "note" },
            icon("lock"),
            ` Protected, so not offered: ${kept.join(", ")}, and keys outside any namespace.`,
          ),
      ),
      h("label", { class: "field" }, "Token", this.tokenField()),
      h(
        "p",
        { class: "note", id: "cleanup-token-note" },
        "The value of SPILLGATE_TOKEN. It is forgotten when the page is closed.",
      ),
      this.trouble(),
      this.actions(
        h(
          "button",
          { type: "submit", class: "button main", id: "cleanup-preview", disabled: this.busy !== null },
          this.busy ? "Looking at what would go …" : "Preview",
        ),
      ),
    );
  }

  private levelChoice(level: string): HTMLElement {
    const choose = () => {
      this.level = level;
      this.draw();
      this.focus();
    };
    return h(
      "label",
      {},
      h("input", {
        type: "radio",
        name: "cleanup-level",
        value: level,
        checked: level === this.level,
        onchange: choose,
      }),
      h("span", {}, h("b", {}, icon(level), level), h("small", {}, LEVELS[level] ?? "")),
    );
  }

  private nameChoice(ns: Namespace): HTMLElement {
    const toggle = (event: Event) => {
      if ((event.target as HTMLInputElement).checked) {
        this.names.add(ns.name);
      } else {
        this.names.delete(ns.name);
      }
    };
    return h(
      "label",
      {},
      h("input", {
        type: "checkbox",
        name: "cleanup-namespace",
        value: ns.name,
        checked: this.names.has(ns.name),
        onchange: toggle,
      }),
      h(
        "span",
        {},
        h("b", {}, ns.name),
        h(
          "small",
          {},
          `${ns.cleanup}, ${ns.keys ? plural(ns.keys.value, "key") : "unknown keys"}, ${bytes(ns.bytes?.value)}`,
        ),
      ),
    );
  }

  private tokenField(): HTMLInputElement {
    const typed = (event: Event) => {
      this.token = (event.target as HTMLInputElement).value;
    };
    const about = "cleanup-token-note";
    const field = h("input", {
      type: "password",
      id: "cleanup-token",
      autocomplete: "off",
      required: true,
      oninput: typed,
      "aria-describedby": about,
    });
    field.value = this.token; // as a property: it never stands in the document
    return field;
  }

  private preview(): Node {
    const report = this.report;
    if (!report) {
      return fragment();
    }
    const nothing = report.deleted === 0 && report.retimed === 0;
    const forbidden = this.state?.cleanup.dry_run_only;
    return fragment(
      outcome(report),
      forbidden &&
        h(
          "p",
          { class: "notice" },
          "The governor runs with --dry-run: this stays a preview, nothing is ever deleted.",
        ),
      this.trouble(),
      this.actions(
        h(
          "button",
          {
            type: "button",
            class: "button",
            id: "cleanup-back",
            disabled: this.busy !== null,
            onclick: () => this.back(),
          },
          "Back",
        ),
        !nothing &&
          !forbidden &&
          h(
            "button",
            {
              type: "button",
              class: "button danger",
              id: "cleanup-confirm",
              disabled: this.busy !== null,
              onclick: (event: Event) => this.submit(event, false),
            },
            this.busy ? "Cleaning up …" : confirmation(report),
          ),
      ),
    );
  }

  private back(): void {
    this.problem = null;
    this.go("form");
  }

  private done(): Node {
    return fragment(
      this.report && outcome(this.report),
      this.actions(
        h("button", { type: "button", class: "button main", onclick: () => this.dialog.close() }, "Close"),
      ),
    );
  }

  private trouble(): Child {
    return (
      this.problem !== null &&
      h("p", { class: "trouble", role: "alert" }, icon("emergency"), h("span", {}, this.problem))
    );
  }

  private actions(...buttons: Child[]): HTMLElement {
    return h("div", { class: "actions", "aria-busy": this.busy !== null ? "true" : null }, buttons);
  }

  private submit(event: Event, dryRun: boolean): void {
    event.preventDefault();
    if (!this.busy) {
      void this.ask(dryRun);
    }
  }

  private async ask(dryRun: boolean): Promise<void> {
    const asked = new AbortController();
    this.busy = asked;
    this.problem = null;
    this.draw();
    find("cleanup-title").focus();
    const request = {
      level: this.level,
      namespaces: this.level === "preventive" ? [] : this.chosen(),
      dry_run: dryRun,
    };
    try {
      const report = await postCleanup(request, this.token, asked.signal);
      this.report = report;
      this.end(asked, () => this.go(dryRun ? "preview" : "done"));
    } catch (error) {
      this.end(asked, () => {
        this.problem = inWords(error, dryRun);
        this.draw();
        if (this.phase === "form") {
          find("cleanup-token").focus();
        }
      });
    }
  }

  /** Go on, unless the dialog was closed meanwhile. */
  private end(asked: AbortController, next: () => void): void {
    if (this.busy === asked) {
      this.busy = null;
      next();
    }
  }

  private chosen(): string[] {
    const offered = new Set(this.state?.namespaces.filter((ns) => !ns.protected).map((ns) => ns.name));
    return [...this.names].filter((name) => offered.has(name));
  }
}
