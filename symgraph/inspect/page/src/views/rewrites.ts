// The ledger: every rewrite of the pipeline, the graph before and after it, and what it was worth.

import { count, cut, h, replace } from "../dom";
import { layout } from "../layout";
import { graphOf, lineOf, placeOf, sameLines } from "../lookup";
import type { GraphId, Model, NodeId, Rewrite } from "../model";
import { near, type Near } from "../near";
import { picture } from "../picture";
import type { Context, Reference, View } from "../view";
import { numericsBadge } from "./parts";

const MOST_ROWS = 400;

export const rewrites: View = { id: "rewrites", title: "Rewrites", render };

// Where the steps' list is told to go from other parts of the page.
const wanted = new EventTarget();
let start = 0;

export function openStep(context: Context, at: number): void {
  start = at;
  context.show("rewrites");
  wanted.dispatchEvent(new Event("step"));
}

// The rewrites that made a node or replaced it.
export function stepsOf(model: Model, reference: Reference): { at: number; made: boolean }[] {
  return model.rewrites.flatMap((rewrite, at) => [
    ...(rewrite.made === reference.graph && rewrite.after.includes(reference.node) ? [{ at, made: true }] : []),
    ...(rewrite.given === reference.graph && rewrite.before.includes(reference.node) ? [{ at, made: false }] : []),
  ]);
}

function render(context: Context): HTMLElement {
  const { model } = context;
  const total = model.rewrites.length;
  if (total === 0)
    return h("p", { class: "note" }, "No rewrite changed this graph: the optimised graph is the declared one.");
  let at = Math.min(start, total - 1);
  let turn = 0;

  const before = side(context, "Before", "gone");
  const after = side(context, "After", "new");
  const slider = h("input", {
    type: "range",
    min: 1,
    max: total,
    step: 1,
    value: at + 1,
    "aria-label": "Rewrite",
    oninput: () => go(Number(slider.value) - 1),
  });
  const back = h(
    "button",
    { class: "plain", "aria-label": "Previous rewrite", title: "Previous rewrite ([)", onclick: () => go(at - 1) },
    "‹",
  );
  const on = h(
    "button",
    { class: "plain", "aria-label": "Next rewrite", title: "Next rewrite (])", onclick: () => go(at + 1) },
    "›",
  );
  const number = h("output", { class: "step" });
  const card = h("div", { class: "card" });
  const ledger = steps(model, (step) => go(step));
  const element = h(
    "div",
    { class: "rewrites" },
    h("div", { class: "toolbar" }, h("div", { class: "segments" }, back, on), slider, number),
    ledger.element,
    h("div", { class: "change" }, card, h("div", { class: "sides" }, before.element, after.element)),
  );
  wanted.addEventListener("step", () => go(start));
  document.addEventListener("keydown", keys);
  context.subscribe(() => light());
  queueMicrotask(() => go(at));
  return element;

  function keys(event: KeyboardEvent): void {
    const to = { "[": at - 1, "]": at + 1 }[event.key];
    if (to === undefined || element.offsetParent === null) return;
    if (event.target instanceof HTMLInputElement && event.target.type !== "range") return;
    event.preventDefault();
    go(to);
  }

  function go(to: number): void {
    at = Math.max(0, Math.min(total - 1, to));
    const rewrite = model.rewrites[at];
    if (rewrite === undefined) return;
    slider.value = String(at + 1);
    slider.setAttribute("aria-valuetext", `${at + 1} of ${total}: ${rewrite.rule}`);
    number.textContent = `${(at + 1).toLocaleString("en")} of ${total.toLocaleString("en")}`;
    back.disabled = at === 0;
    on.disabled = at === total - 1;
    replace(card, ...about(context, rewrite, sharing(model, rewrite)));
    ledger.mark(at);
    turn += 1;
    const mine = turn;
    const current = (): boolean => mine === turn;
    const { given, made } = rewrite;
    void before.show({ graph: given, nodes: rewrite.before }, { graph: made, nodes: rewrite.after }, current);
    void after.show({ graph: made, nodes: rewrite.after }, { graph: given, nodes: rewrite.before }, current);
    context.announce(`Rewrite ${at + 1} of ${total}: ${rewrite.rule}`);
  }

  function light(): void {
    before.light();
    after.light();
  }
}

// How many rewrites have the same graphs before and after: those of one sweep.
function sharing(model: Model, { given, made }: Rewrite): number {
  return model.rewrites.filter((each) => each.given === given && each.made === made).length;
}

function about(context: Context, rewrite: Rewrite, shared: number): HTMLElement[] {
  const { model } = context;
  const lines = rewrite.sources
    .slice(0, 4)
    .map(([file, line]) =>
      h(
        "p",
        {},
        h("span", { class: "where mono" }, placeOf(model, file, line)),
        h("code", {}, lineOf(model, file, line).trim()),
      ),
    );
  const more = rewrite.sources.length - lines.length;
  const words = h(
    "div",
    { class: "words" },
    h("h2", {}, rewrite.rule),
    h(
      "p",
      { class: "tags" },
      h("span", { class: "tag stage" }, `step ${rewrite.step} of the ledger`),
      h("span", { class: "tag stage" }, rewrite.pass),
      numericsBadge(rewrite.numerics, `numerics: ${rewrite.numerics}`),
    ),
    h("div", { class: "lines" }, ...lines, more > 0 && h("p", { class: "muted" }, `and ${count(more, "line")} more`)),
    rewrite.given === rewrite.made && h("p", { class: "muted" }, SAME),
    rewrite.given !== rewrite.made && shared > 1 && h("p", { class: "muted" }, sweep(shared)),
  );
  return [words, table(rewrite)];
}

const SAME = "The graph stays the same: only the code that is made for it differs.";

function sweep(shared: number): string {
  return `One sweep made ${shared.toLocaleString("en")} rewrites: the graphs are those before and after all of them.`;
}

function table(rewrite: Rewrite): HTMLElement {
  const heads = ["Before", "After", "Change"].map((name) => h("th", { scope: "col" }, name));
  return h(
    "table",
    { class: "worth" },
    h("caption", { class: "unseen" }, "Work and memory before and after"),
    h("thead", {}, h("tr", {}, h("td"), ...heads)),
    h(
      "tbody",
      {},
      worth("flops", rewrite.flopsBefore, rewrite.flopsAfter, rewrite.flops),
      worth("bytes", rewrite.bytesBefore, rewrite.bytesAfter, rewrite.bytes),
    ),
  );
}

function worth(name: string, was: string, is: string, change: string): HTMLElement {
  const sign = change.startsWith("-") ? "less" : change === "0" || change === "" ? "" : "more";
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, name),
    ...[was, is].map((text) => h("td", {}, cut(text, 60))),
    h("td", { class: sign }, cut(change, 60)),
  );
}

// One of the two drawings.

interface Place {
  readonly graph: GraphId;
  readonly nodes: readonly NodeId[];
}

interface Side {
  readonly element: HTMLElement;
  readonly show: (place: Place, other: Place, current: () => boolean) => Promise<void>;
  readonly light: () => void;
}

function side(context: Context, name: string, mark: string): Side {
  const { model } = context;
  let shown: Place = { graph: -1, nodes: [] };
  let scene: Near | null = null;
  const drawing = picture(name, {
    pick: (box) => (box.node === null ? undefined : context.select({ graph: shown.graph, node: box.node })),
  });
  const title = h("h3", {}, name);
  const element = h("section", { class: "side", "aria-label": name }, title, drawing.element);

  async function show(place: Place, other: Place, current: () => boolean): Promise<void> {
    const here = graphOf(model, place.graph);
    const centre = place.nodes.length > 0 ? place.nodes : around(model, place.graph, other);
    const found = near(model, here, centre);
    drawing.element.setAttribute("aria-busy", "true");
    const laid = await layout(found);
    if (!current()) return;
    [shown, scene] = [place, found];
    replace(title, `${name}: ${here.title}`, h("span", {}, told(found, place, other)));
    drawing.draw(found, laid);
    light();
    const changed = boxesOf(centre);
    if (changed.length > 0) drawing.bring(changed);
  }

  function told(found: Near, place: Place, other: Place): string {
    if (place.nodes.length === 0 && other.nodes.length > 0) {
      return name === "Before" ? "what it took was made in this sweep" : "nothing is left of it";
    }
    if (found.left === 0) return count(found.nodes.size, "node");
    if (place.nodes.length === 0) return `${count(found.left, "node")}; no one of them is what changed`;
    return `${count(found.nodes.size, "node")} around the change, ${found.left.toLocaleString("en")} not shown`;
  }

  function boxesOf(nodes: readonly NodeId[]): number[] {
    return nodes.flatMap((node) => scene?.nodes.get(node) ?? []);
  }

  function light(): void {
    const classes = new Map(boxesOf(shown.nodes).map((box) => [box, mark]));
    const { selection } = context;
    const chosen = selection?.graph === shown.graph ? scene?.nodes.get(selection.node) : undefined;
    if (chosen !== undefined) classes.set(chosen, `${classes.get(chosen) ?? ""} selected`);
    drawing.mark(classes);
  }

  return { element, show, light };
}

// Where a rewrite has no nodes of its own on one side: what comes from the same lines as those of the other.
function around(model: Model, graph: GraphId, other: Place): NodeId[] {
  const there = graphOf(model, other.graph);
  const found = other.nodes.flatMap((node) => sameLines(model, graphOf(model, graph), there, node));
  return [...new Set(found)].slice(0, 6);
}

// The list of all steps.

interface Steps {
  readonly element: HTMLElement;
  readonly mark: (at: number) => void;
}

function steps(model: Model, go: (at: number) => void): Steps {
  const rows = h("ol", { class: "rows" });
  const told = h("p", { class: "muted told" });
  const input = h("input", {
    type: "search",
    placeholder: "Filter rewrites",
    "aria-label": "Filter rewrites by rule, pass, numerics or line",
    oninput: () => {
      const first = fill();
      if (first !== undefined) go(first);
    },
  });
  const element = h("nav", { class: "ledger", "aria-label": "All rewrites" }, input, told, rows);
  let current = 0;
  let buttons = new Map<number, HTMLElement>();
  const texts = model.rewrites.map((rewrite) =>
    [rewrite.rule, rewrite.pass, rewrite.numerics, ...rewrite.sources.map(([file, line]) => placeOf(model, file, line))]
      .join(" ")
      .toLowerCase(),
  );
  fill();

  // Lists what matches; returns the first of it where what is shown is not among it.
  function fill(): number | undefined {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = texts.flatMap((text, at) => (words.every((word) => text.includes(word)) ? [at] : []));
    const near = Math.max(0, found.findIndex((at) => at >= current) - MOST_ROWS / 2);
    const first = found.length <= MOST_ROWS ? 0 : Math.min(near, found.length - MOST_ROWS);
    const shown = found.slice(first, first + MOST_ROWS);
    buttons = new Map(shown.map((at) => [at, row(at)]));
    replace(rows, ...[...buttons.values()].map((button) => h("li", {}, button)));
    told.textContent =
      shown.length < found.length
        ? `${count(found.length, "rewrite")}, ${MOST_ROWS} listed`
        : count(found.length, "rewrite");
    mark(current);
    return found.includes(current) ? undefined : found[0];
  }

  function row(at: number): HTMLElement {
    const rewrite = model.rewrites[at];
    const [source] = rewrite?.sources ?? [];
    const where = source === undefined ? "" : placeOf(model, source[0], source[1]).replace(/^.*\//, "");
    return h(
      "button",
      { class: "node rewritten", onclick: () => go(at) },
      h("span", { class: "id" }, `${at + 1}`),
      h("span", { class: "name" }, rewrite?.rule ?? ""),
      h("span", { class: "type" }, [rewrite?.pass, where].filter(Boolean).join("  ")),
    );
  }

  function mark(at: number): void {
    buttons.get(current)?.removeAttribute("aria-current");
    current = at;
    if (!buttons.has(at) && input.value === "") {
      fill();
      return;
    }
    const button = buttons.get(at);
    button?.setAttribute("aria-current", "step");
    if (button !== undefined) {
      const [top, bottom] = [
        button.offsetTop - rows.offsetTop,
        button.offsetTop - rows.offsetTop + button.offsetHeight,
      ];
      if (top < rows.scrollTop) rows.scrollTop = top;
      else if (bottom > rows.scrollTop + rows.clientHeight) rows.scrollTop = bottom - rows.clientHeight;
    }
  }

  return { element, mark };
}
