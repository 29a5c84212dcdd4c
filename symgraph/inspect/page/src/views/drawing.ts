// A small graph as a drawing: layers from inputs to outputs, nodes coloured by group. For graphs of up to a few hundred
// nodes; larger ones are folded in the view "graph".

import type { GraphId, NodeId } from "../model";
import type { Context } from "../view";
import { cut } from "../dom";
import { graphOf, key, nodeName, nodeType, string, svg } from "./parts";

const WIDE = 112;
const TALL = 24;
const GAP = 12;
const LAYER = 50;
const SWEEPS = 12;
export const HUES = 8; // colours of groups, --v-hue-0 to --v-hue-7

interface Placed {
  x: number;
  y: number;
}

interface Way {
  from: NodeId;
  to: NodeId;
  way: Placed[];
}

// The nodes that something reads or that are outputs; `group` gives the number that nodes of one colour share.
export function drawing(
  context: Context,
  id: GraphId,
  group: (node: NodeId) => number | null,
  what: string,
): SVGSVGElement {
  const { model } = context;
  const graph = graphOf(model, id);
  const members = new Map<number, number>();
  graph.op.forEach((_, node) => {
    const own = group(node);
    if (own !== null) members.set(own, (members.get(own) ?? 0) + 1);
  });
  const hues = new Map([...members].filter(([, many]) => many > 1).map(([own], i) => [own, i % HUES]));
  const { places, ways, width, height } = layered(graph.inputs);
  const chart = svg("svg", {
    class: "v-graph",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Drawing of ${graph.op.length} nodes, coloured by ${what}`,
  });
  for (const { from, to, way } of ways) {
    const same = group(from) !== null && group(from) === group(to);
    chart.append(svg("path", { class: same ? "v-edge same" : "v-edge", d: curve(way) }));
  }
  places.forEach(({ x, y }, node) => {
    const own = group(node);
    const hue = own === null ? undefined : hues.get(own);
    const reference = { graph: id, node };
    const name = nodeName(model, reference);
    const classes = hue === undefined ? `v-box kind-${graph.kind[node] ?? "op"}` : `v-box hue-${hue}`;
    chart.append(
      svg(
        "g",
        { class: classes, "data-node": key(reference), onclick: () => context.select(reference) },
        svg("title", {}, `${name}: ${nodeType(model, reference)}`),
        svg("rect", { x: x - WIDE / 2, y: y - TALL / 2, width: WIDE, height: TALL, rx: 5 }),
        svg("text", { x, y: y + 4, "text-anchor": "middle" }, cut(`%${node} ${string(model, graph.label[node])}`, 17)),
      ),
    );
  });
  return chart;
}

// From the lower edge of the first box through the passing places to the upper edge of the last.
function curve(way: readonly Placed[]): string {
  return way.slice(1).reduce((path, to, i) => {
    const from = way[i] ?? to;
    const y0 = i === 0 ? from.y + TALL / 2 : from.y;
    const y1 = i === way.length - 2 ? to.y - TALL / 2 : to.y;
    const bend = (y1 - y0) / 2;
    return `${path}${i === 0 ? `M${from.x} ${y0}` : ""}C${from.x} ${y0 + bend} ${to.x} ${y1 - bend} ${to.x} ${y1}`;
  }, "");
}

// Layers by the longest way from the inputs, inputs moved down to their first reader; in each layer the order that the
// barycentre heuristic finds (Sugiyama, Tagawa and Toda, 1981), with empty places kept where long edges pass.
function layered(inputs: readonly NodeId[][]): { places: Placed[]; ways: Way[]; width: number; height: number } {
  const many = inputs.length;
  const layer = new Array<number>(many).fill(0);
  const readers: NodeId[][] = Array.from({ length: many }, () => []);
  inputs.forEach((operands, node) => {
    for (const operand of operands) {
      layer[node] = Math.max(layer[node] ?? 0, (layer[operand] ?? 0) + 1);
      readers[operand]?.push(node);
    }
  });
  for (let node = many - 1; node >= 0; node--) {
    const first = Math.min(...(readers[node] ?? []).map((reader) => layer[reader] ?? 0));
    if ((inputs[node]?.length ?? 0) === 0 && Number.isFinite(first)) layer[node] = Math.max(0, first - 1);
  }
  // Vertices: the nodes, then a passing place for each layer that an edge crosses.
  const layers: number[][] = [];
  const chains: number[][] = [];
  const layerOf = [...layer];
  const above: number[][] = Array.from({ length: many }, () => []);
  const below: number[][] = Array.from({ length: many }, () => []);
  const put = (vertex: number, at: number): void => void (layers[at] ??= []).push(vertex);
  for (let node = 0; node < many; node++) put(node, layer[node] ?? 0);
  inputs.forEach((operands, node) => {
    for (const operand of new Set(operands)) {
      let last = operand;
      const chain = [operand];
      for (let at = (layer[operand] ?? 0) + 1; at < (layer[node] ?? 0); at++) {
        const passing = above.push([last]) - 1;
        below.push([]);
        below[last]?.push(passing);
        put(passing, at);
        layerOf.push(at);
        chain.push(passing);
        last = passing;
      }
      chains.push([...chain, node]);
      below[last]?.push(node);
      above[node]?.push(last);
    }
  });
  const x = new Array<number>(above.length).fill(0);
  for (const row of layers) spread(row, x, many);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const down = sweep % 2 === 0;
    for (const row of down ? layers : [...layers].reverse()) {
      const wish = new Map(
        row.map((vertex) => [vertex, middle((down ? above : below)[vertex] ?? [], x) ?? x[vertex] ?? 0]),
      );
      row.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0));
      settle(row, wish, x, many);
    }
  }
  const low = Math.min(...x);
  const high = Math.max(...x);
  const all = layerOf.map((at, vertex) => ({
    x: (x[vertex] ?? 0) - low + WIDE / 2 + GAP,
    y: at * LAYER + TALL / 2 + GAP,
  }));
  const ways = chains.map((chain) => ({
    from: chain[0] ?? 0,
    to: chain.at(-1) ?? 0,
    way: chain.flatMap((vertex) => all[vertex] ?? []),
  }));
  return {
    places: all.slice(0, many),
    ways,
    width: high - low + WIDE + 2 * GAP,
    height: (layers.length - 1) * LAYER + TALL + 2 * GAP,
  };
}

const room = (vertex: number, many: number): number => (vertex < many ? WIDE + GAP : GAP * 1.5);

function spread(row: readonly number[], x: number[], many: number): void {
  let at = 0;
  for (const vertex of row) {
    x[vertex] = at + room(vertex, many) / 2;
    at += room(vertex, many);
  }
  for (const vertex of row) x[vertex] = (x[vertex] ?? 0) - at / 2;
}

const middle = (near: readonly number[], x: readonly number[]): number | null =>
  near.length === 0 ? null : near.reduce((sum, vertex) => sum + (x[vertex] ?? 0), 0) / near.length;

// As near to their wishes as the order and the room allow: neighbours that collide become a block, which stands at the
// mean of its wishes (pool adjacent violators).
function settle(row: readonly number[], wish: ReadonlyMap<number, number>, x: number[], many: number): void {
  const blocks: { vertices: number[]; start: number; wide: number; sum: number }[] = [];
  for (const vertex of row) {
    const wide = room(vertex, many);
    let block = {
      vertices: [vertex],
      start: (wish.get(vertex) ?? 0) - wide / 2,
      wide,
      sum: (wish.get(vertex) ?? 0) - wide / 2,
    };
    for (let last = blocks.at(-1); last !== undefined && last.start + last.wide > block.start; last = blocks.at(-1)) {
      const sum = last.sum + block.sum - block.vertices.length * last.wide;
      const vertices = [...last.vertices, ...block.vertices];
      block = { vertices, start: sum / vertices.length, wide: last.wide + block.wide, sum };
      blocks.pop();
    }
    blocks.push(block);
  }
  for (const { vertices, start } of blocks) {
    let at = start;
    for (const vertex of vertices) {
      x[vertex] = at + room(vertex, many) / 2;
      at += room(vertex, many);
    }
  }
}
