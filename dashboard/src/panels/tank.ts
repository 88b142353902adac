/** What fills the memory: a bar in the order in which it would go, beside a table of the same. */

import type { Namespace, State } from "../api";
import { find, h, replace, whenChanged, write } from "../dom";
import { bytes, share } from "../format";
import { icon } from "../icons";

export type Kind = "held" | "rest" | "outside" | "protected" | "goes";

export interface Segment {
  name: string;
  bytes: number;
  kind: Kind;
  shade: string; // a class of style/tank.css
  about: string;
}

const SHADES = 5;
const FALLEN = 1.02;

/** The shade of each namespace: what goes first is the lightest; what never goes is hatched. */
export function shades(namespaces: readonly Namespace[]): Map<string, string> {
  const goes = namespaces.filter((ns) => !ns.protected).sort(byPriority);
  const stays = namespaces.filter((ns) => ns.protected);
  const made = new Map<string, string>();
  goes.forEach((ns, index) => {
    made.set(ns.name, `goes-${goes.length < 2 ? 0 : Math.round((index * (SHADES - 1)) / (goes.length - 1))}`);
  });
  stays.forEach((ns, index) => {
    made.set(ns.name, `stays-${index % 3}`);
  });
  return made;
}

function byPriority(a: Namespace, b: Namespace): number {
  return (a.priority ?? Infinity) - (b.priority ?? Infinity);
}

/** From what nothing can free to what goes first, which stands next to the free memory. */
export function segments(state: State): Segment[] {
  const shade = shades(state.namespaces);
  const made: Segment[] = Object.entries(state.held_bytes ?? {}).map(([name, size]) => ({
    name,
    bytes: size,
    kind: "held",
    shade: "held",
    about: "held by the server, not by keys",
  }));
  const of = (ns: Namespace): Segment => ({
    name: ns.name,
    bytes: ns.bytes?.value ?? 0,
    kind: ns.protected ? "protected" : "goes",
    shade: shade.get(ns.name) ?? "goes-0",
    about: `${ns.protected ? "protected, never cleaned up" : `goes as number ${ns.priority ?? "unknown"}`}`,
  });
  const rest = restOf(state);
  if (rest) {
    made.push({
      name: "the server itself",
      bytes: rest,
      kind: "rest",
      shade: "rest",
      about: "what no key explains",
    });
  }
  made.push(...state.namespaces.filter((ns) => ns.protected).map(of));
  if (state.unregistered_bytes) {
    const about = "keys that match no namespace, never cleaned up";
    made.push({
      name: "outside",
      bytes: state.unregistered_bytes.value,
      kind: "outside",
      shade: "outside",
      about,
    });
  }
  made.push(
    ...state.namespaces
      .filter((ns) => !ns.protected)
      .sort(byPriority)
      .reverse()
      .map(of),
  );
  return made.filter((segment) => segment.bytes > 0);
}

/** What all shares are of: what is in use, or what was when it was counted, if that was more. */
export function wholeOf(state: State): number | null {
  const parts = segments(state).reduce((sum, part) => sum + part.bytes, 0);
  return state.used_bytes === null ? null : Math.max(state.used_bytes, parts);
}

/** What is in use beyond all that is told apart; null where that is not known. */
export function restOf(state: State): number | null {
  const sizes = state.namespaces.map((ns) => ns.bytes?.value);
  if (state.used_bytes === null || sizes.some((size) => size === undefined) || !state.unregistered_bytes) {
    return null;
  }
  const held = Object.values(state.held_bytes ?? {}).reduce((sum, size) => sum + size, 0);
  const named = sizes.reduce<number>((sum, size) => sum + (size ?? 0), state.unregistered_bytes.value);
  return Math.max(0, state.used_bytes - held - named);
}

const draw = whenChanged(({ state, parts }: { state: Drawn; parts: Segment[] }) => {
  const sum = parts.reduce((total, part) => total + part.bytes, 0);
  const end = Math.max(state.limit_bytes ?? 0, state.used_bytes ?? 0, sum, 1);
  const at = (size: number) => `${((size / end) * 100).toFixed(3)}%`;
  const words = parts.map((part) => `${part.name} ${bytes(part.bytes)}`).join(", ");
  const limit = state.limit_bytes === null ? "an unknown limit" : `the limit of ${bytes(state.limit_bytes)}`;
  replace(
    find("tank"),
    h(
      "div",
      { class: "tank", role: "img", "aria-label": `Up to ${limit}: ${words || "nothing is known yet"}` },
      state.ceiling_bytes !== null &&
        h(
          "span",
          { class: "mark ceiling", "style.left": at(state.ceiling_bytes) },
          h("i", {}, `ceiling ${bytes(state.ceiling_bytes)}`),
        ),
      state.limit_bytes !== null &&
        h(
          "span",
          { class: "mark limit", "style.left": at(state.limit_bytes) },
          h("i", {}, `limit ${bytes(state.limit_bytes)}`),
        ),
      h(
        "div",
        { class: "bar" },
        parts.map((part) =>
          h(
            "span",
            {
              class: `part ${part.shade}`,
              "style.width": at(part.bytes),
              title: `${part.name}: ${bytes(part.bytes)}, ${part.about}`,
            },
            h("span", { class: "label" }, h("b", {}, part.name), ` ${bytes(part.bytes)}`),
          ),
        ),
        h("span", { class: "free" }, h("span", { class: "label" }, "free")),
        state.ceiling_bytes !== null &&
          h("span", { class: "reserve", "style.left": at(state.ceiling_bytes) }),
        state.forecast !== null &&
          state.limit_bytes !== null &&
          h("span", {
            class: "forecast",
            "style.left": at(Math.min(end, state.forecast * state.limit_bytes)),
            title: `forecast ${share(state.forecast)}`,
          }),
      ),
      state.levels
        .filter(
          (level) => level.bytes !== null && level.name !== "normal" && level.bytes !== state.limit_bytes,
        )
        .map((level) =>
          h(
            "span",
            {
              class: `mark level-mark${(level.bytes ?? 0) > end * 0.94 ? " last" : ""}`,
              "data-level": level.name,
              "style.left": at(level.bytes ?? 0),
              title: `${level.name} at ${bytes(level.bytes)}`,
            },
            icon(level.name),
            h("i", {}, `${level.name} ${share(level.share, 0)}`),
          ),
        ),
    ),
    h(
      "p",
      { class: "note" },
      "In the order in which it goes: what is cleaned up first stands next to the free memory; what is hatched never goes.",
    ),
  );
});

type Drawn = Pick<State, "limit_bytes" | "used_bytes" | "ceiling_bytes" | "forecast" | "levels">;

export function showTank(state: State): void {
  const { limit_bytes, used_bytes, ceiling_bytes, forecast, levels } = state;
  draw({ state: { limit_bytes, used_bytes, ceiling_bytes, forecast, levels }, parts: segments(state) });
  write(find("census-note"), censusNote(state));
}

function censusNote(state: State): string {
  const known = state.namespaces.map((ns) => ns.bytes).filter((one) => one !== null);
  if (!known.length) {
    return state.namespaces.length ? "Not counted yet" : "No namespaces: every key is protected";
  }
  const exact = known.every((one) => one.low === one.value && one.high === one.value);
  const fallen = (wholeOf(state) ?? 0) > FALLEN * (state.used_bytes ?? Infinity);
  const when = fallen ? "; counted before memory fell" : "";
  return `${exact ? "Exact" : "Estimated from a sample: ± is the 95 % interval"}${when}`;
}
