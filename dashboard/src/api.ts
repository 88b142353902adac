/** The documents that Spillgate serves. Whatever is unknown is null; estimates have the ends of their interval. */

export interface Interval {
  value: number;
  low: number | null;
  high: number | null;
}

export type LevelName = "normal" | "warning" | "preventive" | "emergency" | "critical";
export const LEVELS: readonly LevelName[] = ["normal", "warning", "preventive", "emergency", "critical"];

export interface Threshold {
  name: LevelName;
  share: number;
  bytes: number | null;
}

export interface Namespace {
  name: string;
  prefix: string;
  patterns: string[];
  cleanup: string;
  priority: number | null;
  protected: boolean;
  ttl_s: number | null;
  ttl_file_s: number | null;
  ttl_reason: string | null;
  min_ttl_s: number | null;
  max_ttl_s: number | null;
  emergency_ttl_s: number | null;
  budget_bytes: number | null;
  keys: Interval | null;
  bytes: Interval | null;
  no_ttl: Interval | null;
  ttl_p50_s: Interval | null;
  idle_p50_s: Interval | null;
}

export interface LibraryNamespace {
  name: string;
  hit_ratio: number | null;
  reads: number;
  hits: number;
  writes: number;
  compute_ms: number | null;
}

export interface Finding {
  id: string;
  severity: string;
  title: string;
  text: string;
  namespace: string | null;
  prefix: string | null;
  database: number | null;
  wins: Interval | null;
  evidence: Record<string, unknown>;
  examples: string[];
  fix: string | null;
}

export interface Checkup {
  at: number | null;
  next_in_s: number | null;
  why_not: string | null;
  findings: Finding[];
  unable: { id: string; reason: string }[];
}

export interface ActiveAlert {
  key: string;
  severity: string;
  title: string;
  message: string;
  since: number;
}

export interface State {
  version: string;
  url: string;
  status: string;
  level: string;
  reason: string | null;
  error: string | null;
  checked_at: string | null;
  dry_run: boolean;
  now: number;
  age_s: number | null;
  next_look_s: number | null;
  used_bytes: number | null;
  limit_bytes: number | null;
  ceiling_bytes: number | null;
  available_bytes: number | null;
  pressure: number | null;
  forecast: number | null;
  fill_bytes_s: number | null;
  time_to_limit_s: number | null;
  levels: Threshold[];
  release: number;
  hold_s: number;
  held_bytes: Record<string, number> | null;
  server: {
    product: string | null;
    version: string | null;
    user: string | null;
    eviction_policy: string | null;
    evicted_keys: number | null;
    refused_writes: number | null;
  };
  missing: string[] | null;
  keys: number | null;
  unregistered_keys: Interval | null;
  unregistered_bytes: Interval | null;
  namespaces: Namespace[];
  totals: { actions: number; deleted: number; expired: number; retimed: number; freed_bytes: number };
  library: { at: number; processes: number; namespaces: LibraryNamespace[] } | null;
  checkup: Checkup | null;
  cleanup: { enabled: boolean; dry_run_only: boolean; levels: string[] };
  history: { file: boolean; error: string | null };
  alerts: { receivers: number; active: ActiveAlert[]; failing: string[] } | null;
}

export interface Point {
  at: number;
  used: number | null;
  high: number | null;
  level: number | null;
  limit: number | null;
  keys: number | null;
  evicted: number | null;
  refused: number | null;
}

export type Span = "hour" | "day" | "week" | "year";

export type Columns = { at: number[] } & Record<Exclude<keyof Point, "at">, (number | null)[]>;

export interface History {
  span: Span;
  resolution_s: number;
  /** The last second that is in it, whole or in part: what is told of it, or of one before, is no news. */
  through: number | null;
  columns: Columns;
}

export interface Entry {
  number: number;
  at: number;
  event: string;
  level: string;
  message: string;
  details: Record<string, unknown>;
}

export interface Journal {
  entries: Entry[];
  last: number;
  more: boolean;
}

export interface Alerts {
  active: ActiveAlert[];
  receivers: { name: string; kind: string; failing: boolean; last_error: string | null }[];
  deliveries: {
    at: number;
    receiver: string;
    key: string;
    kind: string;
    status: string;
    attempts: number;
    error: string | null;
  }[];
}

export interface CleanupStep {
  kind: string;
  namespace: string | null;
  together: string[] | null;
  reason: string;
  deleted: number;
  deleted_by_namespace: Record<string, number>;
  expired: number;
  retimed: number;
  freed_bytes: number;
  visited: number;
  stop: string;
  error: string | null;
}

export interface CleanupReport {
  dry_run: boolean;
  level: string;
  namespaces: string[] | null;
  reason: string;
  data_bytes_before: number;
  data_bytes: number;
  target_bytes: number | null;
  reached: boolean;
  deleted: number;
  retimed: number;
  freed_bytes: number;
  level_now: string | null;
  outcomes: CleanupStep[];
  error: string | null;
}

export interface CleanupRequest {
  level: string;
  namespaces: string[];
  dry_run: boolean;
}

/** An answer other than the document that was asked for. */
export class Refusal extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly retryAfter: string | null,
  ) {
    super(message);
  }
}

export const fetchState = (): Promise<State> => get("/api/state");
export const fetchAlerts = (): Promise<Alerts> => get("/api/alerts");
export const fetchHistory = (span: Span): Promise<History> => get(`/api/history?span=${span}`);
export const fetchJournal = (query: URLSearchParams): Promise<Journal> => get(`/api/journal?${query}`);

export function postCleanup(
  request: CleanupRequest,
  token: string,
  signal: AbortSignal,
): Promise<CleanupReport> {
  return ask("/api/cleanup", {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${token}` },
    body: JSON.stringify(request),
    signal,
  });
}

function get<T>(address: string): Promise<T> {
  return ask(address, { signal: AbortSignal.timeout(20_000) });
}

async function ask<T>(address: string, init: RequestInit): Promise<T> {
  const response = await fetch(address, init);
  if (!response.ok) {
    const text = await response.text();
    throw new Refusal(
      response.status,
      errorIn(text) ?? response.statusText,
      response.headers.get("Retry-After"),
    );
  }
  return (await response.json()) as T;
}

function errorIn(text: string): string | null {
  try {
    const document: unknown = JSON.parse(text);
    if (document && typeof document === "object" && "error" in document) {
      return String(document.error);
    }
  } catch {
    // not one of our documents: a proxy's page, say
  }
  return null;
}
