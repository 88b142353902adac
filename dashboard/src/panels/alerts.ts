/** Alerts that stand, and how those fare who are told. */

import { type ActiveAlert, type Alerts, fetchAlerts, type State } from "../api";
import { find, h, replace, whenChanged, write } from "../dom";
import { ago, full, iso, moment } from "../format";
import { icon } from "../icons";

const SHOWN = 8;
const EVERY_MS = 30_000;

export class AlertsPanel {
  private known: Alerts | null = null;
  private failed = false;
  private state: State | null = null;
  private readonly changed = whenChanged((_: unknown) => void this.fetch());
  private readonly draw = whenChanged((_: unknown) => this.redraw());

  constructor(private readonly now: () => number) {
    setInterval(() => void this.fetch(), EVERY_MS);
  }

  show(state: State): void {
    this.state = state;
    this.changed(state.alerts);
    this.update();
  }

  async fetch(): Promise<void> {
    if (!this.state?.alerts || document.hidden) {
      return;
    }
    try {
      this.known = await fetchAlerts();
      this.failed = false;
    } catch {
      this.failed = true;
    }
    this.update();
  }

  private update(): void {
    write(find("alerts-note"), this.note());
    this.draw([this.state?.alerts, this.known]);
  }

  private note(): string {
    const alerts = this.state?.alerts;
    if (!alerts) {
      return "Not watched here";
    }
    const told =
      alerts.receivers === 0
        ? "nobody is told"
        : `${alerts.receivers} ${alerts.receivers === 1 ? "receiver" : "receivers"}`;
    const failing = alerts.failing.length ? `, failing: ${alerts.failing.join(", ")}` : "";
    return `${alerts.active.length} active, ${told}${failing}${this.failed ? ", deliveries could not be fetched" : ""}`;
  }

  private redraw(): void {
    const alerts = this.state?.alerts;
    const active = alerts?.active ?? [];
    const receivers = this.known?.receivers ?? [];
    const deliveries = this.known?.deliveries ?? [];
    replace(
      find("alerts"),
      active.length
        ? h(
            "ul",
            { class: "findings" },
            active.map((one) => this.alert(one)),
          )
        : h("p", { class: "empty" }, alerts ? "No alert stands." : "Alerts are for spillgate run."),
      alerts?.receivers === 0 &&
        h("p", { class: "note" }, "To be told: [[webhook]] or [alerts] in the policy file."),
      receivers.length > 0 &&
        h("ul", { class: "receivers", "aria-label": "Receivers" }, receivers.map(receiver)),
      deliveries.length > 0 &&
        h(
          "details",
          { class: "more" },
          h("summary", {}, "Last deliveries"),
          h(
            "ol",
            { class: "deliveries" },
            deliveries.slice(0, SHOWN).map((one) => this.delivery(one)),
          ),
        ),
    );
  }

  private alert(one: ActiveAlert): HTMLElement {
    return h(
      "li",
      {},
      h(
        "div",
        { class: "title" },
        h("span", { class: "tag", "data-level": one.severity }, icon(one.severity), one.severity),
        h("h3", {}, one.title),
      ),
      h("p", {}, one.message),
      h(
        "p",
        { class: "where" },
        "since ",
        h("time", { datetime: iso(one.since), title: full(one.since) }, moment(one.since, this.now())),
      ),
    );
  }

  private delivery(one: Alerts["deliveries"][number]): HTMLElement {
    const tries = one.attempts > 1 ? ` after ${one.attempts} attempts` : "";
    return h(
      "li",
      { class: one.status === "delivered" ? "" : "failed" },
      h("time", { datetime: iso(one.at), title: full(one.at) }, ago(Math.max(0, this.now() - one.at))),
      h(
        "span",
        {},
        h("b", {}, one.status),
        `${tries}: ${one.key}, ${one.kind}, to ${one.receiver}${one.error ? ` (${one.error})` : ""}`,
      ),
    );
  }
}

function receiver(one: Alerts["receivers"][number]): HTMLElement {
  return h(
    "li",
    {},
    h(
      "span",
      { class: "tag", "data-level": one.failing ? "emergency" : "normal" },
      icon(one.failing ? "emergency" : "normal"),
      one.failing ? "failing" : "fine",
    ),
    h("b", {}, one.name),
    h("small", {}, one.kind),
    one.last_error && h("p", {}, one.last_error),
  );
}
