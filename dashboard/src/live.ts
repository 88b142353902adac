/** The stream of events, for as long as the page is open: it comes back by itself and says how it stands. */

import { type Entry, fetchState, type Point, type State } from "./api";

/** How the page hears from Spillgate. `sinceMs` is of `performance.now()`. */
export type Link =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "asking" } // no stream to be had, so it asks now and then
  | { kind: "lost"; sinceMs: number };

export interface Listener {
  state(state: State): void;
  point(point: Point): void;
  entry(entry: Entry): void;
  /** What was missed will not be sent again: everything is to be fetched anew. */
  reset(): void;
  link(link: Link): void;
}

const SILENCE_MS = 25_000; // a beat comes every 10 s
const AGAIN_MS = 10_000;

export class Live {
  private source: EventSource | null = null;
  private heardMs = 0;
  private lostMs: number | null = null;
  private heardAny = false;
  private asking = false;
  private answeredMs: number | null = null; // when the state was last had without the stream

  constructor(private readonly listener: Listener) {
    this.open();
    setInterval(() => this.watch(), 1_000);
    document.addEventListener("visibilitychange", () => this.watch());
    window.addEventListener("online", () => this.lostMs !== null && this.open());
    window.addEventListener("pageshow", (event) => event.persisted && this.open());
  }

  private open(): void {
    this.source?.close();
    const source = new EventSource("/api/events");
    this.source = source;
    this.heardMs = performance.now();
    this.heardAny = false;
    source.onopen = () => this.opened();
    source.onerror = () => this.lose();
    const on = (name: string, handle: (data: string) => void) =>
      source.addEventListener(name, (event: MessageEvent<string>) => {
        this.hear();
        handle(event.data);
      });
    on("state", (data) => this.listener.state(JSON.parse(data) as State));
    on("point", (data) => this.listener.point(JSON.parse(data) as Point));
    on("journal", (data) => this.listener.entry(JSON.parse(data) as Entry));
    on("beat", () => undefined);
    on("reset", () => this.listener.reset());
  }

  /** A browser that reconnects by itself names the last event it had, and is sent what it missed. A new one is not. */
  private opened(): void {
    if (!this.heardAny) {
      this.listener.reset();
    }
  }

  private hear(): void {
    this.heardMs = performance.now();
    this.heardAny = true;
    this.lostMs = this.answeredMs = null;
    this.tell();
  }

  private tell(): void {
    const { lostMs, answeredMs } = this;
    if (lostMs === null) {
      this.listener.link({ kind: "live" });
    } else if (answeredMs !== null && performance.now() - answeredMs < 2 * AGAIN_MS) {
      this.listener.link({ kind: "asking" });
    } else {
      this.listener.link({ kind: "lost", sinceMs: lostMs });
    }
  }

  private lose(): void {
    this.lostMs ??= performance.now();
    this.tell();
    if (this.source?.readyState === EventSource.CLOSED) {
      this.heardMs = performance.now(); // it will not try again by itself, so the watch does
    }
  }

  private watch(): void {
    const silentMs = performance.now() - this.heardMs;
    if (this.source?.readyState === EventSource.CLOSED && silentMs >= AGAIN_MS) {
      void this.ask();
      this.open();
    } else if (silentMs >= SILENCE_MS) {
      this.lose();
      this.open();
    }
  }

  /** Where no stream is to be had (64 pages listen already, or a proxy keeps it), the state itself may be. */
  private async ask(): Promise<void> {
    if (this.asking) {
      return;
    }
    this.asking = true;
    try {
      const state = await fetchState();
      if (this.lostMs !== null) {
        this.answeredMs = performance.now();
        this.listener.state(state);
        this.listener.reset();
        this.tell();
      }
    } catch {
      this.answeredMs = null;
      this.lose();
    } finally {
      this.asking = false;
    }
  }
}
