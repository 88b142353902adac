/** Light, dark, or whatever the system is set to; the choice outlives a reload. */

const KEY = "spillgate-theme";
const CHOICES = ["auto", "light", "dark"] as const;
type Choice = (typeof CHOICES)[number];

const dark = matchMedia("(prefers-color-scheme: dark)");
let redraw: () => void = () => undefined;

export function startTheme(): void {
  const chosen = stored();
  apply(chosen);
  for (const input of document.querySelectorAll<HTMLInputElement>("input[name=theme]")) {
    input.checked = input.value === chosen;
    input.addEventListener("change", () => choose(input.value as Choice));
  }
  dark.addEventListener("change", () => redraw());
}

/** What is drawn on a canvas has to be drawn again in the other colours. */
export function onTheme(draw: () => void): void {
  redraw = draw;
}

function choose(choice: Choice): void {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // storage may be forbidden; then the choice lasts until the page is closed
  }
  apply(choice);
  redraw();
}

function stored(): Choice {
  try {
    return CHOICES.find((one) => one === localStorage.getItem(KEY)) ?? "auto";
  } catch {
    return "auto";
  }
}

function apply(choice: Choice): void {
  if (choice === "auto") {
    document.documentElement.removeAttribute("data-theme");
  } else {
    document.documentElement.dataset.theme = choice;
  }
}
