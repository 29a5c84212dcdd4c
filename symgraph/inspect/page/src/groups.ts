// How a graph folds: parts, scopes in them, and where a scope holds too much, runs of nodes of one line and runs of those.
// No group has more than MOST_CHILDREN parts, so that unfolding one never makes a drawing large.

import { count, cut } from "./dom";
import { consumers, label, originOf, place, size, typeOf } from "./lookup";
import type { Graph, Model, NodeId, Part } from "./model";
import { boxSize, titleWidth, type Box, type Cluster, type Edge, type Scene } from "./scene";

const MOST_CHILDREN = 60;
const RUN = 40;
const DEEPEST = 16; // scopes in scopes; what is deeper stands in the last of them
const INITIAL = 120; // boxes that are shown before anything is unfolded,
const INITIAL_SCOPED = 22; // and where scopes say what belongs together
export const MOST_BOXES = 300;

export interface Group {
  readonly key: string;
  readonly title: string;
  readonly depth: number;
  readonly part: Part;
  readonly parent: Group | null;
  readonly children: Item[];
  readonly total: number; // nodes in it
  readonly first: NodeId;
}

export type Item = Group | NodeId;
const isGroup = (item: Item): item is Group => typeof item !== "number";

interface Draft {
  readonly title: string;
  readonly name: string;
  readonly scopes: Map<string, Draft>;
  readonly nodes: NodeId[];
}

// A sketch of a group before its parent is known.
interface Sketch {
  readonly title: string;
  readonly name: string;
  readonly items: (Sketch | NodeId)[];
  readonly first: NodeId;
  readonly last: NodeId;
  readonly total: number;
}

const trees = new WeakMap<Graph, Group>();

export function tree(model: Model, graph: Graph): Group {
  let found = trees.get(graph);
  if (found === undefined) {
    found = grown(model, graph);
    trees.set(graph, found);
  }
  return found;
}

function grown(model: Model, graph: Graph): Group {
  const parts: Record<Part, Draft> = {
    forward: draft("forward"),
    gradient: draft("gradient"),
    update: draft("update"),
  };
  for (let node = 0; node < size(graph); node += 1) {
    const { part, scope } = home(model, graph, node);
    let at = parts[part];
    for (const step of scope.slice(0, DEEPEST)) {
      let next = at.scopes.get(step);
      if (next === undefined) {
        next = draft(step);
        at.scopes.set(step, next);
      }
      at = next;
    }
    at.nodes.push(node);
  }
  const sketches = Object.values(parts)
    .map((each) => sketched(model, graph, each))
    .filter((sketch) => sketch.total > 0);
  const [only] = sketches;
  const root = sketches.length === 1 && only !== undefined ? only : bundled("all", "", sketches);
  return settled(root, sketches.length === 1 ? (only?.name as Part) : null);
}

function draft(title: string): Draft {
  return { title, name: title, scopes: new Map(), nodes: [] };
}

// Where a node stands: a number with its first reader, a variable that only updates read with them.
function home(model: Model, graph: Graph, node: NodeId): { part: Part; scope: readonly string[] } {
  const kind = graph.kind[node];
  const readers = kind === "constant" || kind === "variable" ? consumers(graph, node) : [];
  const [first] = readers;
  if (kind === "constant" && first !== undefined) {
    return { part: graph.part[first] ?? "forward", scope: originOf(model, graph, first).scope };
  }
  const late = kind === "variable" && readers.length > 0 && readers.every((reader) => graph.part[reader] === "update");
  return { part: late ? "update" : (graph.part[node] ?? "forward"), scope: originOf(model, graph, node).scope };
}

// Drafts to sketches, the innermost first; a stack, for scopes may nest as deep as they like.
function sketched(model: Model, graph: Graph, root: Draft): Sketch {
  const order: Draft[] = [];
  const stack = [root];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    order.push(at);
    stack.push(...at.scopes.values());
  }
  const done = new Map<Draft, Sketch>();
  for (const each of order.reverse()) {
    const inner = [...each.scopes.values()].flatMap((scope) => done.get(scope) ?? []);
    const items = [...each.nodes, ...inner].sort((a, b) => firstOf(a) - firstOf(b));
    done.set(each, bundled(each.title, each.name, narrowed(model, graph, items)));
  }
  return done.get(root) ?? bundled(root.title, root.name, []);
}

const firstOf = (item: Sketch | NodeId): NodeId => (typeof item === "number" ? item : item.first);
const lastOf = (item: Sketch | NodeId): NodeId => (typeof item === "number" ? item : item.last);

function bundled(title: string, name: string, items: (Sketch | NodeId)[]): Sketch {
  return {
    title,
    name,
    items,
    first: items.reduce((least: number, item) => Math.min(least, firstOf(item)), Infinity),
    last: items.reduce((most: number, item) => Math.max(most, lastOf(item)), -1),
    total: items.reduce((sum: number, item) => sum + (typeof item === "number" ? 1 : item.total), 0),
  };
}

// At most MOST_CHILDREN items: runs of nodes of one line, if that is enough, then runs of runs.
function narrowed(model: Model, graph: Graph, items: (Sketch | NodeId)[]): (Sketch | NodeId)[] {
  if (items.length <= MOST_CHILDREN) return items;
  const lines = byLine(model, graph, items);
  let kept = lines.length <= 2 * MOST_CHILDREN ? lines.flatMap((item) => split(item)) : items;
  while (kept.length > MOST_CHILDREN) kept = runs(kept);
  return kept;
}

function split(item: Sketch | NodeId): (Sketch | NodeId)[] {
  if (typeof item === "number" || item.items.length <= MOST_CHILDREN || !item.name.startsWith("line")) return [item];
  return runs(item.items).map((run) =>
    typeof run === "number" ? run : { ...run, title: `${item.title}, ${run.title}` },
  );
}

function byLine(model: Model, graph: Graph, items: (Sketch | NodeId)[]): (Sketch | NodeId)[] {
  const found: (Sketch | NodeId)[] = [];
  let line = "";
  let run: NodeId[] = [];
  const close = (): void => {
    if (run.length > 1) found.push(bundled(line, `line ${run[0] ?? 0}`, run));
    else found.push(...run);
    run = [];
  };
  for (const item of items) {
    const here = typeof item === "number" ? place(model, originOf(model, graph, item)) : "";
    if (here !== line || here === "") close();
    line = here;
    if (typeof item === "number" && here !== "") run.push(item);
    else found.push(item);
  }
  close();
  return found;
}

function runs(items: (Sketch | NodeId)[]): (Sketch | NodeId)[] {
  const length = Math.ceil(items.length / Math.ceil(items.length / RUN));
  const found: Sketch[] = [];
  for (let at = 0; at < items.length; at += length) {
    const run = items.slice(at, at + length);
    const whole = bundled("", "", run);
    const [a, b] = [run[0], run[run.length - 1]];
    const named = a !== undefined && b !== undefined && typeof a !== "number" && typeof b !== "number";
    const title = named && !a.name.startsWith("run") ? `${a.title} … ${b.title}` : `%${whole.first} … %${whole.last}`;
    found.push({ ...whole, title, name: `run ${whole.first}` });
  }
  return found;
}

// Sketches to groups, the outermost first.
function settled(root: Sketch, single: Part | null): Group {
  const top = group(root, null, single ?? "forward", "");
  const stack: [Group, Sketch][] = [[top, root]];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const [parent, sketch] = at;
    for (const [k, item] of sketch.items.entries()) {
      if (typeof item === "number") {
        parent.children.push(item);
        continue;
      }
      const part = parent === top && single === null ? (item.name as Part) : parent.part;
      const child = group(item, parent, part, `${parent.key}/${k}:${item.name}`);
      parent.children.push(child);
      stack.push([child, item]);
    }
  }
  return top;
}

function group({ title, first, total }: Sketch, parent: Group | null, part: Part, key: string): Group {
  return { key, title, parent, part, first, total, depth: parent === null ? 0 : parent.depth + 1, children: [] };
}

// Which groups are open at first: level by level, and within a level part by part, as long as the boxes stay few.
export function opened(model: Model, graph: Graph): Set<string> {
  const root = tree(model, graph);
  const scoped = graph.origin.some((_, node) => originOf(model, graph, node).scope.length > 0);
  const most = scoped ? INITIAL_SCOPED : INITIAL;
  const open = new Set<string>([root.key]);
  let boxes = root.children.length;
  let level = root.children.filter(isGroup);
  while (level.length > 0) {
    const next: Group[] = [];
    for (const part of ["forward", "gradient", "update"] as const) {
      const here = level.filter((each) => each.part === part);
      const more = here.reduce((sum, each) => sum + each.children.length - 1, 0);
      if (here.length === 0 || boxes + more > most) continue;
      boxes += more;
      for (const each of here) {
        open.add(each.key);
        next.push(...each.children.filter(isGroup));
      }
    }
    level = next;
  }
  return open;
}

// The open groups of another stage's graph, found here by part and titles; those that it does not have are as at first.
export function carried(model: Model, from: Graph, open: ReadonlySet<string>, to: Graph): Set<string> {
  const known = new Map(groupsOf(tree(model, from)).map((group) => [pathOf(group), open.has(group.key)]));
  const fresh = opened(model, to);
  const kept = groupsOf(tree(model, to)).filter((group) => known.get(pathOf(group)) ?? fresh.has(group.key));
  return new Set(kept.map(({ key }) => key));
}

function groupsOf(root: Group): Group[] {
  const found = [root];
  for (const group of found) for (const child of group.children) if (isGroup(child)) found.push(child);
  return found;
}

// The same in all stages: the outermost group of a part is that part, whether others stand beside it or not.
function pathOf(group: Group): string {
  const titles: string[] = [];
  for (let at = group; at.parent !== null; at = at.parent) titles.push(at.title);
  const outermost = titles[titles.length - 1];
  if (outermost !== undefined && outermost !== group.part) titles.push(group.part);
  return JSON.stringify(titles.length === 0 && group.title !== "" ? [group.part] : titles);
}

// The groups around a node, the outermost first.
export function around(root: Group, node: NodeId): Group[] {
  return holders(root).get(node) ?? [];
}

const holdersKept = new WeakMap<Group, Map<NodeId, Group[]>>();

function holders(root: Group): Map<NodeId, Group[]> {
  let found = holdersKept.get(root);
  if (found === undefined) {
    found = new Map();
    const stack: Group[][] = [[root]];
    for (let path = stack.pop(); path !== undefined; path = stack.pop()) {
      for (const child of path[path.length - 1]?.children ?? []) {
        if (isGroup(child)) stack.push([...path, child]);
        else found.set(child, path);
      }
    }
    holdersKept.set(root, found);
  }
  return found;
}

export interface Folded extends Scene {
  readonly groups: ReadonlyMap<string, Group>; // of the boxes and clusters, by key
  readonly box: (node: NodeId) => number; // the box that a node is in
}

// The scene of a graph with these groups open.
export function folded(model: Model, graph: Graph, root: Group, open: ReadonlySet<string>): Folded {
  const boxes: Box[] = [];
  const clusters: Cluster[] = [];
  const groups = new Map<string, Group>();
  const owner = new Int32Array(size(graph)).fill(-1);
  const stack: { item: Item; cluster: number }[] = [{ item: root, cluster: -1 }];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    const { item, cluster } = at;
    if (!isGroup(item)) {
      owner[item] = boxes.length;
      boxes.push(nodeBox(model, graph, item, cluster));
      continue;
    }
    groups.set(item.key, item);
    if (!open.has(item.key)) {
      for (const node of within(item)) owner[node] = boxes.length;
      boxes.push(groupBox(item, cluster));
      continue;
    }
    const inside = item === root ? -1 : clusters.length;
    if (item !== root) {
      const title = cut(item.title, 48);
      clusters.push({ key: item.key, title, parent: cluster, width: titleWidth(title) + 34 });
    }
    for (const child of [...item.children].reverse()) stack.push({ item: child, cluster: inside });
  }
  const edges = edgesBetween(graph, owner, boxes);
  outputs(graph, owner, boxes, edges);
  return { boxes, clusters, edges, groups, box: (node) => owner[node] ?? -1 };
}

export function nodeBox(model: Model, graph: Graph, node: NodeId, cluster: number): Box {
  const title = cut(label(model, graph, node), 32);
  const sub = cut(typeOf(model, graph, node), 30);
  const kind = graph.kind[node] ?? "op";
  const spoken = `%${node} ${cut(label(model, graph, node), 80)}, ${sub}, ${kind}`;
  const where = place(model, originOf(model, graph, node));
  return { key: `n${node}`, node, title, sub, kind, spoken, where, cluster, ...boxSize(title, sub) };
}

function groupBox(group: Group, cluster: number): Box {
  const title = cut(group.title, 40);
  const sub = count(group.total, "node");
  const spoken = `${cut(group.title, 80)}, ${sub} of the ${group.part} part, folded`;
  return {
    key: group.key,
    node: null,
    title,
    sub,
    kind: `group ${group.part}`,
    spoken,
    where: "",
    cluster,
    ...boxSize(`${title}   `, sub),
  };
}

function within(group: Group): NodeId[] {
  const found: NodeId[] = [];
  const stack: Item[] = [group];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (isGroup(at)) stack.push(...at.children);
    else found.push(at);
  }
  return found;
}

// A number is one node for all who take it: it is tied to the readers beside it alone.
function edgesBetween(graph: Graph, owner: Int32Array, boxes: readonly Box[]): Edge[] {
  const counted = new Map<number, number>();
  for (const [reader, operands] of graph.inputs.entries()) {
    const to = owner[reader] ?? -1;
    for (const operand of operands) {
      const from = owner[operand] ?? -1;
      if (from === to || from < 0 || to < 0) continue;
      if (graph.kind[operand] === "constant" && boxes[from]?.cluster !== boxes[to]?.cluster) continue;
      if (graph.kind[operand] === "constant" && boxes[from]?.node === null) continue;
      const key = from * boxes.length + to;
      counted.set(key, (counted.get(key) ?? 0) + 1);
    }
  }
  return [...counted].map(([key, number]) => ({
    from: Math.floor(key / boxes.length),
    to: key % boxes.length,
    count: number,
  }));
}

const MOST_OUTPUTS = 12;

function outputs(graph: Graph, owner: Int32Array, boxes: Box[], edges: Edge[]): void {
  const add = (key: string, title: string, sub: string, nodes: readonly NodeId[]): void => {
    const shown = cut(title, 32);
    const to = boxes.length;
    const spoken = `${cut(title, 80)}, ${sub}`;
    boxes.push({
      key,
      node: null,
      title: shown,
      sub,
      kind: "output",
      spoken,
      where: "",
      cluster: -1,
      ...boxSize(shown, sub),
    });
    const from = new Set(nodes.map((node) => owner[node] ?? -1));
    edges.push(...[...from].filter((each) => each >= 0).map((each) => ({ from: each, to, count: 1 })));
  };
  if (graph.outputs.length > MOST_OUTPUTS) {
    add(
      "outputs",
      count(graph.outputs.length, "output"),
      "outputs",
      graph.outputs.map(([, node]) => node),
    );
  } else {
    for (const [k, [name, node]] of graph.outputs.entries()) add(`output ${k}`, name, "output", [node]);
  }
  for (const [k, [name, pairs]] of graph.updates.slice(0, MOST_OUTPUTS).entries()) {
    add(
      `update ${k}`,
      name,
      count(pairs.length, "next value"),
      pairs.map(([, node]) => node),
    );
  }
}
