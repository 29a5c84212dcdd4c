// Addresses: "#graph/optimised/12" is a view, a stage (or "g7", a graph that is none) and a node of it. A page inside
// another (a notebook's srcdoc frame) has no address of its own and keeps its place in memory alone.

import { graphOf, size } from "./lookup";
import type { Model } from "./model";
import type { Reference } from "./view";

export interface Address {
  readonly view: string;
  readonly reference: Reference | null;
}

const addressed = (): boolean => location.protocol !== "about:";

export function readAddress(model: Model): Address | null {
  if (!addressed() || location.hash.length < 2) return null;
  const [view = "", stage = "", node = ""] = location.hash.slice(1).split("/").map(decoded);
  const graph = /^g\d+$/.test(stage) ? Number(stage.slice(1)) : model.stages.find(({ name }) => name === stage)?.graph;
  if (graph === undefined || !/^\d+$/.test(node) || model.graphs[graph] === undefined) return { view, reference: null };
  const id = Number(node);
  return { view, reference: id < size(graphOf(model, graph)) ? { graph, node: id } : null };
}

// Another view is a new entry of the history, another selection is not.
export function writeAddress(model: Model, address: Address, entry: boolean): void {
  if (!addressed()) return;
  const hash = `#${written(model, address)}`;
  if (hash === location.hash) return;
  try {
    if (entry && location.hash !== "") history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
  } catch {
    // A frame that may not write its history keeps its place in memory.
  }
}

function written(model: Model, { view, reference }: Address): string {
  if (reference === null) return view;
  const stage = model.stages.find(({ graph }) => graph === reference.graph)?.name ?? `g${reference.graph}`;
  return `${view}/${encodeURIComponent(stage)}/${reference.node}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
