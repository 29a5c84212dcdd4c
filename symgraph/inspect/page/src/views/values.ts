// The values of a run: each node's statistics, histogram, picture and first values; the first that is not finite.

import type { GraphValues, NodeId, Statistics, Values } from "../model";
import type { Context, Reference, View } from "../view";
import { histogram, pictured, spark } from "./charts";
import {
  choice,
  choices,
  el,
  field,
  fill,
  follow,
  graphOf,
  haystack,
  lineList,
  linesOf,
  nodeButton,
  nodeName,
  nodeType,
  nothing,
  count,
  replace,
  searchField,
  type Child,
} from "./parts";
import { short } from "../numbers";
import { table } from "./table";

interface Row {
  node: NodeId;
  statistics: Statistics;
}

type Which = "all" | "bad" | "zero";

export const values: View = {
  id: "values",
  title: "Values",
  render(context) {
    const found = context.model.values;
    if (found === null || found.graphs.length === 0) {
      return nothing(
        "values",
        "Values",
        "This page has no values: no feed was given.",
        "Give one with explore --feed batch.npz, or sg.explore(graph, feeds=...), to see what every node is in that run.",
      );
    }
    return shown(context, found);
  },
};

function shown(context: Context, found: Values): HTMLElement {
  const { model } = context;
  const content = el("div", { class: "v-stack" });
  const root = el(
    "section",
    { class: "v-view v-values", "aria-label": "Values" },
    el("h2", {}, "Values"),
    el("p", {}, `What every node is in one run, fed from ${found.feed}.`),
  );
  if (found.graphs.length > 1) {
    const names = found.graphs.map((one, i): [string, string] => [String(i), titleOf(context, one)]);
    root.append(
      el(
        "div",
        { class: "v-controls" },
        field(
          "Graph",
          choice(names, (value) => open(Number(value))),
        ),
      ),
    );
  }
  root.append(content);

  let listener: ((selection: Reference | null) => void) | null = null;
  function open(i: number): void {
    const chosen = found.graphs[i];
    if (chosen === undefined) return;
    const made = ofGraph(context, chosen);
    listener = made.selected;
    replace(content, made.element);
    listener(context.selection);
  }
  follow(context, root, (selection) => {
    const i = found.graphs.findIndex((one) => one.graph === selection?.graph);
    const picker = root.querySelector<HTMLSelectElement>(".v-controls select");
    if (i >= 0 && found.graphs.length > 1 && picker !== null && picker.value !== String(i)) {
      picker.value = String(i);
      open(i);
      return;
    }
    listener?.(selection);
  });
  const selected = found.graphs.findIndex((one) => one.graph === context.selection?.graph);
  const bad = found.graphs.findIndex((one) => one.first !== null);
  const first = Math.max(0, selected >= 0 ? selected : bad);
  const picker = root.querySelector<HTMLSelectElement>(".v-controls select");
  if (picker !== null) picker.value = String(first);
  open(first);
  return root;

  function titleOf({ model: { stages } }: Context, one: GraphValues): string {
    const name = stages.find((stage) => stage.graph === one.graph)?.name ?? graphOf(model, one.graph).title;
    return one.first === null ? name : `${name} (not finite from %${one.first} on)`;
  }
}

const bad = (one: Statistics): number => one.nan + one.posinf + one.neginf;
const allZero = (one: Statistics): boolean => one.count > 0 && one.zeros === one.count;

function fits({ statistics }: Row, which: Which): boolean {
  return which === "all" || (which === "bad" ? bad(statistics) > 0 : allZero(statistics));
}

function ofGraph(
  context: Context,
  given: GraphValues,
): { element: HTMLElement; selected: (selection: Reference | null) => void } {
  const { model } = context;
  const graph = given.graph;
  const at = (node: NodeId): Reference => ({ graph, node });
  const rows: Row[] = given.nodes.flatMap((statistics, node) => (statistics === null ? [] : [{ node, statistics }]));
  let words = "";
  let which: Which = "all";
  let texts: Map<NodeId, string> | null = null;
  let current: NodeId | null = null;

  const detail = el("aside", { class: "v-panel", tabindex: 0, "aria-label": "The value" });
  const number = (value: string | null): number | null => (value === null ? null : Number(value));
  const grid = table<Row>({
    caption: "Values of the nodes",
    rows,
    empty: "No value matches the filter.",
    columns: [
      { title: "Node", head: true, by: (row) => row.node, cell: (row) => marked(row) },
      { title: "Histogram", cell: (row) => spark(row.statistics.counts, bad(row.statistics)) },
      {
        title: "Min",
        numeric: true,
        by: (row) => number(row.statistics.min),
        cell: (row) => exact(row.statistics.min),
      },
      {
        title: "Max",
        numeric: true,
        by: (row) => number(row.statistics.max),
        cell: (row) => exact(row.statistics.max),
      },
      {
        title: "Mean",
        numeric: true,
        by: (row) => number(row.statistics.mean),
        cell: (row) => exact(row.statistics.mean),
      },
      {
        title: "Deviation",
        numeric: true,
        by: (row) => number(row.statistics.deviation),
        cell: (row) => exact(row.statistics.deviation),
      },
      { title: "Not finite", numeric: true, by: (row) => bad(row.statistics), cell: (row) => counted(row.statistics) },
      {
        title: "Zeros",
        numeric: true,
        by: (row) => (row.statistics.count === 0 ? null : row.statistics.zeros / row.statistics.count),
        cell: (row) => zeros(row.statistics),
      },
      { title: "Type", cell: (row) => el("span", { class: "v-type" }, typeOf(row.statistics)) },
    ],
    each: (row, element) => {
      element.classList.toggle("bad", bad(row.statistics) > 0);
      element.classList.toggle("current", row.node === current);
      element.addEventListener("click", (event) => {
        if (!(event.target as Element).closest("button")) context.select(at(row.node));
      });
    },
  });

  function marked(row: Row): Child[] {
    const first = given.first === row.node ? el("span", { class: "v-badge bad" }, "first not finite") : null;
    return [nodeButton(context, at(row.node)), first];
  }

  function filter(): void {
    texts ??= new Map(rows.map((row) => [row.node, haystack(model, at(row.node))]));
    const found = rows.filter(
      (row) => fits(row, which) && (words === "" || (texts?.get(row.node) ?? "").includes(words)),
    );
    grid.show(found);
    status.textContent = found.length === rows.length ? "" : `${count(found.length, "value")} of ${rows.length}`;
  }

  const many = (one: Which): number => rows.filter((row) => fits(row, one)).length;
  const status = el("span", { class: "v-quiet", role: "status" });
  const controls = el(
    "div",
    { class: "v-controls" },
    searchField("Search by name, type or line", (text) => {
      words = text;
      filter();
    }),
    choices(
      "Which values",
      [
        ["all", `All (${rows.length})`],
        ["bad", `Not finite (${many("bad")})`],
        ["zero", `All zero (${many("zero")})`],
      ],
      "all",
      (value) => {
        which = value as Which;
        filter();
      },
    ),
    status,
  );

  function selected(selection: Reference | null): void {
    if (selection?.graph !== graph) return;
    const statistics = given.nodes[selection.node];
    current = selection.node;
    if (statistics === null || statistics === undefined) {
      fill(detail, el("h3", {}, nodeName(model, selection)), el("p", { class: "v-quiet" }, "Its value was not kept."));
    } else {
      fill(detail, ...details(context, selection, statistics));
      const row = grid.reveal((one) => one.node === selection.node);
      row?.scrollIntoView({ block: "nearest" });
    }
    for (const [row, element] of grid.shown()) element.classList.toggle("current", row.node === current);
  }

  fill(detail, el("p", { class: "v-quiet" }, "Choose a node to see its histogram, its picture and its first values."));
  const element = el(
    "div",
    { class: "v-stack" },
    banner(context, given),
    controls,
    el("div", { class: "v-split" }, grid.element, detail),
  );
  if (given.first !== null && context.selection?.graph !== graph) {
    const statistics = given.nodes[given.first];
    if (statistics) fill(detail, ...details(context, at(given.first), statistics));
  }
  return { element, selected };
}

function zero(given: GraphValues): string {
  const many = given.nodes.filter((one) => one !== null && allZero(one)).length;
  return many === 0 ? "" : `; ${count(many, "value")} ${many === 1 ? "is" : "are"} all zero`;
}

// The first node that is not finite: its name, its line, and what went into it.
function banner(context: Context, given: GraphValues): HTMLElement {
  if (given.first === null) {
    return el("p", { class: "v-note good" }, `Every value is finite${zero(given)}.`);
  }
  const { model } = context;
  const at = (node: NodeId): Reference => ({ graph: given.graph, node });
  const own = given.nodes[given.first];
  const operands = [...new Set(graphOf(model, given.graph).inputs[given.first] ?? [])];
  const box = el(
    "div",
    { class: "v-note bad", role: "group", "aria-label": "The first value that is not finite" },
    el(
      "p",
      {},
      el("strong", {}, "The first value that is not finite is "),
      nodeButton(context, at(given.first)),
      own ? `: ${sentence(own)}` : ".",
    ),
    lineList(linesOf(model, given.graph, [given.first]), 3),
  );
  if (operands.length > 0) {
    const list = operands.map((node) => {
      const one = given.nodes[node];
      return el("li", {}, nodeButton(context, at(node)), " ", one ? sentence(one) : "was not kept");
    });
    box.append(el("p", {}, "It is computed from"), el("ul", { class: "v-operands" }, ...list));
  }
  return box;
}

const typeOf = (one: Statistics): string => `${one.dtype.replace(/^float|^int/, (kind) => kind.charAt(0))}[${one.shape.join(",")}]`;

function sentence(one: Statistics): string {
  const found = counts(one);
  const range =
    one.min === null ? "no finite value" : `from ${short(one.min)} to ${short(one.max)}, mean ${short(one.mean)}`;
  return `${typeOf(one)}, ${range}${found === "" ? "" : `; ${found}`}.`;
}

function counts(one: Statistics): string {
  const named: [number, string][] = [
    [one.nan, "NaN"],
    [one.posinf, "inf"],
    [one.neginf, "-inf"],
  ];
  return named
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${count.toLocaleString("en")} ${name}`)
    .join(", ");
}

const exact = (value: string | null): Child => el("span", { title: value ?? "" }, short(value));

function counted(one: Statistics): Child {
  return bad(one) === 0 ? el("span", { class: "v-quiet" }, "0") : el("span", { class: "v-bad" }, counts(one));
}

function zeros(one: Statistics): string {
  if (one.count === 0) return "–";
  if (one.zeros === 0) return "0";
  return allZero(one) ? "all" : `${((100 * one.zeros) / one.count).toFixed(1)} %`;
}

function details(context: Context, reference: Reference, one: Statistics): Element[] {
  const { model } = context;
  const lines = linesOf(model, reference.graph, [reference.node]);
  const facts: [string, string][] = [
    ["elements", one.count.toLocaleString("en")],
    ["min", one.min ?? "–"],
    ["max", one.max ?? "–"],
    ["mean", one.mean ?? "–"],
    ["deviation", one.deviation ?? "–"],
    ["zeros", one.zeros.toLocaleString("en")],
    ["not finite", counts(one) || "none"],
  ];
  const parts: Element[] = [
    el("h3", {}, nodeName(model, reference)),
    el("p", { class: "v-type" }, nodeType(model, reference) || typeOf(one)),
    lineList(lines.slice(0, 3)),
    el("dl", { class: "v-facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
  ];
  if (one.counts.length > 0) {
    parts.push(el("h4", {}, "Histogram of the finite values"), histogram(one.edges, one.counts), binTable(one));
  }
  if (one.picture !== null) parts.push(el("h4", {}, "Picture"), pictured(one.picture, `${nodeName(model, reference)}`));
  if (one.sample.length > 0) {
    parts.push(
      el("h4", {}, one.sample.length < one.count ? `The first ${one.sample.length} values` : "All values"),
      el("p", { class: "v-sample" }, ...one.sample.flatMap((value) => [el("span", {}, value), "  "])),
    );
  }
  return parts;
}

function binTable(one: Statistics): HTMLElement {
  const rows = one.counts.map((count, i) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, `${short(one.edges[i] ?? null)} to ${short(one.edges[i + 1] ?? null)}`),
      el("td", { class: "numeric" }, count.toLocaleString("en")),
    ),
  );
  return el(
    "details",
    {},
    el("summary", {}, "The histogram as a table"),
    el(
      "table",
      { class: "v-table" },
      el("caption", { class: "v-hidden" }, "Histogram"),
      el(
        "thead",
        {},
        el("tr", {}, el("th", { scope: "col" }, "From, to"), el("th", { scope: "col", class: "numeric" }, "Values")),
      ),
      el("tbody", {}, ...rows),
    ),
  );
}
