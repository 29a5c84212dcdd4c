// What the views are made of: elements, names of nodes, the user's lines, paged tables, numbers as people read them.
//
// Text becomes text nodes and attributes only: nothing that a user named is ever parsed as HTML, style or code.

import type { Graph, GraphId, Model, NodeId, Section } from "../model";
import type { Context, Reference } from "../view";

export type Child = Node | string | number | null | undefined | false;
type Value = string | number | boolean | null | undefined | ((event: never) => void);
export type Attributes = Record<string, Value>;

const SVG = "http://www.w3.org/2000/svg";

// An HTML element. A function as attribute "onclick" listens; false, null and undefined leave the attribute out.
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  return filled(document.createElement(tag), attributes, children);
}

// The same for SVG.
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[Tag] {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as (event: Event) => void);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  append(element, children);
  return element;
}

export function append(element: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

export function replace(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  append(element, children);
}

// Names that are unique on the page, for aria-labelledby and the like.
let made = 0;
export const unique = (prefix: string): string => `${prefix}-${++made}`;

// --- numbers -------------------------------------------------------------------------------------------------------

const UNITS = ["", "k", "M", "G", "T", "P"];

// 1234567 as "1.23 M": three figures.
export function figures(value: number, unit: string): string {
  if (!Number.isFinite(value)) return `${value} ${unit}`;
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 999.5 && power < UNITS.length - 1) {
    rest /= 1000;
    power += 1;
  }
  const digits = Number.isInteger(rest) && power === 0 ? String(rest) : three(rest);
  return `${digits} ${UNITS[power]}${unit}`.trim();
}

function three(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(2);
}

// Bytes by powers of 1024: "12.0 KiB".
export function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  let rest = value;
  while (Math.abs(rest) >= 1024 && power < units.length - 1) {
    rest /= 1024;
    power += 1;
  }
  return `${power === 0 ? rest : three(rest)} ${units[power]}`;
}

export function seconds(value: number): string {
  const size = Math.abs(value);
  if (size >= 1) return `${three(value)} s`;
  if (size >= 1e-3) return `${three(value * 1e3)} ms`;
  return size >= 1e-6 ? `${three(value * 1e6)} µs` : `${three(value * 1e9)} ns`;
}

export const percent = (share: number): string =>
  share > 0 && share < 0.001 ? "< 0.1 %" : `${(share * 100).toFixed(1)} %`;

// A number's text with at most six figures, for tables; the full text is shown beside it.
export function short(text: string | null): string {
  if (text === null) return "–";
  const value = Number(text);
  if (!Number.isFinite(value) || text.length <= 8) return text;
  return String(Number(value.toPrecision(6)));
}

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

// --- the model -----------------------------------------------------------------------------------------------------

export const sameNode = (a: Reference | null, b: Reference | null): boolean =>
  a !== null && b !== null && a.graph === b.graph && a.node === b.node;

export function graphOf(model: Model, id: GraphId): Graph {
  const graph = model.graphs[id];
  if (graph === undefined) throw new Error(`the model has no graph ${id}`);
  return graph;
}

export const string = (model: Model, id: number | undefined): string =>
  id === undefined ? "" : (model.strings[id] ?? "");

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

// The node of the stage "fused" that a node of that stage, or of the one before, runs in; null for other graphs.
export function kernelOf(model: Model, reference: Reference | null): NodeId | null {
  if (reference === null) return null;
  const { fused, unfused, kernels } = model.fusion;
  if (reference.graph === fused) return reference.node;
  if (reference.graph !== unfused) return null;
  return kernels.find((kernel) => kernel.members.includes(reference.node))?.node ?? null;
}

// The user's lines of a node of the stage "fused": its own and its members'.
export function kernelLines(model: Model, node: NodeId): Line[] {
  const { fused, unfused, kernels } = model.fusion;
  const kernel = kernels.find((one) => one.node === node);
  const met = new Map<string, Line>();
  const all = [...linesOf(model, unfused, kernel?.members ?? []), ...linesOf(model, fused, [node])];
  for (const line of all) met.set(place(line), line);
  return [...met.values()];
}

// --- nodes as buttons, and what is selected ---------------------------------------------------------------------------

export const kindOf = (model: Model, { graph, node }: Reference): string =>
  model.graphs[graph]?.kind[node] ?? "op";

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

// Keep the buttons and marks (`data-node`) in `root` lit up as the selection changes, and tell `changed` of it.
export function follow(context: Context, root: Element, changed?: (selection: Reference | null) => void): void {
  context.subscribe((selection) => {
    for (const element of root.querySelectorAll("[data-node].lit")) light(element, false);
    if (selection !== null) {
      for (const element of root.querySelectorAll(`[data-node="${key(selection)}"]`)) light(element, true);
    }
    changed?.(selection);
  });
}

// Nodes in a row; those after the first `most` are behind a button.
export function nodeList(context: Context, graph: GraphId, nodes: readonly NodeId[], most = 12): HTMLElement {
  const list = el("ul", { class: "v-nodes" });
  const item = (node: NodeId): HTMLElement => el("li", {}, nodeButton(context, { graph, node }));
  append(list, nodes.slice(0, most).map(item));
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

// A path of nodes: a row of buttons with arrows between.
export function nodePath(context: Context, graph: GraphId, nodes: readonly NodeId[], label: string): HTMLElement {
  return el(
    "ol",
    { class: "v-path", "aria-label": label },
    ...nodes.map((node) => el("li", {}, nodeButton(context, { graph, node }))),
  );
}

// The user's lines with their text.
export function lineList(lines: readonly Line[], most = 8): HTMLElement {
  if (lines.length === 0) return el("p", { class: "v-quiet" }, "No line of yours is known for this.");
  const items = lines
    .slice(0, most)
    .map((line) => el("li", {}, el("span", { class: "v-place" }, place(line)), el("code", {}, line.text)));
  if (lines.length > most) items.push(el("li", { class: "v-quiet" }, `and ${plural(lines.length - most, "line")} more`));
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

// --- tables ----------------------------------------------------------------------------------------------------------

export interface Column<Row> {
  title: string;
  cell: (row: Row) => Child | Child[];
  by?: (row: Row) => number | string | null; // makes the column sortable; null stands last
  numeric?: boolean;
  head?: boolean; // the cell that names the row
  wide?: boolean; // may wrap
}

export interface Table<Row> {
  readonly element: HTMLElement;
  show(rows: readonly Row[]): void;
  // Go to the page that has the row; returns its element, or null where there is none.
  reveal(wanted: (row: Row) => boolean): HTMLTableRowElement | null;
  // The rows of the page in sight, with their elements.
  shown(): [Row, HTMLTableRowElement][];
}

export interface TableOptions<Row> {
  caption: string;
  columns: Column<Row>[];
  rows: readonly Row[];
  page?: number;
  empty?: string;
  sorted?: [column: number, descending: boolean];
  each?: (row: Row, element: HTMLTableRowElement) => void;
  drawn?: () => void; // after each page
}

// A table of pages, sorted by the headers' buttons: no more rows in the document than a page has.
export function table<Row>(options: TableOptions<Row>): Table<Row> {
  const size = options.page ?? 50;
  let rows: readonly Row[] = options.rows;
  let ordered: readonly Row[] = rows;
  let order: [number, boolean] | null = options.sorted ?? null;
  let page = 0;
  let pageRows: [Row, HTMLTableRowElement][] = [];

  const body = el("tbody");
  const status = el("span", { class: "v-pages-at" });
  const turn = (label: string, by: () => number): HTMLButtonElement =>
    el("button", { type: "button", onclick: () => go(by()) }, label);
  const last = (): number => Math.max(0, Math.ceil(ordered.length / size) - 1);
  const first = turn("First", () => 0);
  const back = turn("Previous", () => page - 1);
  const forth = turn("Next", () => page + 1);
  const end = turn("Last", () => last());
  const pages = el("nav", { class: "v-pages", "aria-label": `Pages of ${options.caption}` }, first, back, status, forth, end);
  const heads = options.columns.map((column, i) => head(column, i));
  const grid = el("table", { class: "v-table" }, el("caption", {}, options.caption), el("thead", {}, el("tr", {}, ...heads)), body);
  const element = el(
    "div",
    { class: "v-tabled" },
    el("div", { class: "v-scroll", role: "group", tabindex: 0, "aria-label": `${options.caption}, may scroll` }, grid),
    pages,
  );

  function head(column: Column<Row>, i: number): HTMLElement {
    const by = column.by;
    const cell = el("th", { scope: "col", class: column.numeric ? "numeric" : null });
    if (by === undefined) {
      append(cell, [column.title]);
      return cell;
    }
    const button = el("button", { type: "button", class: "v-sort" }, column.title);
    button.addEventListener("click", () => {
      const again = order !== null && order[0] === i;
      order = [i, again ? !order?.[1] : column.numeric === true];
      page = 0;
      arrange();
    });
    cell.append(button);
    return cell;
  }

  function arrange(): void {
    heads.forEach((cell, i) => {
      if (options.columns[i]?.by === undefined) return;
      const mine = order !== null && order[0] === i;
      cell.setAttribute("aria-sort", !mine ? "none" : order?.[1] ? "descending" : "ascending");
    });
    const by = order === null ? undefined : options.columns[order[0]]?.by;
    ordered = by === undefined ? rows : sorted(rows, by, order?.[1] === true);
    go(page);
  }

  function go(to: number): void {
    page = Math.min(Math.max(0, to), last());
    pageRows = ordered.slice(page * size, (page + 1) * size).map((row) => [row, line(row)]);
    body.replaceChildren(...pageRows.map(([, element]) => element));
    if (ordered.length === 0) {
      body.append(el("tr", {}, el("td", { colspan: options.columns.length, class: "v-quiet" }, options.empty ?? "Nothing matches.")));
    }
    pages.hidden = ordered.length <= size;
    status.textContent = `${page * size + 1} to ${Math.min(ordered.length, (page + 1) * size)} of ${ordered.length.toLocaleString("en")}`;
    first.disabled = back.disabled = page === 0;
    forth.disabled = end.disabled = page === last();
    options.drawn?.();
  }

  function line(row: Row): HTMLTableRowElement {
    const element = el("tr");
    for (const column of options.columns) {
      const content = column.cell(row);
      const classes = [column.numeric ? "numeric" : "", column.wide ? "wide" : ""].filter(Boolean).join(" ");
      const cell = column.head
        ? el("th", { scope: "row", class: classes || null })
        : el("td", { class: classes || null });
      append(cell, Array.isArray(content) ? content : [content]);
      element.append(cell);
    }
    options.each?.(row, element);
    return element;
  }

  arrange();
  return {
    element,
    show(next) {
      rows = next;
      page = 0;
      arrange();
    },
    reveal(wanted) {
      const at = ordered.findIndex(wanted);
      if (at < 0) return null;
      if (Math.floor(at / size) !== page) go(Math.floor(at / size));
      return pageRows.find(([row]) => wanted(row))?.[1] ?? null;
    },
    shown: () => pageRows,
  };
}

// Sorted without change of `rows`; null stands last in both directions, and equal rows keep their order.
export function sorted<Row>(
  rows: readonly Row[],
  by: (row: Row) => number | string | null,
  descending: boolean,
): Row[] {
  const sign = descending ? -1 : 1;
  return rows
    .map((row) => ({ row, value: by(row) }))
    .sort((a, b) => {
      if (a.value === null || b.value === null) return a.value === b.value ? 0 : a.value === null ? 1 : -1;
      return a.value < b.value ? -sign : a.value > b.value ? sign : 0;
    })
    .map(({ row }) => row);
}

// --- controls --------------------------------------------------------------------------------------------------------

export function field(label: string, control: HTMLElement, hidden = false): HTMLElement {
  control.id ||= unique("v");
  return el("span", { class: "v-field" }, el("label", { for: control.id, class: hidden ? "v-hidden" : null }, label), control);
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

// Round numbers for an axis from `low` to `high`: 1, 2 or 5 times a power of `base` ten (or two, for bytes).
export function ticks(low: number, high: number, most: number, whole = false): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough) ?? rough;
  if (whole) step = Math.max(1, Math.round(step));
  const found: number[] = [];
  for (let t = Math.ceil(low / step) * step; t <= high + step * 1e-9; t += step) found.push(t);
  return found;
}

// The same for bytes: steps are powers of two.
export function byteTicks(high: number, most: number): number[] {
  if (!(high > 0)) return [0];
  const step = 2 ** Math.ceil(Math.log2(high / Math.max(1, most)));
  const found: number[] = [];
  for (let t = 0; t <= high; t += step) found.push(t);
  return found;
}
