// The panel beside the views while nothing is selected: what the page is of, with the nodes to begin with.

import { count, h, type Child } from "./dom";
import { link, links, section, table } from "./details";
import { graphOf, size } from "./lookup";
import type { Graph, GraphId, Model, NodeId } from "./model";
import { bytes, seconds } from "./numbers";
import type { Context } from "./view";

const MOST_OUTPUTS = 48;

export function overview(context: Context): Child[] {
  const { model } = context;
  const first = model.stages[0]?.graph;
  return [
    h("p", { class: "empty" }, "Select a node to see where it comes from, what it is and who reads it."),
    section("Stages", stages(model)),
    run(context),
    ...(first === undefined ? [] : ends(context, first)),
  ];
}

function ends(context: Context, id: GraphId): Child[] {
  const graph = graphOf(context.model, id);
  const at = { graph: id, node: 0 };
  const of = (kind: string): NodeId[] => graph.kind.flatMap((each, node) => (each === kind ? [node] : []));
  const parts: [string, NodeId[]][] = [
    ["Placeholders", of("placeholder")],
    ["Variables", of("variable")],
  ];
  const outputs = graph.outputs.map(([name, node]) => h("li", {}, link(context, { graph: id, node }, name)));
  const named = section("Outputs", h("ul", { class: "links" }, ...outputs.slice(0, MOST_OUTPUTS)));
  const others = parts.flatMap(([title, nodes]) => (nodes.length === 0 ? [] : [section(title, links(context, at, nodes))]));
  return outputs.length === 0 ? others : [named, ...others];
}

function stages(model: Model): HTMLElement {
  const heads = ["Stage", "Nodes", "Flops and bytes of a call"].map((name) => h("th", { scope: "col" }, name));
  const row = (name: string, graph: Graph): HTMLElement =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", {}, size(graph).toLocaleString("en")),
      h("td", {}, h("div", {}, `${graph.flops} flops`), h("div", {}, `${graph.bytes} bytes`)),
    );
  return h(
    "table",
    { class: "stages" },
    h("caption", { class: "unseen" }, "The stages, with their work"),
    h("thead", {}, h("tr", {}, ...heads)),
    h("tbody", {}, ...model.stages.map(({ name, graph }) => row(name, graphOf(model, graph)))),
  );
}

function run(context: Context): Child {
  const { memory, profile, values, rewrites, fusion } = context.model;
  const several = fusion.kernels.filter(({ members }) => members.length > 1).length;
  const rows: [string, string][] = [
    ["Rewrites", rewrites.length.toLocaleString("en")],
    ["Kernels", `${count(several, "kernel")} of several nodes`],
  ];
  if (memory !== null) rows.push(["Memory", `${bytes(memory.peak)} at the peak`]);
  if (profile !== null) rows.push(["A step", `${seconds(profile.total.median)}, the median`]);
  const bad = values?.graphs.find(({ first }) => first !== null);
  const first = bad?.first ?? null;
  return section(
    "What came of it",
    table(...rows),
    bad !== undefined && first !== null && h("p", { class: "warning" }, "The first value that is not finite:"),
    bad !== undefined && first !== null && links(context, { graph: bad.graph, node: 0 }, [first]),
  );
}
