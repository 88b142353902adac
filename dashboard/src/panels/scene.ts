/** What is drawn around the lines: bands of the levels, their thresholds, changes of level, and the axes. */

import type uPlot from "uplot";
import { type Columns, LEVELS, type Threshold } from "../api";
import { bytes } from "../format";
import { changes } from "../series";

export interface Limits {
  levels: Threshold[];
  ceiling: number | null;
  limit: number | null;
}

export interface Scene {
  readonly columns: Columns;
  readonly limits: Limits;
  readonly from: number;
  readonly to: number;
}

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
const LINE = 13; // height of a line of text
const RIBBON = 4;
const MOST_MARKS = 24;
const DAY = 86_400;
const KILO = 1024;
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500];

interface Colours {
  line: string;
  high: string;
  band: string;
  text: string;
  strong: string;
  faint: string;
  ceiling: string;
  levels: string[];
}

let known: Colours | null = null;

/** Another theme is in force. */
export function forgetColours(): void {
  known = null;
}

/** Colours of the theme in force, as a canvas understands them. */
export function colours(): Colours {
  known ??= resolved();
  return known;
}

function resolved(): Colours {
  const probe = document.body.appendChild(document.createElement("span"));
  const get = (name: string) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const made = {
    line: get("line"),
    high: get("line-high"),
    band: get("line-band"),
    text: get("muted"),
    strong: get("text"),
    faint: get("grid"),
    ceiling: get("ceiling"),
    levels: LEVELS.map(get),
  };
  probe.remove();
  return made;
}

export function axes(narrow: boolean): uPlot.Axis[] {
  const { text, faint } = colours();
  const common = { stroke: text, font: FONT, ticks: { show: false } };
  return [
    {
      ...common,
      size: 26,
      gap: 6,
      grid: { stroke: faint, width: 1 },
      space: 70,
      values: (_: uPlot, splits: number[], _axis: number, _space: number, step: number) =>
        splits.map((at) => tick(at, step)),
    },
    {
      ...common,
      size: narrow ? 48 : 58,
      gap: 6,
      grid: { show: false },
      space: 42,
      incrs: [0, 1, 2, 3, 4].flatMap((power) => STEPS.map((step) => step * KILO ** power)),
      values: (_: uPlot, splits: number[]) => splits.map((size) => (size ? bytes(size) : "0")),
    },
    {
      scale: "y",
      side: 1,
      size: narrow ? 22 : 128,
      ticks: { show: false },
      grid: { show: false },
      values: () => [],
    },
  ];
}

function tick(at: number, step: number): string {
  const when = new Date(at * 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  const date = `${when.getDate()} ${when.toLocaleString("en-GB", { month: "short" })}`;
  if (step >= DAY * 27) {
    return when.toLocaleString("en-GB", { month: "short", year: "2-digit" });
  }
  if (step >= DAY || (when.getHours() === 0 && when.getMinutes() === 0 && step >= 60)) {
    return date;
  }
  return `${two(when.getHours())}:${two(when.getMinutes())}${step < 60 ? `:${two(when.getSeconds())}` : ""}`;
}

/** Before the lines: a faint band for each level that begins there. */
export function drawBelow(plot: uPlot, scene: Scene): void {
  const { ctx, bbox } = plot;
  const { levels } = colours();
  const y = (size: number) => plot.valToPos(size, "y", true);
  ctx.save();
  clip(ctx, bbox);
  scene.limits.levels.forEach((level, index) => {
    const next = scene.limits.levels[index + 1];
    const colour = levels[index];
    if (level.name === "normal" || level.bytes === null || !colour) {
      return;
    }
    const top = next?.bytes != null ? y(next.bytes) : bbox.top;
    const bottom = y(level.bytes);
    ctx.globalAlpha = 0.045 + 0.025 * index;
    ctx.fillStyle = colour;
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  });
  ctx.restore();
}

function clip(ctx: CanvasRenderingContext2D, { left, top, width, height }: uPlot.BBox): void {
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
}

/** After the lines: thresholds with their names, changes of level, and what the server did by itself. */
export function drawAbove(plot: uPlot, scene: Scene): void {
  plot.ctx.save();
  drawThresholds(plot, scene.limits);
  drawRibbon(plot, scene);
  drawMarks(plot, scene);
  plot.ctx.restore();
}

interface Mark {
  size: number;
  label: string;
  short: string;
  colour: string;
  dash: number[];
  width: number;
}

function marksOf(limits: Limits): Mark[] {
  const { levels, ceiling, strong } = colours();
  const marks: Mark[] = [];
  limits.levels.forEach((level, index) => {
    if (level.bytes !== null && level.name !== "normal" && level.bytes !== limits.limit) {
      marks.push(mark(level.bytes, level.name, levels[index] ?? strong, [3, 4], 1));
    }
  });
  if (limits.ceiling !== null) {
    marks.push(mark(limits.ceiling, "ceiling", ceiling, [], 1));
  }
  if (limits.limit !== null) {
    marks.push(mark(limits.limit, "limit", strong, [], 1.5));
  }
  return marks.sort((a, b) => b.size - a.size);
}

function mark(size: number, name: string, colour: string, dash: number[], width: number): Mark {
  return { size, label: `${name} ${bytes(size)}`, short: name.charAt(0).toUpperCase(), colour, dash, width };
}

function drawThresholds(plot: uPlot, limits: Limits): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const narrow = plot.width < 560;
  const right = bbox.left + bbox.width;
  let free = -Infinity; // labels stand below one another
  ctx.font = `${11 * ratio}px ${FONT.slice(5)}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  for (const { size, label, short, colour, dash, width } of marksOf(limits)) {
    const y = Math.round(plot.valToPos(size, "y", true)) + 0.5;
    ctx.strokeStyle = colour;
    ctx.lineWidth = width * ratio;
    ctx.setLineDash(dash.map((one) => one * ratio));
    ctx.globalAlpha = 0.9;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(right, y);
    ctx.stroke();
    const at = Math.max(y, free + LINE * ratio);
    free = at;
    ctx.setLineDash([]);
    ctx.globalAlpha = 0.6;
    ctx.lineWidth = ratio;
    ctx.beginPath();
    ctx.moveTo(right, y);
    ctx.lineTo(right + 8 * ratio, at);
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.fillStyle = colour;
    ctx.fillText(narrow ? short : label, right + 11 * ratio, at);
  }
}

/** The level at each time, along the lower edge. */
function drawRibbon(plot: uPlot, { columns, to }: Scene): void {
  const { ctx, bbox } = plot;
  const { levels } = colours();
  const height = RIBBON * devicePixelRatio;
  const top = bbox.top + bbox.height - height;
  const x = (at: number) => plot.valToPos(at, "x", true);
  ctx.setLineDash([]);
  ctx.globalAlpha = 0.85;
  let begin = 0;
  for (let index = 1; index <= columns.at.length; index += 1) {
    if (index < columns.at.length && columns.level[index] === columns.level[begin]) {
      continue;
    }
    const colour = levels[columns.level[begin] ?? -1];
    if (colour) {
      const from = Math.max(bbox.left, x(columns.at[begin] ?? 0));
      ctx.fillStyle = colour;
      ctx.fillRect(from, top, Math.max(1, x(columns.at[index] ?? to) - from), height);
    }
    begin = index;
  }
  ctx.globalAlpha = 1;
}

/** Changes of level as letters above the ribbon; evictions and refused writes as crosses at the top. */
function drawMarks(plot: uPlot, { columns }: Scene): void {
  const { ctx, bbox } = plot;
  const { levels } = colours();
  const ratio = devicePixelRatio;
  const foot = bbox.top + bbox.height - RIBBON * ratio;
  const found = changes(columns);
  ctx.textAlign = "center";
  ctx.textBaseline = "alphabetic";
  ctx.font = `600 ${10 * ratio}px ${FONT.slice(5)}`;
  let free = -Infinity;
  for (const { at, to } of found.length <= MOST_MARKS ? found : []) {
    const x = Math.round(plot.valToPos(at, "x", true));
    const colour = levels[to] ?? "";
    ctx.fillStyle = colour;
    ctx.fillRect(x, foot - 6 * ratio, ratio, 6 * ratio);
    if (x - free >= 11 * ratio) {
      ctx.fillText((LEVELS[to] ?? "?").charAt(0).toUpperCase(), x, foot - 9 * ratio);
      free = x;
    }
  }
  ctx.fillStyle = levels[4] ?? "";
  free = -Infinity;
  columns.at.forEach((at, index) => {
    const x = plot.valToPos(at, "x", true);
    if ((columns.evicted[index] || columns.refused[index]) && x - free >= 9 * ratio) {
      ctx.fillText("×", x, bbox.top + 10 * ratio);
      free = x;
    }
  });
}
