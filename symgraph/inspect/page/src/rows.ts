// A layout without Graphviz: each box in the row after its operands', the boxes of a row in the order of what they read.

import type { Laid, Rectangle } from "./layout";
import type { Scene } from "./scene";

const GAP = 16;
const RANK = 76;

export function rows(scene: Scene): Laid {
  const rank = ranks(scene);
  const rowsOf: number[][] = [];
  for (const [k, at] of rank.entries()) (rowsOf[at] ??= []).push(k);
  const boxes: Rectangle[] = scene.boxes.map(({ width, height }) => ({ x: 0, y: 0, width, height }));
  const operands = new Map<number, number[]>();
  for (const { from, to } of scene.edges) operands.set(to, [...(operands.get(to) ?? []), from]);
  const centre = (k: number): number => (boxes[k]?.x ?? 0) + (boxes[k]?.width ?? 0) / 2;
  for (const [at, row] of rowsOf.entries()) {
    const wish = new Map(row.map((k) => [k, mean((operands.get(k) ?? []).map(centre))]));
    let x = 0;
    for (const k of row.sort((a, b) => (wish.get(a) ?? 0) - (wish.get(b) ?? 0) || a - b)) {
      const box = boxes[k];
      if (box === undefined) continue;
      boxes[k] = { ...box, x, y: at * RANK + (40 - box.height) / 2 };
      x += box.width + GAP;
    }
  }
  const width = Math.max(0, ...boxes.map((box) => box.x + box.width));
  for (const row of rowsOf) {
    const end = Math.max(0, ...row.map((k) => (boxes[k]?.x ?? 0) + (boxes[k]?.width ?? 0)));
    for (const k of row) {
      const box = boxes[k];
      if (box !== undefined) boxes[k] = { ...box, x: box.x + (width - end) / 2 };
    }
  }
  const edges = scene.edges.map(({ from, to }) => curve(boxes[from], boxes[to]));
  const height = Math.max(1, rowsOf.length) * RANK;
  return { width, height, boxes, clusters: scene.clusters.map(() => null), edges, by: "rows" };
}

// Groups may read each other in turns: what leads back is left out, so the rows end.
function ranks(scene: Scene): number[] {
  const found = scene.boxes.map(() => 0);
  const forward = scene.edges.filter(({ from, to }) => from < to).sort((a, b) => a.from - b.from || a.to - b.to);
  for (const { from, to } of forward) found[to] = Math.max(found[to] ?? 0, (found[from] ?? 0) + 1);
  return found;
}

function mean(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : numbers.reduce((a, b) => a + b, 0) / numbers.length;
}

export function curve(from: Rectangle | undefined, to: Rectangle | undefined): string | null {
  if (from === undefined || to === undefined) return null;
  const [x0, y0] = [from.x + from.width / 2, from.y + from.height];
  const [x1, y1] = [to.x + to.width / 2, to.y];
  const bend = Math.max(20, Math.abs(y1 - y0) / 2);
  return `M${x0},${y0} C${x0},${y0 + bend} ${x1},${y1 - bend} ${x1},${y1}`;
}
