// The frame around the views: what the page is of, tabs, search, theme, help, details; and the one selection.

import { readAddress, writeAddress } from "./address";
import { count, h, replace } from "./dom";
import { details } from "./details";
import { help } from "./help";
import { graphOf, size, spoken } from "./lookup";
import type { About, Model } from "./model";
import { search } from "./search";
import { themeSwitch } from "./theme";
import type { Context, Reference, View } from "./view";

export function shell(root: HTMLElement, model: Model, views: readonly View[]): void {
  const listeners = new Set<(selection: Reference | null) => void>();
  const live = h("div", { class: "unseen", role: "status", "aria-live": "polite", id: "live" });
  const panels = new Map<string, HTMLElement>();
  const tabs = new Map<string, HTMLElement>();
  const stage = h("main", { class: "views", id: "views" });
  let shown = "";
  let selection: Reference | null = null;

  const context: Context = {
    model,
    get selection() {
      return selection;
    },
    select(reference) {
      if (reference?.graph === selection?.graph && reference?.node === selection?.node) return;
      selection = reference;
      writeAddress(model, { view: shown, reference }, false);
      for (const listener of [...listeners]) listener(reference);
      if (reference !== null) context.announce(`Selected ${spoken(model, reference)}`);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    show(view, reference, focus = false) {
      if (reference !== undefined) context.select(reference);
      open(view, true);
      if (focus) panels.get(shown)?.firstElementChild?.dispatchEvent(new Event("entered"));
    },
    announce(sentence) {
      live.textContent = "";
      requestAnimationFrame(() => (live.textContent = sentence));
    },
  };

  function open(id: string, entry: boolean): void {
    const view = views.find((each) => each.id === id) ?? views[0];
    if (view === undefined) return;
    for (const [name, tab] of tabs) {
      tab.setAttribute("aria-selected", String(name === view.id));
      tab.tabIndex = name === view.id ? 0 : -1;
    }
    for (const panel of panels.values()) panel.hidden = true;
    const panel = panels.get(view.id) ?? made(view);
    panel.hidden = false;
    shown = view.id;
    panel.dispatchEvent(new CustomEvent("shown"));
    writeAddress(model, { view: view.id, reference: selection }, entry);
  }

  function made(view: View): HTMLElement {
    const panel = h("div", {
      class: "panel",
      role: "tabpanel",
      id: `panel-${view.id}`,
      "aria-labelledby": `tab-${view.id}`,
    });
    panels.set(view.id, panel);
    stage.append(panel);
    try {
      panel.append(view.render(context));
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      panel.append(h("p", { class: "note" }, `This view could not be made: ${said}.`));
      console.error(error);
    }
    return panel;
  }

  const list = h("div", { role: "tablist", "aria-label": "Views", class: "tabs", onkeydown: tabKeys });
  for (const view of views) {
    const tab = h(
      "button",
      {
        role: "tab",
        id: `tab-${view.id}`,
        "aria-selected": "false",
        tabindex: -1,
        onclick: () => open(view.id, true),
      },
      view.title,
    );
    tabs.set(view.id, tab);
    list.append(tab);
  }

  function tabKeys(event: KeyboardEvent): void {
    const at = views.findIndex(({ id }) => id === shown);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: views.length - 1 }[event.key];
    const view = to === undefined ? undefined : views[(to + views.length) % views.length];
    if (view === undefined) return;
    event.preventDefault();
    open(view.id, true);
    tabs.get(view.id)?.focus();
  }

  const helped = help();
  const found = search(context);
  const aside = details(context);
  replace(
    root,
    h("button", { class: "skip", onclick: () => tabs.get(shown)?.focus() }, "Skip to the views"),
    h(
      "header",
      { class: "head" },
      h(
        "div",
        { class: "titles" },
        h("span", { class: "brand", "aria-hidden": "true" }, "sg"),
        h("h1", {}, model.about.name),
      ),
      facts(model.about, model),
      h(
        "div",
        { class: "tools" },
        themeSwitch(),
        h(
          "button",
          { class: "icon", "aria-label": "Keyboard help", title: "Keyboard help (?)", onclick: helped.open },
          "?",
        ),
      ),
    ),
    messages(model.about),
    h("nav", { class: "bar", "aria-label": "Views and search" }, list, found.element),
    h("div", { class: "body" }, stage, aside),
    live,
    helped.dialog,
  );

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "?") helped.open();
    else if (event.key === "/") found.focus();
    else if (event.key === "Escape" && !helped.dialog.open) context.select(null);
    else if (/^[1-9]$/.test(event.key) && views[Number(event.key) - 1] !== undefined) {
      const view = views[Number(event.key) - 1];
      if (view !== undefined) open(view.id, true);
      tabs.get(shown)?.focus();
    } else return;
    event.preventDefault();
  });

  const go = (): void => {
    const address = readAddress(model);
    selection = address?.reference ?? selection;
    open(address?.view ?? views[0]?.id ?? "", false);
    for (const listener of [...listeners]) listener(selection);
  };
  addEventListener("hashchange", go);
  addEventListener("popstate", go);
  go();
}

function facts(about: About, model: Model): HTMLElement {
  const nodes = model.stages[0] === undefined ? 0 : size(graphOf(model, model.stages[0].graph));
  const told: [string, string][] = [
    ["Nodes", nodes.toLocaleString("en")],
    ["Backend", about.backend],
    ["Numerics", about.numerics],
    ...about.sizes.map(([name, value]): [string, string] => [name, value.toLocaleString("en")]),
    ...about.free.map((name): [string, string] => [name, "free"]),
    ["symgraph", about.symgraph],
  ];
  return h(
    "dl",
    { class: "facts" },
    ...told.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

function messages(about: About): HTMLElement | null {
  if (about.messages.length === 0) return null;
  return h(
    "section",
    { class: "messages", "aria-label": "Notes" },
    h(
      "details",
      { open: about.messages.length < 3 },
      h("summary", {}, count(about.messages.length, "note")),
      h("ul", {}, ...about.messages.map((message) => h("li", {}, message))),
    ),
  );
}

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.closest("input, select, textarea, [contenteditable]") !== null;
}
