/** Making and changing elements. Text only ever becomes text: nothing here reads HTML. */

export type Child = Node | string | number | null | undefined | false | readonly Child[];
type Value = string | number | boolean | null | undefined | EventListener | ((event: never) => void);
export type Properties = Record<string, Value>;

const SVG = "http://www.w3.org/2000/svg";

/** An element. Properties are attributes, `on…` listeners; `--…` and `style.…` are set as the page's policy allows. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  set(element, properties);
  append(element, children);
  return element;
}

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  set(element, properties);
  append(element, children);
  return element;
}

function set(element: HTMLElement | SVGElement, properties: Properties): void {
  for (const [name, value] of Object.entries(properties)) {
    if (value == null || value === false) {
      continue;
    }
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (name.startsWith("--")) {
      element.style.setProperty(name, String(value));
    } else if (name.startsWith("style.")) {
      element.style.setProperty(name.slice(6), String(value));
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

function append(element: Element | DocumentFragment, children: readonly Child[]): void {
  for (const child of children) {
    if (Array.isArray(child)) {
      append(element, child as readonly Child[]);
    } else if (child instanceof Node) {
      element.append(child);
    } else if (child != null && child !== false) {
      element.append(String(child));
    }
  }
}

export function fragment(...children: Child[]): DocumentFragment {
  const made = document.createDocumentFragment();
  append(made, children);
  return made;
}

export function replace(element: Element, ...children: Child[]): void {
  element.replaceChildren(fragment(...children));
}

/** Change text only where it differs, so that selections and screen readers are left alone. */
export function write(element: Element, text: string): void {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** An element that index.html has. */
export function find<T extends Element = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) {
    throw new Error(`index.html has no #${id}`);
  }
  return element as unknown as T;
}

/** Calls `draw` only with something that differs from the last time. */
export function whenChanged<T>(draw: (value: T) => void): (value: T) => void {
  let last: string | undefined;
  return (value) => {
    const now = JSON.stringify(value);
    if (now !== last) {
      last = now;
      draw(value);
    }
  };
}
