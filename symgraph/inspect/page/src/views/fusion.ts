// Fusion: which nodes run as one kernel and why; and for any two that do not, why not.

import type { Declined, Fusion, Kernel, NodeId } from "../model";
import type { Context, Reference, View } from "../view";
import { drawing } from "./drawing";
import {
  away,
  choice,
  count,
  el,
  field,
  fill,
  follow,
  graphOf,
  haystack,
  kernelLines,
  lineList,
  nearPlace,
  nodeButton,
  nodeList,
  nodeName,
  numericsBadge,
  nothing,
  place,
  replace,
  searchField,
  string,
  unique,
  type Child,
} from "./parts";
import { largest } from "../numbers";
import { table } from "./table";

const DRAWN = 400; // nodes, above which the drawing says less than the tables
const OPEN = 60; // nodes, up to which it is shown without being asked for

export const fusion: View = {
  id: "fusion",
  title: "Fusion",
  render(context) {
    const found = context.model.fusion;
    if (found.kernels.length === 0 && found.declined.length === 0) {
      return nothing(
        "fusion",
        "Fusion",
        `Nothing was fused for the backend ${context.model.about.backend}: each node is a kernel of its own.`,
        "Compile with the backend numpy or llvm to see kernels of several nodes.",
      );
    }
    return shown(context, found);
  },
};

function shown(context: Context, found: Fusion): HTMLElement {
  const { model } = context;
  const unfused = (node: NodeId): Reference => ({ graph: found.unfused, node });
  const fused = (node: NodeId): Reference => ({ graph: found.fused, node });
  const home = new Map<NodeId, Kernel>();
  for (const kernel of found.kernels) for (const node of kernel.members) home.set(node, kernel);
  const size = graphOf(model, found.unfused).op.length;

  const detail = el("aside", { class: "v-panel", tabindex: 0, "aria-label": "The kernel" });
  let current: Kernel | null = null;

  // --- kernels -------------------------------------------------------------------------------------------------------

  const kernels = table<Kernel>({
    caption: "Kernels",
    rows: found.kernels,
    page: 25,
    sorted: [1, true],
    columns: [
      {
        title: "Kernel",
        head: true,
        by: (kernel) => kernel.node,
        cell: (kernel) => nodeButton(context, fused(kernel.node)),
      },
      { title: "Nodes", numeric: true, by: (kernel) => kernel.members.length, cell: (kernel) => kernel.members.length },
      { title: "Members", wide: true, cell: (kernel) => nodeList(context, found.unfused, kernel.members, 6) },
      { title: "Numerics", by: (kernel) => kernel.numerics, cell: (kernel) => numericsBadge(kernel.numerics) },
      { title: "Lines", wide: true, cell: (kernel) => lines(kernel) },
    ],
    each: (kernel, row) => {
      row.classList.toggle("current", kernel === current);
      row.addEventListener("click", (event) => {
        if (!(event.target as Element).closest("button")) context.select(fused(kernel.node));
      });
    },
  });

  function lines(kernel: Kernel): Child {
    const all = kernelLines(model, kernel.node);
    if (all.length === 0) return el("span", { class: "v-quiet" }, "–");
    const more = all.length > 3 ? ` and ${all.length - 3} more` : "";
    return el(
      "span",
      { class: "v-place", title: all.map(place).join("\n") },
      all.slice(0, 3).map(nearPlace).join(", ") + more,
    );
  }

  let texts: Map<Kernel, string> | null = null;
  const filter = searchField("Filter by member, type or line", (words) => {
    texts ??= new Map(
      found.kernels.map((kernel) => [
        kernel,
        [kernel.name, ...kernel.members.map((node) => haystack(model, unfused(node)))].join("\n").toLowerCase(),
      ]),
    );
    kernels.show(found.kernels.filter((kernel) => (texts?.get(kernel) ?? "").includes(words)));
  });

  // --- what keeps neighbours apart -----------------------------------------------------------------------------------

  const reasons = tally(found.declined, (row) => general(row.reason));
  const apart = table<Declined>({
    caption: "Neighbours that do not share a kernel",
    rows: found.declined,
    page: 25,
    empty: "No neighbours are apart.",
    columns: [
      {
        title: "Producer",
        head: true,
        by: (row) => row.producer,
        cell: (row) => nodeButton(context, unfused(row.producer)),
      },
      { title: "Consumer", by: (row) => row.consumer, cell: (row) => nodeButton(context, unfused(row.consumer)) },
      { title: "Why not", wide: true, by: (row) => row.reason, cell: (row) => row.reason },
    ],
  });
  const byReason = field(
    "Reason",
    choice(
      [
        ["", `all (${found.declined.length})`],
        ...reasons.map(([reason, many]): [string, string] => [reason, `${reason} (${many})`]),
      ],
      (reason) => apart.show(found.declined.filter((row) => reason === "" || general(row.reason) === reason)),
    ),
  );

  const root = el(
    "section",
    { class: "v-view v-fusion", "aria-label": "Fusion" },
    el("h2", {}, "Fusion"),
    el("p", {}, summary(found, size)),
    asking(context, found, home),
    size > DRAWN ? null : drawn(context, found, home, size <= OPEN),
    el("h3", {}, "Kernels"),
    el("div", { class: "v-controls" }, filter),
    el("div", { class: "v-split" }, kernels.element, detail),
    el("h3", {}, "Neighbours apart"),
    el("div", { class: "v-controls" }, byReason),
    apart.element,
  );
  fill(detail, el("p", { class: "v-quiet" }, "Choose a kernel or a node to see why its nodes run as one."));

  follow(context, root, (selection) => {
    const kernel = kernelAt(selection);
    current = kernel;
    for (const [one, row] of kernels.shown()) row.classList.toggle("current", one === kernel);
    if (kernel === null) return;
    const row = kernels.reveal((one) => one === kernel);
    for (const [one, element] of kernels.shown()) element.classList.toggle("current", one === kernel);
    if (away(root)) row?.scrollIntoView({ block: "nearest" });
    fill(
      detail,
      el("h3", {}, nodeName(model, fused(kernel.node))),
      el("p", {}, el("strong", {}, kernel.name), " ", numericsBadge(kernel.numerics)),
      el("p", { class: "v-why" }, kernel.why),
      el("h4", {}, count(kernel.members.length, "node")),
      nodeList(context, found.unfused, kernel.members, 24),
      el("h4", {}, "From your lines"),
      lineList(kernelLines(model, kernel.node)),
      el(
        "p",
        {},
        el("button", { type: "button", onclick: () => context.show("code", fused(kernel.node)) }, "Its generated code"),
      ),
    );
  });

  function kernelAt(selection: Reference | null): Kernel | null {
    if (selection?.graph === found.unfused) return home.get(selection.node) ?? null;
    if (selection?.graph !== found.fused) return null;
    return found.kernels.find((kernel) => kernel.node === selection.node) ?? null;
  }
  return root;
}

// The drawing, made when it is first opened.
function drawn(context: Context, found: Fusion, home: ReadonlyMap<NodeId, Kernel>, open: boolean): HTMLElement {
  const box = el("div", { class: "v-scroll", role: "group", tabindex: 0, "aria-label": "Drawing, may scroll" });
  const draw = (): void => {
    if (box.childElementCount === 0)
      box.append(drawing(context, found.unfused, (node) => home.get(node)?.node ?? null, "kernel"));
  };
  if (open) draw();
  return el(
    "details",
    { class: "v-drawn", open, ontoggle: draw },
    el("summary", {}, "The graph before fusion, coloured by kernel"),
    box,
    el("p", { class: "v-quiet" }, "A colour is a kernel of several nodes; the tables below say the same."),
  );
}

function summary(found: Fusion, size: number): string {
  const several = found.kernels.filter((kernel) => kernel.members.length > 1);
  const inside = several.reduce((sum, kernel) => sum + kernel.members.length, 0);
  const most = largest(
    several.map((kernel) => kernel.members.length),
    0,
  );
  const biggest = several.length === 0 ? "" : `, the largest of ${most}`;
  return (
    `${count(inside, "node")} of ${size.toLocaleString("en")} run in ${count(several.length, "kernel")} of several nodes${biggest}. ` +
    `${count(found.declined.length, "pair")} of neighbours ${found.declined.length === 1 ? "does" : "do"} not share one.`
  );
}

// A reason without the names of nodes in it, so that equal reasons can be counted.
const general = (reason: string): string => reason.replace(/%\d+( \w+)?/g, "a node");

function tally<Row>(rows: readonly Row[], by: (row: Row) => string): [string, number][] {
  const found = new Map<string, number>();
  for (const row of rows) found.set(by(row), (found.get(by(row)) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]).slice(0, 200);
}

// --- any two nodes -------------------------------------------------------------------------------------------------------

function asking(context: Context, found: Fusion, home: ReadonlyMap<NodeId, Kernel>): HTMLElement {
  const { model } = context;
  const graph = graphOf(model, found.unfused);
  const names = graph.label.map((label) => string(model, label).toLowerCase());
  const answer = el("p", { class: "v-answer", role: "status" });
  const list = el("datalist", { id: unique("v") });
  const input = (label: string): HTMLInputElement =>
    el("input", {
      type: "text",
      class: "v-id",
      "aria-label": label,
      list: list.id,
      placeholder: "%3 or a name",
      autocomplete: "off",
      spellcheck: "false",
    });
  const a = input("One node of the graph before fusion");
  const b = input("Another node of the graph before fusion");
  for (const one of [a, b]) one.addEventListener("input", () => suggest(one.value));

  function suggest(typed: string): void {
    const words = typed.trim().toLowerCase();
    const fit: string[] = [];
    for (let node = 0; node < names.length && fit.length < 20; node++) {
      if (`%${node} ${names[node]}`.includes(words)) fit.push(nodeName(model, { graph: found.unfused, node }));
    }
    replace(list, ...fit.map((value) => el("option", { value })));
  }

  function nodeOf(typed: string): NodeId | null {
    const number = /^%?(\d+)\b/.exec(typed.trim());
    if (number !== null) return Number(number[1]) < names.length ? Number(number[1]) : null;
    const words = typed.trim().toLowerCase();
    const at = words === "" ? -1 : names.findIndex((name) => name.includes(words));
    return at < 0 ? null : at;
  }

  function ask(event: Event): void {
    event.preventDefault();
    const [one, other] = [nodeOf(a.value), nodeOf(b.value)];
    if (one === null || other === null) {
      const wrong = one === null ? a : b;
      replace(
        answer,
        `“${wrong.value}” names no node of the graph before fusion: write an id from %0 to %${names.length - 1}, or a part of a name.`,
      );
      return;
    }
    const at = (node: NodeId): Reference => ({ graph: found.unfused, node });
    replace(
      answer,
      nodeButton(context, at(one)),
      " and ",
      nodeButton(context, at(other)),
      ` ${verdict(found, graph.inputs, home, one, other)}`,
    );
  }

  const take = (one: HTMLInputElement): HTMLElement =>
    el(
      "button",
      {
        type: "button",
        class: "v-take",
        "aria-label": `Take the selected node as ${one === a ? "the first" : "the second"}`,
        title: "Take the selected node",
        onclick: () => {
          const selection = context.selection;
          if (selection?.graph === found.unfused) one.value = nodeName(model, selection);
          else
            replace(
              answer,
              "Select a node of the graph before fusion first: a member of a kernel, or one of the drawing.",
            );
        },
      },
      "Selected",
    );
  return el(
    "form",
    { class: "v-ask", onsubmit: ask },
    el("span", {}, "Do "),
    a,
    take(a),
    el("span", {}, " and "),
    b,
    take(b),
    el("span", {}, " share a kernel? "),
    el("button", { type: "submit" }, "Tell me"),
    list,
    answer,
  );
}

// What is to be said of two nodes, as symgraph.why_not says it.
function verdict(
  found: Fusion,
  inputs: readonly NodeId[][],
  home: ReadonlyMap<NodeId, Kernel>,
  a: NodeId,
  b: NodeId,
): string {
  if (a === b) return "are the same node.";
  const kernel = home.get(a);
  if (kernel !== undefined && kernel === home.get(b)) return `share the kernel %${kernel.node}: ${kernel.why}`;
  const rows = found.declined.filter(
    (row) => (row.producer === a && row.consumer === b) || (row.producer === b && row.consumer === a),
  );
  if (rows.length > 0) return `do not share a kernel: ${rows.map((row) => row.reason).join("; ")}`;
  if (inputs[a]?.includes(b) || inputs[b]?.includes(a)) {
    return "do not share a kernel: one of them is an input or a constant, which is no step of the program.";
  }
  return "do not share a kernel: they are no neighbours, as neither reads the other's result.";
}
