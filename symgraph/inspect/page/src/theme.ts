// Light, dark, or as the system has it: kept where the browser lets a page keep things, else for as long as it is open.

import { h } from "./dom";

const KEY = "symgraph.theme";
const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function themeSwitch(): HTMLElement {
  const select = h(
    "select",
    { id: "theme", "aria-label": "Theme", onchange: () => apply(themed(select.value)) },
    ...THEMES.map((theme) => h("option", { value: theme }, `${theme[0]?.toUpperCase()}${theme.slice(1)}`)),
  );
  select.value = themed(kept());
  apply(themed(select.value));
  return select;
}

function apply(theme: Theme): void {
  if (theme === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Pages from disk and in sandboxed frames may have no storage.
  }
}

function kept(): string {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system";
  }
}

function themed(text: string): Theme {
  return THEMES.find((theme) => theme === text) ?? "system";
}
