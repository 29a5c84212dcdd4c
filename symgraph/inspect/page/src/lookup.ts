// Questions to the model, answered from columns; what is costly is found once for each graph and kept beside it.

import type { Graph, GraphId, Model, NodeId, Origin, OriginId } from "./model";
import type { Reference } from "./view";

const NO_ORIGIN: Origin = { sources: [], scope: [], rules: [], of: [] };

export function graphOf(model: Model, id: GraphId): Graph {
  const graph = model.graphs[id];
  if (graph === undefined) throw new Error(`no graph ${id}`);
  return graph;
}

export function size(graph: Graph): number {
  return graph.op.length;
}

export function string(model: Model, id: number | undefined): string {
  return id === undefined ? "" : (model.strings[id] ?? "");
}

export const opName = (model: Model, graph: Graph, node: NodeId): string => string(model, graph.op[node]);
export const label = (model: Model, graph: Graph, node: NodeId): string => string(model, graph.label[node]);
export const typeOf = (model: Model, graph: Graph, node: NodeId): string => string(model, graph.type[node]);
export const textOf = (model: Model, graph: Graph, node: NodeId): string => string(model, graph.text[node]);

export function originOf(model: Model, graph: Graph, node: NodeId): Origin {
  const id: OriginId | undefined = graph.origin[node];
  return (id === undefined ? undefined : model.origins[id]) ?? NO_ORIGIN;
}

// "net.py:12", or "" for a node without a known line.
export function place(model: Model, origin: Origin): string {
  const source = origin.sources[0];
  return source === undefined ? "" : placeOf(model, source[0], source[1]);
}

export function placeOf(model: Model, file: number, line: number): string {
  return `${model.files[file]?.path ?? "?"}:${line}`;
}

export function lineOf(model: Model, file: number, line: number): string {
  return model.files[file]?.lines.find(([number]) => number === line)?.[1] ?? "";
}

const consumersKept = new WeakMap<Graph, NodeId[][]>();

export function consumers(graph: Graph, node: NodeId): readonly NodeId[] {
  let found = consumersKept.get(graph);
  if (found === undefined) {
    found = Array.from({ length: size(graph) }, () => []);
    for (const [reader, operands] of graph.inputs.entries()) {
      for (const operand of new Set(operands)) found[operand]?.push(reader);
    }
    consumersKept.set(graph, found);
  }
  return found[node] ?? [];
}

// The name of a graph in addresses and sentences: its stage's, else "graph 7".
export function stageName(model: Model, graph: GraphId): string {
  return model.stages.find((stage) => stage.graph === graph)?.name ?? `graph ${graph}`;
}

// "%12 matmul f32[batch,10], gradient": how a node is called aloud.
export function spoken(model: Model, reference: Reference): string {
  const graph = graphOf(model, reference.graph);
  const kind = graph.kind[reference.node] ?? "op";
  const said = `%${reference.node} ${label(model, graph, reference.node)}, ${typeOf(model, graph, reference.node)}`;
  return kind === "gradient" || kind === "update" || kind === "rewritten" ? `${said}, ${kind}` : said;
}

// Nodes that come from the same lines and part, by both as text.
const byLines = new WeakMap<Graph, Map<string, NodeId[]>>();

function linesKey(model: Model, graph: Graph, node: NodeId): string {
  return `${graph.part[node] ?? ""} ${originOf(model, graph, node).sources.join(" ")}`;
}

function fromSameLines(model: Model, graph: Graph, key: string): readonly NodeId[] {
  let found = byLines.get(graph);
  if (found === undefined) {
    found = new Map();
    for (let node = 0; node < size(graph); node += 1) {
      const here = linesKey(model, graph, node);
      const known = found.get(here);
      if (known === undefined) found.set(here, [node]);
      else known.push(node);
    }
    byLines.set(graph, found);
  }
  return found.get(key) ?? [];
}

// The nodes of one graph from the lines of a node of another.
export function sameLines(model: Model, here: Graph, there: Graph, node: NodeId): readonly NodeId[] {
  if (originOf(model, there, node).sources.length === 0) return [];
  return fromSameLines(model, here, linesKey(model, there, node));
}

export interface Counterpart extends Reference {
  readonly same: boolean; // the same node; else one that comes from the same lines
}

const MOST_COUNTERPARTS = 4;

// The same node in other stages: of the same origin, op and type; else the kernel that it is in; else what comes from
// the same lines.
export function counterparts(model: Model, reference: Reference): Counterpart[] {
  const here = graphOf(model, reference.graph);
  const { node } = reference;
  return model.stages.flatMap(({ graph }) => {
    if (graph === reference.graph) return [];
    const there = graphOf(model, graph);
    const near = sameLines(model, there, here, node);
    const alike = near.filter(
      (other) =>
        there.origin[other] === here.origin[node] &&
        there.op[other] === here.op[node] &&
        there.type[other] === here.type[node] &&
        there.label[other] === here.label[node],
    );
    const exact = alike.includes(node) ? [node] : alike;
    const same = fusedWith(model, reference, graph) ?? exact;
    const found = same.length > 0 ? same : near;
    return found.slice(0, MOST_COUNTERPARTS).map((other) => ({ graph, node: other, same: same.length > 0 }));
  });
}

function fusedWith(model: Model, reference: Reference, graph: GraphId): readonly NodeId[] | undefined {
  const { unfused, fused, kernels } = model.fusion;
  if (reference.graph === unfused && graph === fused) {
    const found = kernels.filter((kernel) => kernel.members.includes(reference.node)).map((kernel) => kernel.node);
    return found.length > 0 ? found : undefined;
  }
  if (reference.graph === fused && graph === unfused) {
    return kernels.find((kernel) => kernel.node === reference.node)?.members;
  }
  return undefined;
}
