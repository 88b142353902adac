/** What the doctor found, what it could not look at, and what the plan forbids. */

import type { Checkup, Finding, Interval, State } from "../api";
import { find, fragment, h, replace, whenChanged, write } from "../dom";
import { about, ago, duration, type Kind, plural } from "../format";
import { icon, looksLike } from "../icons";
import { shown } from "./journal";

const ORDER = ["critical", "high", "medium", "low", "info"];
const SLIGHT = "info";
const SAID_MS = 2_000;

const draw = whenChanged((checkup: Pick<Checkup, "findings" | "unable"> | null) => {
  const findings = [...(checkup?.findings ?? [])].sort(
    (a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity),
  );
  const grave = findings.filter((one) => one.severity !== SLIGHT);
  const slight = findings.filter((one) => one.severity === SLIGHT);
  const unable = checkup?.unable ?? [];
  replace(
    find("findings"),
    grave.length > 0 && h("ul", { class: "findings" }, grave.map(finding)),
    slight.length > 0 &&
      h(
        "details",
        { class: "more" },
        h("summary", {}, `${plural(slight.length, "finding")} of little weight`),
        h("ul", { class: "findings" }, slight.map(finding)),
      ),
    unable.length > 0 &&
      h(
        "details",
        { class: "more" },
        h("summary", {}, `${plural(unable.length, "check")} could not run`),
        h(
          "dl",
          { class: "pairs" },
          unable.map(({ id, reason }) => h("div", {}, h("dt", {}, id), h("dd", {}, reason))),
        ),
      ),
  );
});

const drawMissing = whenChanged((missing: string[] | null) => {
  const none =
    missing === null
      ? "Not known yet: the server has not been probed."
      : "Nothing: whatever Spillgate uses is allowed here.";
  replace(
    find("missing"),
    missing?.length
      ? h(
          "ul",
          { class: "missing" },
          missing.map((one) => h("li", {}, icon("info"), h("span", {}, one))),
        )
      : h("p", { class: "empty" }, none),
  );
});

export function showFindings(state: State): void {
  const { checkup, now } = state;
  draw(checkup && { findings: checkup.findings, unable: checkup.unable });
  write(find("findings-note"), note(checkup, now));
}

export function showMissing(state: State): void {
  drawMissing(state.missing);
}

function note(checkup: Checkup | null, now: number): string {
  if (!checkup) {
    return "The server is not examined here: run spillgate doctor";
  }
  const found = checkup.findings.length ? "" : "Nothing is wrong. ";
  const looked = checkup.at === null ? "" : `${found}Looked ${ago(now - checkup.at)}`;
  const next =
    checkup.next_in_s === null ? "" : `, looks again in ${duration(Math.round(checkup.next_in_s))}`;
  if (checkup.why_not) {
    return `${looked}${looked ? ". " : ""}Not examined: ${checkup.why_not}`;
  }
  return looked ? looked + next : "Not examined yet: it waits for a calm moment";
}

function finding(one: Finding): HTMLElement {
  const place = one.prefix ?? one.namespace;
  return h(
    "li",
    { "data-id": one.id },
    h(
      "div",
      { class: "title" },
      h("span", { class: "tag", "data-level": looksLike(one.severity) }, icon(one.severity), one.severity),
      h("h3", {}, one.title),
      one.wins && one.wins.value > 0 && h("span", { class: "wins" }, `wins ${about(one.wins, "bytes")}`),
    ),
    h("p", {}, one.text),
    place && h("p", { class: "where" }, h("code", {}, place)),
    one.fix !== null && code(one.fix, one.title),
    evidence(one),
  );
}

function evidence(one: Finding): Node {
  const known = Object.entries(one.evidence ?? {});
  if (!known.length && !one.examples?.length) {
    return fragment();
  }
  return h(
    "details",
    {},
    h("summary", {}, "Evidence", h("span", { class: "unseen" }, ` for ${one.title}`)),
    h(
      "dl",
      { class: "pairs" },
      known.map(([name, value]) =>
        h("div", {}, h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, measured(name, value))),
      ),
      one.examples?.length > 0 &&
        h(
          "div",
          {},
          h("dt", {}, "examples"),
          h(
            "dd",
            {},
            one.examples.map((key) => h("code", {}, key)),
          ),
        ),
    ),
  );
}

function measured(name: string, value: unknown): string {
  if (value && typeof value === "object" && "value" in value && "low" in value && "high" in value) {
    return about(value as Interval, kindOf(name));
  }
  return shown(name, value);
}

function kindOf(name: string): Kind {
  return name.endsWith("bytes") ? "bytes" : name.endsWith("_s") ? "duration" : "count";
}

function code(text: string, title: string): HTMLElement {
  const block = h(
    "pre",
    { tabindex: 0, role: "region", "aria-label": `Fix for ${title}` },
    h("code", {}, text),
  );
  const said = h("span", { role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      write(said, "Copied");
    } catch {
      getSelection()?.selectAllChildren(block); // without HTTPS a page may not write there
      write(said, "Selected: copy it");
    }
    setTimeout(() => write(said, ""), SAID_MS);
  };
  return h(
    "div",
    { class: "code" },
    block,
    h(
      "div",
      { class: "copy" },
      said,
      h(
        "button",
        {
          type: "button",
          class: "button quiet",
          "aria-label": `Copy the fix for ${title}`,
          onclick: () => void copy(),
        },
        "Copy",
      ),
    ),
  );
}
