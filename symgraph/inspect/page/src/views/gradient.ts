// Forward and gradient side by side: each forward node with its adjoint, in aligned rows from input to loss. The arcs
// in the margins are the edges of the two halves; forward runs down, gradient runs up.

import type { Gradient, NodeId, Pair, VJP } from "../model";
import type { Context, Reference, View } from "../view";
import {
  el,
  field,
  fill,
  follow,
  choice,
  graphOf,
  haystack,
  lineList,
  linesOf,
  nearPlace,
  nodeButton,
  nodeList,
  nodeName,
  nodePath,
  nodeType,
  nothing,
  count,
  searchField,
  svg,
  type Child,
} from "./parts";
import { table } from "./table";

const PAGE = 50;
const MARGIN = 52; // of the arcs, in pixels

type Which = "all" | "with" | "without" | "zero";

export const gradient: View = {
  id: "gradient",
  title: "Gradient",
  render(context) {
    const found = context.model.gradient;
    if (found === null || found.pairs.length === 0) {
      return nothing(
        "gradient",
        "Forward and gradient",
        "This page has no gradient: nothing here is differentiated.",
        "Explore a graph that gradient or minimize made, or one with a floating-point output that has no axes (a loss).",
      );
    }
    return pairs(context, found);
  },
};

function pairs(context: Context, found: Gradient): HTMLElement {
  const { model } = context;
  const graph = found.graph;
  const at = (node: NodeId): Reference => ({ graph, node });
  const byNode = new Map(found.pairs.map((pair) => [pair.node, pair]));
  const byAdjoint = new Map<NodeId, Pair>();
  for (const pair of found.pairs) {
    for (const node of pair.made) if (!byAdjoint.has(node)) byAdjoint.set(node, pair);
  }
  for (const pair of found.pairs) if (pair.adjoint !== null) byAdjoint.set(pair.adjoint, pair);
  const stage = model.stages.find((each) => each.graph === graph);
  const ordered = [...found.pairs].sort((a, b) => a.node - b.node);

  let words = "";
  let which: Which = "all";
  let scope = "";
  let texts: Map<NodeId, string> | null = null;
  let current: Pair | null = null;

  const panel = el("aside", { class: "v-panel", tabindex: 0, "aria-label": "How the adjoint comes about" });
  const left = svg("svg", { class: "v-arcs", "aria-hidden": "true", width: MARGIN });
  const right = svg("svg", { class: "v-arcs", "aria-hidden": "true", width: MARGIN });

  const grid = table<Pair>({
    caption: "Forward nodes with their adjoints, from input to loss",
    rows: ordered,
    page: PAGE,
    empty: "No node matches the filter.",
    columns: [
      { title: "Forward node", head: true, cell: (pair) => [nodeButton(context, at(pair.node)), type(pair.node)] },
      { title: "Line", cell: (pair) => line(pair) },
      { title: "By the rules", cell: (pair) => rules(pair) },
      { title: "Its adjoint", cell: (pair) => adjoint(pair) },
    ],
    each: (pair, row) => {
      row.dataset["pair"] = String(pair.node);
      row.addEventListener("mouseenter", () => explain(pair));
      row.addEventListener("focusin", () => {
        if (current !== pair) context.announce(said(context, found, pair));
        explain(pair);
      });
    },
    drawn: () => requestAnimationFrame(draw),
  });

  function type(node: NodeId): Child {
    return el("span", { class: "v-type" }, nodeType(model, at(node)));
  }

  function rules(pair: Pair): Child {
    const names = [...new Set(pair.rules.map((use) => use.rule.replace(/^vjp /, "")))];
    if (names.length === 0) return el("span", { class: "v-quiet" }, pair.adjoint === null ? "none" : "seed");
    const many = pair.rules.length;
    const text = `vjp ${names.join(", ")}${many > 1 ? ` (of ${many} uses)` : ""}`;
    return el("span", { class: pair.adjoint === null ? "v-rule v-quiet" : "v-rule", title: text }, text);
  }

  function adjoint(pair: Pair): Child[] {
    if (pair.adjoint === null) {
      return [el("span", { class: "v-none", title: pair.reason }, "no gradient")];
    }
    const zero = pair.zero === "" ? null : el("span", { class: "v-badge warn" }, "zero");
    return [nodeButton(context, at(pair.adjoint)), zero];
  }

  function line(pair: Pair): Child {
    const first = linesOf(model, graph, [pair.node])[0];
    return first === undefined
      ? el("span", { class: "v-quiet" }, "–")
      : el("span", { class: "v-place", title: first.text }, nearPlace(first));
  }

  // --- the panel -----------------------------------------------------------------------------------------------------

  function explain(pair: Pair): void {
    if (current === pair && panel.childElementCount > 0) return;
    current = pair;
    fill(panel, ...explanation(context, found, pair));
    mark();
  }

  // Light up the saved values that the pair's rules need, and its edges.
  function mark(): void {
    const saved = new Set(current?.rules.flatMap((use) => use.saved) ?? []);
    for (const [pair, row] of grid.shown()) {
      row.classList.toggle("current", pair === current);
      row.classList.toggle("saved", saved.has(pair.node));
    }
    draw();
  }

  // --- the arcs ------------------------------------------------------------------------------------------------------

  function draw(): void {
    const rows = new Map<NodeId, number>();
    const top = left.getBoundingClientRect().top;
    const middles = grid.shown().map(([pair, row], i) => {
      rows.set(pair.node, i);
      const box = row.getBoundingClientRect();
      return box.top + box.height / 2 - top;
    });
    const height = (middles.at(-1) ?? 0) + 24;
    for (const side of [left, right]) {
      side.setAttribute("height", String(height));
      side.replaceChildren();
    }
    if (left.getBoundingClientRect().width === 0) return;
    const saved = new Set(current?.rules.flatMap((use) => use.saved) ?? []);
    const inputs = graphOf(model, graph).inputs;
    for (const [pair] of grid.shown()) {
      const to = rows.get(pair.node);
      if (to === undefined) continue;
      for (const operand of inputs[pair.node] ?? []) {
        const from = rows.get(operand);
        if (from === undefined) continue;
        const lit = current !== null && (pair === current || operand === current.node);
        left.append(arc(middles[from] ?? 0, middles[to] ?? 0, -1, lit ? "lit" : "", from - to));
      }
      for (const use of pair.rules) {
        const from = rows.get(use.consumer);
        if (from === undefined) continue;
        const lit = current !== null && pair === current;
        right.append(arc(middles[from] ?? 0, middles[to] ?? 0, 1, lit ? "lit" : "", from - to));
      }
    }
    const here = current === null ? undefined : rows.get(current.node);
    if (here === undefined) return;
    for (const node of saved) {
      const from = rows.get(node);
      if (from !== undefined && from !== here)
        left.append(arc(middles[from] ?? 0, middles[here] ?? 0, -1, "saved", from - here));
    }
  }

  function arc(from: number, to: number, side: 1 | -1, name: string, rows: number): SVGPathElement {
    const reach = Math.min(MARGIN - 8, 10 + 7 * Math.sqrt(Math.abs(rows) * 4));
    const edge = side === 1 ? 0 : MARGIN;
    const out = edge + side * reach * 1.33;
    const tip = edge + side * 6;
    const up = to > from ? -1 : 1;
    return svg("path", {
      class: `arc ${name}`,
      d: `M${edge} ${from}C${out} ${from} ${out} ${to} ${edge + side} ${to}M${tip} ${to - 3 + up}L${edge + side} ${to}L${tip} ${to + 3 + up}`,
    });
  }

  // --- the filters ---------------------------------------------------------------------------------------------------

  function filter(): void {
    texts ??= new Map(ordered.map((pair) => [pair.node, haystack(model, at(pair.node))]));
    const rows = ordered.filter(
      (pair) => fits(pair, which) && inScope(pair) && (words === "" || (texts?.get(pair.node) ?? "").includes(words)),
    );
    grid.show(rows);
    status.textContent = rows.length === ordered.length ? "" : `${count(rows.length, "node")} of ${ordered.length}`;
  }

  function inScope(pair: Pair): boolean {
    const steps = model.origins[graphOf(model, graph).origin[pair.node] ?? -1]?.scope ?? [];
    return scope === "" || `${steps.join("/")}/`.startsWith(`${scope}/`);
  }

  const status = el("span", { class: "v-quiet", role: "status" });
  const controls = el(
    "div",
    { class: "v-controls" },
    searchField("Filter by name, type, scope or line", (text) => {
      words = text;
      filter();
    }),
    field(
      "Show",
      choice(whiches(found), (value) => {
        which = value as Which;
        filter();
      }),
    ),
    scopePicker(context, found, (value) => {
      scope = value;
      filter();
    }),
    status,
  );

  const root = el(
    "section",
    { class: "v-view v-gradient", "aria-label": "Forward and gradient" },
    el("h2", {}, "Forward and gradient"),
    el("p", {}, summary(found)),
    stage === undefined ? null : el("p", { class: "v-quiet" }, stage.about),
    controls,
    el("div", { class: "v-split" }, el("div", { class: "v-mirror" }, left, grid.element, right), panel),
  );
  fill(
    panel,
    el(
      "p",
      { class: "v-quiet" },
      "Point at a row, or go to one with the keyboard, to see how its adjoint comes about.",
    ),
  );

  const pairOf = (selection: Reference | null): Pair | null =>
    selection?.graph === graph ? (byNode.get(selection.node) ?? byAdjoint.get(selection.node) ?? null) : null;
  const select = (selection: Reference | null): void => {
    const pair = pairOf(selection);
    if (pair === null) return;
    explain(pair);
    const row = grid.reveal((one) => one === pair);
    row?.scrollIntoView({ block: "nearest" });
    mark();
    context.announce(said(context, found, pair));
  };
  follow(context, root, select);
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(grid.element);
  return root;
}

// --- what is said ------------------------------------------------------------------------------------------------------

function summary(found: Gradient): string {
  const reached = found.pairs.filter((pair) => pair.adjoint !== null).length;
  const zero = found.pairs.filter((pair) => pair.zero !== "").length;
  const by =
    found.wrt.length === 0 ? "" : ` by ${found.wrt.slice(0, 6).join(", ")}${found.wrt.length > 6 ? ", …" : ""}`;
  const zeros = zero === 0 ? "" : ` ${count(zero, "adjoint is", "adjoints are")} zero everywhere in this run.`;
  return `The derivative of ${found.of}${by}: ${count(found.pairs.length, "forward node")}, ${reached} with an adjoint.${zeros}`;
}

function fits(pair: Pair, which: Which): boolean {
  if (which === "with") return pair.adjoint !== null;
  if (which === "without") return pair.adjoint === null;
  return which === "all" || pair.zero !== "";
}

function whiches(found: Gradient): [string, string][] {
  const count = (which: Which): number => found.pairs.filter((pair) => fits(pair, which)).length;
  return [
    ["all", `all nodes (${found.pairs.length})`],
    ["with", `with a gradient (${count("with")})`],
    ["without", `without (${count("without")})`],
    ["zero", `zero everywhere (${count("zero")})`],
  ];
}

function scopePicker(context: Context, found: Gradient, changed: (scope: string) => void): HTMLElement | null {
  const { model } = context;
  const scopes = new Set<string>();
  for (const pair of found.pairs) {
    const steps = model.origins[graphOf(model, found.graph).origin[pair.node] ?? -1]?.scope ?? [];
    for (let i = 1; i <= steps.length; i++) scopes.add(steps.slice(0, i).join("/"));
  }
  if (scopes.size === 0) return null;
  const options = [...scopes].sort().slice(0, 500);
  return field("Scope", choice([["", "all scopes"], ...options.map((one): [string, string] => [one, one])], changed));
}

// How a pair's adjoint comes about: its uses, what they read, or why there is none.
function explanation(context: Context, found: Gradient, pair: Pair): HTMLElement[] {
  const { model } = context;
  const graph = found.graph;
  const at = (node: NodeId): Reference => ({ graph, node });
  const parts: HTMLElement[] = [
    el("h3", {}, nodeName(model, at(pair.node))),
    el("p", { class: "v-type" }, nodeType(model, at(pair.node))),
    lineList(linesOf(model, graph, [pair.node]), 3),
  ];
  if (pair.adjoint === null) {
    parts.push(el("h4", {}, "Why is there no gradient here?"), el("p", { class: "v-why" }, pair.reason));
    if (pair.path.length > 0) parts.push(nodePath(context, graph, pair.path, "The way to where the derivative stops"));
  } else {
    parts.push(
      el("h4", {}, "Adjoint"),
      el(
        "p",
        {},
        nodeButton(context, at(pair.adjoint)),
        " ",
        el("span", { class: "v-type" }, nodeType(model, at(pair.adjoint))),
      ),
    );
    parts.push(
      pair.rules.length === 0
        ? el("p", {}, `It is where the derivative of ${found.of} starts: the seed.`)
        : el("ol", { class: "v-uses" }, ...pair.rules.map((use) => el("li", {}, ...told(context, found, use)))),
    );
    if (pair.zero !== "") {
      parts.push(el("h4", {}, "Why is it zero?"), el("p", { class: "v-why" }, pair.zero));
      if (pair.zeroPath.length > 0)
        parts.push(nodePath(context, graph, pair.zeroPath, "The way to the node whose rule gave zero"));
    }
    if (pair.path.length > 1) {
      parts.push(
        el("h4", {}, `On the way to ${found.of}`),
        nodePath(context, graph, pair.path, `The way to ${found.of}`),
      );
    }
  }
  if (pair.saved.length > 0) {
    parts.push(el("h4", {}, "Forward values that its own rule reads"), nodeList(context, graph, pair.saved));
  }
  if (pair.made.length > 0) {
    parts.push(el("h4", {}, "Gradient nodes that its own rule made"), nodeList(context, graph, pair.made));
  }
  return parts;
}

function told(context: Context, found: Gradient, use: VJP): Child[] {
  const at = (node: NodeId): Reference => ({ graph: found.graph, node });
  const parts: Child[] = [
    el("code", { class: "v-rule" }, use.rule),
    ` of operand ${use.operand} of `,
    nodeButton(context, at(use.consumer)),
  ];
  if (use.result !== null) parts.push(" gives ", nodeButton(context, at(use.result)));
  if (use.saved.length > 0) {
    parts.push(
      el("div", { class: "v-reads" }, el("span", {}, "needs the saved "), nodeList(context, found.graph, use.saved, 6)),
    );
  } else parts.push(el("div", { class: "v-quiet" }, "needs no saved value"));
  return parts;
}

function said(context: Context, found: Gradient, pair: Pair): string {
  const at = (node: NodeId): string => nodeName(context.model, { graph: found.graph, node });
  if (pair.adjoint === null) return `${at(pair.node)} has no gradient: ${pair.reason}`;
  const zero = pair.zero === "" ? "" : ` It is zero: ${pair.zero}`;
  const rules = pair.rules.map((use) => use.rule).join(", ") || "the seed";
  return `The adjoint of ${at(pair.node)} is ${at(pair.adjoint)}, by ${rules}.${zero}`;
}
