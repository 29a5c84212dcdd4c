// Where everything stands: Graphviz's dot, as WebAssembly in a worker. It is given sizes and never a word of the user's.
// Where it cannot run, or takes too long, rows of boxes take its place.

import { carried } from "./data";
import { rows } from "./rows";
import { TITLE_HEIGHT, type Scene } from "./scene";

export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Laid {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Rectangle[]; // in the order of the scene's
  readonly clusters: readonly (Rectangle | null)[];
  readonly edges: readonly (string | null)[]; // paths
  readonly by: "dot" | "rows";
}

const PATIENCE = 8_000; // milliseconds
const MOST_EDGES = 260; // dot takes minutes for thousands: the lightest are drawn when a box is selected

interface Answer {
  id: number;
  output?: string;
  error?: string;
}

const SERVE = `
const started = Viz.instance();
onmessage = async ({ data: { id, dot } }) => {
  try {
    const viz = await started;
    postMessage({ id, output: viz.renderString(dot, { format: "json0" }) });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
};`;

let worker: Promise<Worker | null> | null = null;
let asked = 0;

export function warm(): void {
  worker ??= started();
}

async function started(): Promise<Worker | null> {
  try {
    const source = new Blob([await carried("graphviz"), SERVE], { type: "text/javascript" });
    return new Worker(trusted(URL.createObjectURL(source)));
  } catch {
    return null; // this frame may have no workers
  }
}

// The page's policy lets no text become code, but for this one address, where the browser knows of such policies.
function trusted(address: string): string {
  const { trustedTypes } = globalThis as { trustedTypes?: Factory };
  policy ??= trustedTypes?.createPolicy("symgraph", { createScriptURL: (text) => text });
  return (policy?.createScriptURL(address) ?? address) as string; // the browser asks for its own type here
}

interface Policy {
  createScriptURL(text: string): unknown;
}

interface Factory {
  createPolicy(name: string, rules: { createScriptURL(text: string): string }): Policy;
}

let policy: Policy | undefined;

export async function layout(scene: Scene): Promise<Laid> {
  warm();
  const here = await worker;
  const answer = here === null || here === undefined ? null : await ask(here, dot(scene));
  if (answer === null) return rows(scene);
  try {
    return read(scene, answer);
  } catch {
    return rows(scene);
  }
}

function ask(here: Worker, text: string): Promise<string | null> {
  asked += 1;
  const id = asked;
  return new Promise((resolve) => {
    const done = (output: string | null): void => {
      clearTimeout(timer);
      here.removeEventListener("message", heard);
      here.removeEventListener("error", failed);
      resolve(output);
    };
    const heard = ({ data }: MessageEvent<Answer>): void => {
      if (data.id === id) done(data.output ?? null);
    };
    const failed = (): void => {
      worker = Promise.resolve(null);
      done(null);
    };
    const timer = setTimeout(() => {
      here.terminate();
      worker = null;
      done(null);
    }, PATIENCE);
    here.addEventListener("message", heard);
    here.addEventListener("error", failed);
    here.postMessage({ id, dot: text });
  });
}

// Points are pixels; dot wants inches.
const inches = (pixels: number): string => (pixels / 72).toFixed(4);

export function dot(scene: Scene): string {
  const lines = [
    "digraph {",
    "graph [nodesep=0.2 ranksep=0.34 labeljust=l margin=10 nslimit=4 nslimit1=4]",
    'node [shape=box fixedsize=true label=""]',
    "edge [arrowhead=none]",
  ];
  const inner = new Map<number, number[]>();
  for (const [k, cluster] of scene.clusters.entries()) append(inner, cluster.parent, k);
  const boxes = new Map<number, number[]>();
  for (const [k, box] of scene.boxes.entries()) append(boxes, box.cluster, k);
  const stack: (number | "}")[] = [-1];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (at === "}") {
      lines.push("}");
      continue;
    }
    if (at >= 0) {
      const width = Math.ceil(scene.clusters[at]?.width ?? 0);
      const title = `<TABLE FIXEDSIZE="TRUE" WIDTH="${width}" HEIGHT="${TITLE_HEIGHT}" BORDER="0"><TR><TD></TD></TR></TABLE>`;
      lines.push(`subgraph cluster${at} {`, `label=<${title}>`);
      stack.push("}");
    }
    for (const k of boxes.get(at) ?? []) {
      const box = scene.boxes[k];
      if (box !== undefined) lines.push(`n${k} [width=${inches(box.width)} height=${inches(box.height)}]`);
    }
    stack.push(...[...(inner.get(at) ?? [])].reverse());
  }
  for (const { k, from, to } of heaviest(scene)) lines.push(`n${from} -> n${to} [id=e${k}]`);
  return [...lines, "}"].join("\n");
}

function heaviest(scene: Scene): { k: number; from: number; to: number }[] {
  const edges = scene.edges.map((edge, k) => ({ ...edge, k }));
  if (edges.length <= MOST_EDGES) return edges;
  return edges.sort((a, b) => b.count - a.count || a.k - b.k).slice(0, MOST_EDGES);
}

function append(map: Map<number, number[]>, key: number, value: number): void {
  const known = map.get(key);
  if (known === undefined) map.set(key, [value]);
  else known.push(value);
}

interface Read {
  bb: string;
  objects?: { name: string; pos?: string; bb?: string }[];
  edges?: { id: string; pos?: string }[];
}

function read(scene: Scene, text: string): Laid {
  const found = JSON.parse(text) as Read;
  const [left = 0, bottom = 0, right = 0, top = 0] = found.bb.split(",").map(Number);
  const x = (number: number): number => number - left;
  const y = (number: number): number => top - number;
  const boxes: Rectangle[] = scene.boxes.map(({ width, height }) => ({ x: 0, y: 0, width, height }));
  const clusters: (Rectangle | null)[] = scene.clusters.map(() => null);
  for (const { name, pos, bb } of found.objects ?? []) {
    if (pos !== undefined && name.startsWith("n")) {
      const k = Number(name.slice(1));
      const box = boxes[k];
      const [cx = 0, cy = 0] = pos.split(",").map(Number);
      if (box !== undefined) boxes[k] = { ...box, x: x(cx) - box.width / 2, y: y(cy) - box.height / 2 };
    } else if (bb !== undefined && name.startsWith("cluster")) {
      const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = bb.split(",").map(Number);
      clusters[Number(name.slice(7))] = { x: x(x0), y: y(y1), width: x1 - x0, height: y1 - y0 };
    }
  }
  const edges: (string | null)[] = scene.edges.map(() => null);
  for (const { id, pos } of found.edges ?? []) {
    if (pos !== undefined) edges[Number(id.slice(1))] = spline(pos, x, y);
  }
  return { width: right - left, height: top - bottom, boxes, clusters, edges, by: "dot" };
}

// "x0,y0 x1,y1 ...": a start and three points for each curve.
function spline(pos: string, x: (n: number) => number, y: (n: number) => number): string {
  const points = pos
    .split(";")[0]
    ?.split(" ")
    .filter((point) => !point.startsWith("e,") && !point.startsWith("s,"))
    .map((point) => point.split(",").map(Number))
    .map(([px = 0, py = 0]) => `${x(px).toFixed(1)},${y(py).toFixed(1)}`);
  const [start, ...rest] = points ?? [];
  return `M${start ?? "0,0"} C${rest.join(" ")}`;
}
