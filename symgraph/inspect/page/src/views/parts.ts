// What the views are made of: names of nodes as buttons, the user's lines, controls.
//
// Text becomes text nodes and attributes only: nothing that a user named is ever parsed as HTML, style or code.

import { count, h, replace, svg, type Child } from "../dom";
import { graphOf, string } from "../lookup";
import type { GraphId, Model, NodeId, Section } from "../model";
import type { Context, Reference } from "../view";

export { count, graphOf, h as el, replace, string, svg, type Child };

const el = h;

// Names that are unique on the page, for labels of fields.
let made = 0;
export const unique = (prefix: string): string => `${prefix}-${++made}`;

// --- the model -----------------------------------------------------------------------------------------------------

const sameNode = (a: Reference | null, b: Reference | null): boolean =>
  a !== null && b !== null && a.graph === b.graph && a.node === b.node;

// "%7 matmul"
export const nodeName = (model: Model, { graph, node }: Reference): string =>
  `%${node} ${string(model, model.graphs[graph]?.label[node])}`;

export const nodeType = (model: Model, { graph, node }: Reference): string =>
  string(model, model.graphs[graph]?.type[node]);

export interface Line {
  path: string;
  number: number;
  text: string;
}

const TEXTS = new WeakMap<Model, Map<number, string>[]>();

function textsOf(model: Model): Map<number, string>[] {
  const known = TEXTS.get(model) ?? model.files.map((file) => new Map(file.lines));
  TEXTS.set(model, known);
  return known;
}

export function lineOf(model: Model, file: number, number: number): Line {
  return {
    path: model.files[file]?.path ?? "?",
    number,
    text: (textsOf(model)[file]?.get(number) ?? "").trim(),
  };
}

// The user's lines that nodes come from, each once, in the order they are met.
export function linesOf(model: Model, graph: GraphId, nodes: readonly NodeId[]): Line[] {
  const met = new Map<string, Line>();
  for (const node of nodes) {
    const origin = model.origins[model.graphs[graph]?.origin[node] ?? -1];
    for (const [file, number] of origin?.sources ?? []) {
      const key = `${file}:${number}`;
      if (!met.has(key)) met.set(key, lineOf(model, file, number));
    }
  }
  return [...met.values()];
}

export const place = (line: Line): string => `${line.path}:${line.number}`;

// The place without its folders, for narrow columns.
export const nearPlace = (line: Line): string => `${line.path.split("/").pop() ?? line.path}:${line.number}`;

// All that a search looks through for a node: its name, type and line.
export function haystack(model: Model, reference: Reference): string {
  const lines = linesOf(model, reference.graph, [reference.node]);
  const scope = model.origins[model.graphs[reference.graph]?.origin[reference.node] ?? -1]?.scope ?? [];
  return [
    nodeName(model, reference),
    nodeType(model, reference),
    scope.join("/"),
    ...lines.flatMap((line) => [place(line), line.text]),
  ]
    .join("\n")
    .toLowerCase();
}

const KERNELS = new WeakMap<Model, { of: Map<NodeId, NodeId>; members: Map<NodeId, NodeId[]> }>();

function kernelsOf(model: Model): { of: Map<NodeId, NodeId>; members: Map<NodeId, NodeId[]> } {
  let known = KERNELS.get(model);
  if (known === undefined) {
    known = { of: new Map(), members: new Map() };
    for (const { node, members } of model.fusion.kernels) {
      known.members.set(node, members);
      for (const member of members) known.of.set(member, node);
    }
    KERNELS.set(model, known);
  }
  return known;
}

// The node of the stage "fused" that a node of that stage, or of the one before, runs in; null for other graphs.
export function kernelOf(model: Model, reference: Reference | null): NodeId | null {
  if (reference?.graph === model.fusion.fused) return reference.node;
  return reference?.graph === model.fusion.unfused ? (kernelsOf(model).of.get(reference.node) ?? null) : null;
}

// The user's lines of a node of the stage "fused": its members' and its own.
export function kernelLines(model: Model, node: NodeId): Line[] {
  const { fused, unfused } = model.fusion;
  const met = new Map<string, Line>();
  const members = kernelsOf(model).members.get(node) ?? [];
  for (const line of [...linesOf(model, unfused, members), ...linesOf(model, fused, [node])])
    met.set(place(line), line);
  return [...met.values()];
}

// --- nodes as buttons, and what is selected ---------------------------------------------------------------------------

const kindOf = (model: Model, { graph, node }: Reference): string => model.graphs[graph]?.kind[node] ?? "op";

// A button with a node's name that selects it. All of a view's buttons of the selected node are lit up by `follow`.
export function nodeButton(context: Context, reference: Reference, text?: string): HTMLButtonElement {
  const name = text ?? nodeName(context.model, reference);
  const type = nodeType(context.model, reference);
  const button = el(
    "button",
    {
      type: "button",
      class: `v-node kind-${kindOf(context.model, reference)}`,
      "data-node": key(reference),
      title: type === "" ? name : `${name}: ${type}`,
      onclick: () => context.select(reference),
    },
    name,
  );
  light(button, sameNode(context.selection, reference));
  return button;
}

export const key = ({ graph, node }: Reference): string => `${graph}:${node}`;

function light(element: Element, on: boolean): void {
  element.classList.toggle("lit", on);
  if (on) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
}

// Keep the buttons and marks (`data-node`) in `root` lit up as the selection changes, and tell `changed` of it: at once
// where the view is in sight, else when it comes into sight.
export function follow(context: Context, root: Element, changed: (selection: Reference | null) => void): void {
  let late = context.selection !== null;
  context.subscribe((selection) => {
    for (const element of root.querySelectorAll("[data-node].lit")) light(element, false);
    if (selection !== null) {
      for (const element of root.querySelectorAll(`[data-node="${key(selection)}"]`)) light(element, true);
    }
    late = !inSight(root);
    if (!late) changed(selection);
  });
  new ResizeObserver(() => {
    if (!late || !inSight(root)) return;
    late = false;
    changed(context.selection);
  }).observe(root);
}

// Whether the user is not in the view: only then may a selection scroll it.
export const away = (root: Element): boolean => !root.matches(":hover") && !root.contains(document.activeElement);

const inSight = (root: Element): boolean => root.getClientRects().length > 0;

// Nodes in a row; those after the first `most` are behind a button.
export function nodeList(context: Context, graph: GraphId, nodes: readonly NodeId[], most = 12): HTMLElement {
  const list = el("ul", { class: "v-nodes" });
  const item = (node: NodeId): HTMLElement => el("li", {}, nodeButton(context, { graph, node }));
  list.append(...nodes.slice(0, most).map(item));
  if (nodes.length > most) {
    const rest = nodes.slice(most);
    const more = el("button", { type: "button", class: "v-more" }, `and ${rest.length} more`);
    const last = el("li", {}, more);
    more.addEventListener("click", () => {
      const items = rest.slice(0, 500).map(item);
      last.replaceWith(...items, ...(rest.length > 500 ? [el("li", {}, `and ${rest.length - 500} more`)] : []));
      items[0]?.querySelector("button")?.focus();
    });
    list.append(last);
  }
  return list;
}

const STEPS = 40; // of a path that are shown

// A path of nodes: a row of buttons with arrows between; the middle of a long one is left out.
export function nodePath(context: Context, graph: GraphId, nodes: readonly NodeId[], label: string): HTMLElement {
  const items = nodes.length <= STEPS ? nodes : [...nodes.slice(0, STEPS / 2), null, ...nodes.slice(-STEPS / 2)];
  const left = `${count(nodes.length - STEPS, "node")} between`;
  return el(
    "ol",
    { class: "v-path", "aria-label": label },
    ...items.map((node) =>
      node === null ? el("li", { class: "v-quiet" }, left) : el("li", {}, nodeButton(context, { graph, node })),
    ),
  );
}

// The user's lines with their text.
export function lineList(lines: readonly Line[], most = 8): HTMLElement {
  if (lines.length === 0) return el("p", { class: "v-quiet" }, "No line of yours is known for this.");
  const items = lines
    .slice(0, most)
    .map((line) => el("li", {}, el("span", { class: "v-place" }, place(line)), el("code", {}, line.text)));
  if (lines.length > most) items.push(el("li", { class: "v-quiet" }, `and ${count(lines.length - most, "line")} more`));
  return el("ul", { class: "v-lines" }, ...items);
}

// Where a view has nothing to show: why, and how to have it.
export function nothing(id: string, title: string, ...sentences: string[]): HTMLElement {
  return el(
    "section",
    { class: `v-view v-${id}`, "aria-label": title },
    el("h2", {}, title),
    ...sentences.map((sentence) => el("p", { class: "v-empty" }, sentence)),
  );
}

export const codeName = (section: Section): string =>
  section.name === "" ? `lines ${section.first} to ${section.last}` : section.name;

// A class of numerics, of the same colour everywhere.
export function numericsBadge(name: string, text = name): HTMLElement {
  return el("span", { class: `v-badge numerics-${/^[a-z]+$/.test(name) ? name : "other"}` }, text);
}

// --- controls --------------------------------------------------------------------------------------------------------

export function field(label: string, control: HTMLElement, hidden = false): HTMLElement {
  control.id ||= unique("v");
  return el(
    "span",
    { class: "v-field" },
    el("label", { for: control.id, class: hidden ? "v-hidden" : undefined }, label),
    control,
  );
}

export function choice(options: [value: string, text: string][], changed: (value: string) => void): HTMLSelectElement {
  const select = el("select", {}, ...options.map(([value, text]) => el("option", { value }, text)));
  select.addEventListener("change", () => changed(select.value));
  return select;
}

// Buttons of which one is pressed.
export function choices(
  label: string,
  options: [value: string, text: string][],
  chosen: string,
  changed: (value: string) => void,
): HTMLElement {
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", "data-value": value, "aria-pressed": value === chosen ? "true" : "false" }, text),
  );
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const other of buttons) other.setAttribute("aria-pressed", other === button ? "true" : "false");
      changed(button.dataset["value"] ?? "");
    });
  }
  return el("div", { class: "v-choices", role: "group", "aria-label": label }, ...buttons);
}

// A search field that tells after a short rest.
export function searchField(label: string, changed: (words: string) => void): HTMLElement {
  let timer = 0;
  const input = el("input", { type: "search", placeholder: label, autocomplete: "off", spellcheck: "false" });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => changed(input.value.trim().toLowerCase()), 80);
  });
  return field(label, input, true);
}

// Offer a text as a file to save.
export function save(name: string, text: string, type: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = el("a", { href: url, download: name.replace(/[^\w.-]+/g, "_").slice(0, 120) });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// The parts of a panel, one after another: each heading begins a block, which stands in a column where there is room.
export function fill(panel: Element, ...parts: readonly (Child | readonly Child[])[]): void {
  const blocks: HTMLElement[] = [];
  for (const part of parts.flat()) {
    if (part === null || part === undefined || part === false) continue;
    const heads = part instanceof HTMLHeadingElement;
    let block = blocks.at(-1);
    if (block === undefined || heads) blocks.push((block = el("div", { class: "v-block" })));
    block.append(part instanceof Node ? part : String(part));
    if (part instanceof HTMLOListElement && part.childElementCount > 4) block.classList.add("long");
  }
  panel.replaceChildren(...blocks);
  panel.scrollTop = 0;
}
