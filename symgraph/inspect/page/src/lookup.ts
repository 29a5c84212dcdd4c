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
  return kind === "gradient" || kind === "rewritten" ? `${said}, ${kind}` : said;
}

const byOrigin = new WeakMap<Graph, Map<OriginId, NodeId[]>>();

function withOrigin(graph: Graph, origin: OriginId): readonly NodeId[] {
  let found = byOrigin.get(graph);
  if (found === undefined) {
    found = new Map();
    for (const [node, id] of graph.origin.entries()) {
      const known = found.get(id);
      if (known === undefined) found.set(id, [node]);
      else known.push(node);
    }
    byOrigin.set(graph, found);
  }
  return found.get(origin) ?? [];
}

// The same node in other stages: of the same origin, op and type; where there is none of the same op, of the origin;
// and the kernel that a node of the optimised graph is in.
export function counterparts(model: Model, reference: Reference): Reference[] {
  const here = graphOf(model, reference.graph);
  const origin = here.origin[reference.node];
  const name = opName(model, here, reference.node);
  const found: Reference[] = [];
  for (const stage of model.stages) {
    if (stage.graph === reference.graph) continue;
    const there = graphOf(model, stage.graph);
    const nodes = fusedWith(model, reference, stage.graph) ?? same(origin === undefined ? [] : withOrigin(there, origin));
    found.push(...nodes.slice(0, 6).map((node) => ({ graph: stage.graph, node })));
    function same(candidates: readonly NodeId[]): readonly NodeId[] {
      const equal = candidates.filter(
        (node) => opName(model, there, node) === name && there.type[node] === here.type[reference.node],
      );
      if (equal.length > 1) {
        const labelled = equal.filter((node) => there.label[node] === here.label[reference.node]);
        return labelled.includes(reference.node) ? [reference.node] : labelled;
      }
      return equal;
    }
  }
  return found;
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
