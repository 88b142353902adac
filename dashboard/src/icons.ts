/** Shapes that carry the same meaning as a colour, for whoever does not see that. */

import { s } from "./dom";

const SHAPES: Record<string, string> = {
  // a circle with a tick, triangles and an octagon that fill up as things get worse
  normal: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm3.6 4.7-4.3 5-2.9-2.7 1-1.1 1.8 1.7 3.3-3.9Z",
  warning: "M8 1.6 15.2 14H.8Zm0 2.9L3.3 12.6h9.4ZM7.3 7h1.4v2.9H7.3Zm0 3.5h1.4v1.2H7.3Z",
  preventive: "M8 .9 15.1 8 8 15.1.9 8Zm0 2L2.9 8 8 13.1 13.1 8ZM7.3 5h1.4v3.6H7.3Zm0 4.4h1.4v1.4H7.3Z",
  emergency:
    "M5 1h6l4 4v6l-4 4H5l-4-4V5Zm.6 1.4L2.4 5.6v4.8l3.2 3.2h4.8l3.2-3.2V5.6l-3.2-3.2ZM7.2 4.4h1.6v4.4H7.2Zm0 5.3h1.6v1.6H7.2Z",
  critical: "M5 1h6l4 4v6l-4 4H5l-4-4V5Zm2 2.9.2 5.3h1.6L9 3.9Zm.2 6.2v1.7h1.6v-1.7Z",
  unreachable: "M2.7 1.6 8 6.9l5.3-5.3 1.1 1.1L9.1 8l5.3 5.3-1.1 1.1L8 9.1l-5.3 5.3-1.1-1.1L6.9 8 1.6 2.7Z",
  unknown:
    "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm0 1.4a5.1 5.1 0 1 1 0 10.2A5.1 5.1 0 0 1 8 2.9Zm-.7 6.6h1.4V8.3c1-.3 1.8-1 1.8-2.1 0-1.3-1-2.2-2.4-2.2S5.6 4.8 5.5 6.1h1.4c.1-.5.5-.9 1.1-.9s1.1.4 1.1 1-.5 1-1.8 1.1Zm0 1.2h1.4v1.3H7.3Z",
  info: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13Zm0 1.4a5.1 5.1 0 1 1 0 10.2A5.1 5.1 0 0 1 8 2.9ZM7.3 7h1.4v4.4H7.3Zm0-2.5h1.4v1.4H7.3Z",
  lock: "M8 1a3.4 3.4 0 0 0-3.4 3.4v2.1H3.5v8h9v-8h-1.1V4.4A3.4 3.4 0 0 0 8 1Zm0 1.4a2 2 0 0 1 2 2v2.1H6V4.4a2 2 0 0 1 2-2Z",
};

// What the doctor and the alerts call their severities, as the level that looks alike.
const SEVERITIES: Record<string, string> = {
  low: "info",
  info: "info",
  medium: "warning",
  high: "emergency",
  healthy: "normal",
  ok: "normal",
  error: "emergency",
};

export function looksLike(name: string): string {
  const shape = SEVERITIES[name] ?? name;
  return shape in SHAPES ? shape : "unknown";
}

/** The shape for a level or severity; silent to screen readers, since its name stands beside it. */
export function icon(name: string): SVGSVGElement {
  const shape = SHAPES[looksLike(name)] ?? "";
  return s(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s("path", { d: shape, fill: "currentColor", "fill-rule": "evenodd" }),
  );
}
