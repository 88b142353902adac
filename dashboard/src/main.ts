/** The dashboard: one state, drawn by one panel each. */

import "./style/index.css";
import { fetchState, type State } from "./api";
import { find, write } from "./dom";
import { type Link, Live } from "./live";
import { AlertsPanel } from "./panels/alerts";
import { Chart } from "./panels/chart";
import { Cleanup } from "./panels/cleanup";
import { showFindings, showMissing } from "./panels/findings";
import { JournalPanel } from "./panels/journal";
import { showNamespaces } from "./panels/namespaces";
import { showStanding } from "./panels/notice";
import { showFigures, showLevel, showServer, showTime, showTitle } from "./panels/status";
import { showTank } from "./panels/tank";
import { showTotals } from "./panels/totals";
import { onTheme, startTheme } from "./theme";

const TICK_MS = 1_000;
const OVERTAKEN_S = 30;

let state: State | null = null;
let receivedMs = 0;
let link: Link = { kind: "connecting" };
let said = "";

const sinceS = (): number => (performance.now() - receivedMs) / 1000;
/** Now by Spillgate's clock, which need not be this machine's. */
const now = (): number => (state ? state.now + sinceS() : Date.now() / 1000);
const ageS = (): number | null => (state?.age_s == null ? null : state.age_s + sinceS());

startTheme();
const chart = new Chart(now);
const journal = new JournalPanel(now);
const alerts = new AlertsPanel(now);
const cleanup = new Cleanup();
onTheme(() => chart.restyle());

function know(next: State): void {
  if (state && next.now < state.now && state.now - next.now < OVERTAKEN_S) {
    return; // an answer that a later one has overtaken
  }
  state = next;
  receivedMs = performance.now();
  for (const show of [
    showServer,
    showLevel,
    showFigures,
    showTank,
    showNamespaces,
    showTotals,
    showFindings,
    showMissing,
  ]) {
    show(next);
  }
  chart.know(next);
  alerts.show(next);
  cleanup.know(next);
  if (!document.body.classList.contains("ready")) {
    document.body.classList.add("ready");
    performance.mark("shown"); // what `python -m bench page` measures
  }
  tick();
}

function tick(): void {
  const standing = showStanding(link, state, ageS());
  if (state) {
    showTime(state, ageS());
    showTitle(state, standing.notice && standing.short);
    announce(`${standing.kind === "live" ? "" : `${standing.short}, `}level ${state.level}`);
  }
}

/** Told to screen readers: how it stands, when that has changed. */
function announce(text: string): void {
  if (said && said !== text) {
    write(find("announcer"), text);
  }
  said = text;
}

setInterval(() => {
  tick();
  chart.draw();
}, TICK_MS);
document.addEventListener("visibilitychange", () => chart.draw());

fetchState()
  .then(know)
  .catch(() => undefined); // the stream says whether there is a connection
new Live({
  state: know,
  point: (point) => chart.take(point),
  entry: (entry) => journal.take(entry),
  reset: () => {
    void chart.fetch();
    void journal.fetch();
    void alerts.fetch();
  },
  link: (next) => {
    link = next;
    tick();
  },
});
