/** Memory over time against the levels: drawn, told in words, and listed. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import {
  type Columns,
  fetchHistory,
  LEVELS,
  type LevelName,
  type Point,
  type Span,
  type State,
} from "../api";
import { find, h, replace, write } from "../dom";
import { bytes, count, full, moment, share, time } from "../format";
import { icon } from "../icons";
import * as series from "../series";
import { axes, colours, drawAbove, drawBelow, forgetColours, type Limits, type Scene } from "./scene";

const HEIGHT = { wide: 300, narrow: 240 };
const ROWS = 60;
const LEAST = 30; // so many times wider is a span than the narrowest picture of it

export class Chart implements Scene {
  columns: Columns = series.empty();
  limits: Limits = { levels: [], ceiling: null, limit: null };
  to = Date.now() / 1000;
  private through = 0;
  span: Span = "hour";
  private resolutionS = 1;
  private plot: uPlot | null = null;
  private waiting: Point[] | null = null;
  private chosen: number | null = null; // the index under the cursor
  private fetching = 0;
  private readonly host = find("plot");

  constructor(private readonly now: () => number) {
    for (const input of document.querySelectorAll<HTMLInputElement>("input[name=span]")) {
      input.addEventListener("change", () => this.show(input.value as Span));
    }
    this.host.addEventListener("keydown", (event) => this.move(event));
    find("points").addEventListener("toggle", () => this.list());
    new ResizeObserver(() => this.resize()).observe(this.host);
  }

  /** Where the picture begins: a span ago, or where what is known begins, if that is later. */
  get from(): number {
    const { seconds } = series.SPANS[this.span];
    const first = this.columns.at[0] ?? this.to;
    return Math.max(this.to - seconds, Math.min(first, this.to - seconds / LEAST));
  }

  /** Fetch everything anew; seconds that come meanwhile are added to it. */
  async fetch(): Promise<void> {
    this.waiting = [];
    this.fetching += 1;
    const number = this.fetching;
    try {
      const history = await fetchHistory(this.span);
      if (number !== this.fetching) {
        return; // another span was chosen meanwhile
      }
      this.columns = history.columns;
      this.resolutionS = history.resolution_s;
      this.through = history.through ?? 0;
      for (const point of this.waiting ?? []) {
        this.add(point);
      }
      this.waiting = null;
      this.draw();
    } catch {
      if (number === this.fetching) {
        this.waiting = null;
        write(
          find("summary-text"),
          "The history could not be fetched; it will be, once Spillgate answers again.",
        );
      }
    }
  }

  take(point: Point): void {
    this.waiting?.push(point);
    this.add(point);
    this.draw();
  }

  private add(point: Point): void {
    if (this.resolutionS <= 1 || point.at > this.through) {
      series.take(this.columns, point, this.resolutionS);
    }
  }

  /** Levels and limits as they are now. */
  know(state: State): void {
    const limits = { levels: state.levels, ceiling: state.ceiling_bytes, limit: state.limit_bytes };
    if (JSON.stringify(limits) !== JSON.stringify(this.limits)) {
      this.limits = limits;
      this.draw();
    }
  }

  /** Time has passed: the right edge is now. */
  draw(): void {
    if (document.hidden) {
      return;
    }
    this.to = Math.max(this.now(), this.columns.at.at(-1) ?? 0);
    series.dropBefore(this.columns, this.to - series.SPANS[this.span].seconds);
    const data: uPlot.AlignedData = [this.columns.at, this.columns.used, this.columns.high];
    if (this.plot) {
      this.plot.setData(data, true);
    } else {
      this.plot = this.make(data);
    }
    this.tell();
  }

  /** The same in other colours. */
  restyle(): void {
    forgetColours();
    this.plot?.destroy();
    this.plot = null;
    this.draw();
  }

  private show(span: Span): void {
    this.span = span;
    this.chosen = null;
    void this.fetch();
  }

  private make(data: uPlot.AlignedData): uPlot {
    const { line, high, band } = colours();
    return new uPlot(
      {
        width: this.host.clientWidth,
        height: this.height(),
        legend: { show: false },
        cursor: { y: false, drag: { setScale: false }, points: { size: 7 } },
        scales: {
          x: { time: true, range: () => [this.from, this.to] },
          y: { range: () => [0, this.top()] },
        },
        axes: axes(this.host.clientWidth < 560),
        series: [
          {},
          { stroke: line, width: 1.75, points: { show: false }, spanGaps: false },
          { stroke: high, width: 1, points: { show: false }, spanGaps: false },
        ],
        bands: [{ series: [2, 1], fill: band }],
        hooks: {
          drawClear: [(plot) => drawBelow(plot, this)],
          draw: [(plot) => drawAbove(plot, this)],
          setCursor: [(plot) => this.pointed(plot.cursor.idx ?? null)],
        },
      },
      data,
      this.host,
    );
  }

  /** Where the picture ends: a little above the limit, and above whatever was highest. */
  private top(): number {
    const highest = this.columns.high.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
    return Math.max(this.limits.limit ?? 0, highest, 1024) * 1.06;
  }

  private height(): number {
    return this.host.clientWidth < 560 ? HEIGHT.narrow : HEIGHT.wide;
  }

  private resize(): void {
    const width = this.host.clientWidth;
    if (this.plot && this.plot.width < 560 !== width < 560) {
      this.restyle();
    } else if (this.plot && width !== this.plot.width) {
      this.plot.setSize({ width, height: this.height() });
    }
  }

  private pointed(index: number | null): void {
    this.chosen = index;
    this.read();
  }

  private move(event: KeyboardEvent): void {
    const last = this.columns.at.length - 1;
    const page = Math.max(1, Math.round(last / 20));
    const here = this.chosen ?? last;
    const target: Record<string, number> = {
      ArrowLeft: here - 1,
      ArrowRight: here + 1,
      ArrowDown: here - 1,
      ArrowUp: here + 1,
      PageDown: here - page,
      PageUp: here + page,
      Home: 0,
      End: last,
    };
    const next = target[event.key];
    if (next === undefined || last < 0 || !this.plot) {
      return;
    }
    event.preventDefault();
    const index = Math.min(last, Math.max(0, next));
    const left = this.plot.valToPos(this.columns.at[index] ?? 0, "x");
    this.plot.setCursor({ left, top: this.plot.bbox.height / devicePixelRatio / 2 });
    this.pointed(index);
  }

  private tell(): void {
    write(find("summary-text"), series.summary(this.columns, this.span, this.to));
    this.read();
    this.list();
  }

  /** The numbers at the cursor, or the latest. */
  private read(): void {
    const last = this.columns.at.length - 1;
    const index = Math.min(this.chosen ?? last, last);
    const point = series.pointAt(this.columns, index);
    this.host.setAttribute("aria-valuemax", String(Math.max(0, last)));
    this.host.setAttribute("aria-valuenow", String(Math.max(0, index)));
    if (!point) {
      return;
    }
    const values = told(point);
    this.host.setAttribute(
      "aria-valuetext",
      `${full(point.at)}: ${values.map(([name, text]) => `${name} ${text}`).join(", ")}`,
    );
    const when = this.span === "hour" ? time(point.at) : moment(point.at, this.to);
    const level = point.level === null ? null : LEVELS[point.level];
    replace(
      find("readout"),
      h("time", {}, when),
      values.map(([name, text]) =>
        h("span", {}, name === "level" && level ? badge(level) : [`${name} `, h("b", {}, text)]),
      ),
    );
  }

  private list(): void {
    if (!find<HTMLDetailsElement>("points").open) {
      return;
    }
    const heads = ["Time", "In use", "Highest", "Level", "Keys", "Evicted", "Refused"];
    replace(
      find("points-table"),
      h(
        "table",
        {},
        h("caption", { class: "unseen" }, `Memory over ${series.SPANS[this.span].words}, newest first`),
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
          series.rows(this.columns, ROWS).map((row) => this.row(row)),
        ),
      ),
    );
  }

  private row(row: series.Row): HTMLElement {
    const when =
      row.from === row.to
        ? moment(row.to, this.to)
        : `${moment(row.from, this.to)} – ${moment(row.to, this.to)}`;
    const cells = [
      bytes(row.used),
      bytes(row.high),
      row.level ?? "unknown",
      count(row.keys),
      count(row.evicted),
      count(row.refused),
    ];
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, when),
      cells.map((cell) => h("td", {}, cell)),
    );
  }
}

function badge(level: LevelName): HTMLElement {
  return h("span", { class: "tag", "data-level": level }, icon(level), level);
}

function told(point: Point): [string, string][] {
  if (point.used === null) {
    return [["no data:", "nobody looked, or the server could not be read"]];
  }
  const values: [string, string][] = [["in use", bytes(point.used)]];
  if (point.high !== null && bytes(point.high) !== bytes(point.used)) {
    values.push(["highest", bytes(point.high)]);
  }
  if (point.limit) {
    values.push(["of the limit", share(point.used / point.limit)]);
  }
  if (point.level !== null) {
    values.push(["level", LEVELS[point.level] ?? "unknown"]);
  }
  values.push(["keys", count(point.keys)]);
  if (point.evicted) {
    values.push(["evicted", count(point.evicted)]);
  }
  if (point.refused) {
    values.push(["writes refused", count(point.refused)]);
  }
  return values;
}
