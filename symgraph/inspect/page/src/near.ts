// A part of a graph: some nodes, and what is around them.

import { count } from "./dom";
import { nodeBox } from "./groups";
import { consumers, originOf, size } from "./lookup";
import type { Graph, Model, NodeId } from "./model";
import { boxSize, titleWidth, type Box, type Cluster, type Edge, type Scene } from "./scene";

const WHOLE = 70; // nodes of a graph that is shown as it is
const MOST = 44; // nodes of a neighbourhood
const HOPS = 2;

export interface Near extends Scene {
  readonly nodes: ReadonlyMap<NodeId, number>; // to boxes
  readonly left: number; // nodes of the graph that are not shown
}

export function near(model: Model, graph: Graph, centre: readonly NodeId[]): Near {
  const chosen = size(graph) <= WHOLE ? all(graph) : neighbours(graph, centre);
  const boxes: Box[] = [];
  const clusters: Cluster[] = [];
  const known = new Map<string, number>();
  const nodes = new Map<NodeId, number>();
  for (const node of chosen) {
    nodes.set(node, boxes.length);
    boxes.push(nodeBox(model, graph, node, cluster(originOf(model, graph, node).scope)));
  }
  const edges: Edge[] = [];
  for (const node of chosen) {
    const to = nodes.get(node) ?? -1;
    for (const operand of new Set(graph.inputs[node] ?? [])) {
      const from = nodes.get(operand);
      if (from !== undefined) edges.push({ from, to, count: 1 });
    }
    rest(
      node,
      (graph.inputs[node] ?? []).filter((operand) => !nodes.has(operand)),
      true,
    );
    rest(
      node,
      consumers(graph, node).filter((reader) => !nodes.has(reader)),
      false,
    );
  }
  return { boxes, clusters, edges, nodes, left: size(graph) - chosen.length };

  function cluster(scope: readonly string[]): number {
    let parent = -1;
    for (const [k, step] of scope.entries()) {
      const key = JSON.stringify(scope.slice(0, k + 1));
      let at = known.get(key);
      if (at === undefined) {
        at = clusters.length;
        known.set(key, at);
        clusters.push({ key, title: step.slice(0, 48), parent, width: titleWidth(step.slice(0, 48)) + 20 });
      }
      parent = at;
    }
    return parent;
  }

  // What is left out on one side of a node, as one box.
  function rest(node: NodeId, hidden: readonly NodeId[], before: boolean): void {
    const number = new Set(hidden).size;
    if (number === 0) return;
    const title = `… ${number}`;
    const spoken = `${count(number, before ? "operand" : "reader")} of %${node}, not shown`;
    const here = nodes.get(node) ?? -1;
    const at = boxes.length;
    boxes.push({
      key: `${before ? "<" : ">"}${node}`,
      node: null,
      title,
      sub: "",
      kind: "rest",
      spoken,
      where: "",
      cluster: -1,
      ...boxSize(title, ""),
    });
    edges.push(before ? { from: at, to: here, count: 1 } : { from: here, to: at, count: 1 });
  }
}

function all(graph: Graph): NodeId[] {
  return Array.from({ length: size(graph) }, (_, node) => node);
}

function neighbours(graph: Graph, centre: readonly NodeId[]): NodeId[] {
  const found = new Set(centre.slice(0, MOST));
  let rim = [...found];
  for (let hop = 0; hop < HOPS; hop += 1) {
    const next: NodeId[] = [];
    for (const node of rim) {
      for (const other of [...(graph.inputs[node] ?? []), ...consumers(graph, node).slice(0, 6)]) {
        if (found.has(other) || found.size >= MOST) continue;
        found.add(other);
        next.push(other);
      }
    }
    rim = next;
  }
  return [...found].sort((a, b) => a - b);
}
