/** What came of a cleanup, or would come of it, and what went wrong. */

import { type CleanupReport, type CleanupStep, Refusal } from "../api";
import { fragment, h } from "../dom";
import { bytes, count, duration, plural } from "../format";
import { icon } from "../icons";

export function confirmation({ deleted, retimed }: CleanupReport): string {
  const shorten = `shorten ${plural(retimed, "TTL")}`;
  if (deleted === 0) {
    return `Yes, ${shorten}`;
  }
  return `Delete about ${plural(deleted, "key")}${retimed ? `, ${shorten}` : ""}`;
}

export function outcome(report: CleanupReport): Node {
  const would = report.dry_run ? "would be " : "";
  const after = report.dry_run ? "Data would then be" : "Data is now";
  const target =
    report.target_bytes === null
      ? ""
      : `, ${report.reached ? "at" : "above"} the target of ${bytes(report.target_bytes)}`;
  return fragment(
    h("p", {}, `${report.reason.charAt(0).toUpperCase()}${report.reason.slice(1)}.`),
    h(
      "dl",
      { class: "totals" },
      figure("Keys deleted", count(report.deleted), report.dry_run ? "expected" : ""),
      figure("Memory freed", bytes(report.freed_bytes), report.dry_run ? "expected" : ""),
      figure("TTLs shortened", count(report.retimed), report.dry_run ? "expected" : ""),
    ),
    report.outcomes.length > 0
      ? h(
          "div",
          { class: "scroll", tabindex: 0, role: "region", "aria-label": "Steps" },
          stepsOf(report.outcomes, would),
        )
      : h("p", { class: "empty" }, "Nothing to do: no step is needed."),
    h(
      "p",
      { class: "note" },
      `${after} ${bytes(report.data_bytes)} (before: ${bytes(report.data_bytes_before)})${target}.`,
      !report.dry_run && report.level_now ? ` The level is ${report.level_now}.` : "",
    ),
    !report.reached &&
      report.error === null &&
      h("p", { class: "note" }, "The rest is protected, or may not go yet."),
    report.error !== null &&
      h("p", { class: "trouble", role: "alert" }, icon("emergency"), h("span", {}, report.error)),
  );
}

function figure(name: string, text: string, of: string): HTMLElement {
  return h("div", {}, h("dt", {}, name), h("dd", {}, h("b", {}, text), h("small", {}, of)));
}

function stepsOf(steps: CleanupStep[], would: string): HTMLElement {
  const heads = [
    "Step",
    "Namespaces",
    `Keys that ${would ? "would go" : "went"}`,
    "TTLs shortened",
    "Freed",
    "Why, and how it ended",
  ];
  return h(
    "table",
    { class: "steps" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        heads.map((head) => h("th", { scope: "col" }, head)),
      ),
    ),
    h(
      "tbody",
      {},
      steps.map((step) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, step.kind),
          h("td", {}, step.namespace ? [step.namespace, ...(step.together ?? [])].join(", ") : "all"),
          h("td", { class: "number" }, count(step.deleted + step.expired)),
          h("td", { class: "number" }, count(step.retimed)),
          h("td", { class: "number" }, bytes(step.freed_bytes)),
          h(
            "td",
            { class: "why" },
            `${step.reason} (${step.error ? `${step.stop}: ${step.error}` : step.stop})`,
          ),
        ),
      ),
    ),
  );
}

/** What went wrong, and what can be done about it. */
export function inWords(error: unknown, dryRun: boolean): string {
  if (!(error instanceof Refusal)) {
    const unsure = dryRun
      ? "Nothing was changed."
      : "Whether it was carried out is not known: the journal tells.";
    return `Spillgate did not answer. ${unsure}`;
  }
  const { code, message, retryAfter } = error;
  switch (code) {
    case 401:
      return "That is not the token: it is the value of SPILLGATE_TOKEN where Spillgate runs.";
    case 403:
      return `Refused: ${message}.`;
    case 409:
      return `Not now: ${message}.`;
    case 415:
    case 413:
    case 422:
      return `This cannot be done: ${message}.`;
    case 429:
      return `Too many wrong tokens. Try again in ${retryAfter ? duration(Number(retryAfter)) : "a minute"}.`;
    case 503:
      return `The server cannot be cleaned up now: ${message}.`;
    default:
      return `Spillgate answered ${code}: ${message}.`;
  }
}
