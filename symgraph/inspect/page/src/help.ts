// The keys, in a dialog.

import { h } from "./dom";

const KEYS: readonly (readonly [string, string])[] = [
  ["/", "search"],
  ["1 … 8", "go to a view"],
  ["← →", "on the tabs: the view beside"],
  ["↑ ↓", "in the graph: to an operand, to a consumer"],
  ["← →", "in the graph: to the box beside"],
  ["Enter", "in the graph: select a node, or unfold a scope"],
  ["Backspace", "in the graph: fold the scope that a node is in"],
  ["+ − 0", "in the graph: closer, farther, all of it"],
  ["f", "in the graph: bring the selection into view"],
  ["Shift + arrows", "in the graph: move the picture"],
  ["[ ]", "in the rewrites: the one before, the one after"],
  ["Escape", "select nothing"],
  ["?", "this help"],
];

const CREDIT =
  "Graphs are laid out by Graphviz (Eclipse Public License 1.0, source at graphviz.org), with Expat and Viz.js (MIT).";

export interface Help {
  readonly dialog: HTMLDialogElement;
  readonly open: () => void;
}

export function help(): Help {
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h("h2", { id: "help-title" }, "Keys"),
    h("dl", {}, ...KEYS.map(([key, does]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, does)))),
    h("p", { class: "muted" }, CREDIT),
    h("button", { class: "plain", onclick: () => dialog.close() }, "Close"),
  );
  return { dialog, open: () => (dialog.open ? undefined : dialog.showModal()) };
}
