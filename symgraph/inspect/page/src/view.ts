// How the parts of the page fit together: a view is a function from the context to an element, and one selection is
// shared by all views. Nothing but `Context.select` changes it.

import type { GraphId, Model, NodeId } from "./model";

// A node of one of the model's graphs: the same node has other ids in other stages.
export interface Reference {
  graph: GraphId;
  node: NodeId;
}

export interface Context {
  readonly model: Model;
  readonly selection: Reference | null;
  // Select a node (null: none): the details panel shows it, and every view lights it up where it has it.
  select(reference: Reference | null): void;
  // Call `listener` after each change of the selection; returns the function that ends it.
  subscribe(listener: (selection: Reference | null) => void): () => void;
  // Go to another view, and select there; with `focus` the view gives what is selected the focus.
  show(view: string, reference?: Reference, focus?: boolean): void;
  // Say something to those who cannot see what changed (a polite live region).
  announce(sentence: string): void;
}

export interface View {
  readonly id: string; // of the tab and the address: "#fusion"
  readonly title: string; // of the tab
  // Made once, when the tab is first shown; null content is never needed: a view that has nothing says why.
  render(context: Context): HTMLElement;
}
