// The nodes of a graph as a table, page by page: what a drawing shows, for those who read line by line.

import { count, cut, h, replace } from "./dom";
import { graphOf, label, originOf, place, size, typeOf } from "./lookup";
import type { GraphId, NodeId } from "./model";
import type { Context } from "./view";

const PAGE = 100;

export interface List {
  readonly element: HTMLElement;
  readonly show: (graph: GraphId) => void;
}

export function list(context: Context): List {
  const { model } = context;
  let graph: GraphId = -1;
  let first = 0;
  const body = h("tbody", {});
  const told = h("span", { class: "muted" });
  const back = h("button", { class: "plain", onclick: () => turn(-PAGE) }, "Previous");
  const on = h("button", { class: "plain", onclick: () => turn(PAGE) }, "Next");
  const head = ["Node", "Name", "Type", "Operands", "Scope", "Line"].map((name) => h("th", { scope: "col" }, name));
  const element = h(
    "div",
    { class: "list", hidden: true },
    h("div", { class: "pager" }, back, on, told),
    h(
      "div",
      { class: "scrolled", tabindex: 0, role: "region", "aria-label": "Nodes" },
      h("table", {}, h("thead", {}, h("tr", {}, ...head)), body),
    ),
  );
  context.subscribe((selection) => {
    if (selection?.graph !== graph || element.hidden) return;
    if (selection.node < first || selection.node >= first + PAGE) first = selection.node - (selection.node % PAGE);
    fill();
  });

  function turn(by: number): void {
    first += by;
    fill();
  }

  function fill(): void {
    const here = graphOf(model, graph);
    const last = Math.min(size(here), first + PAGE);
    replace(body, ...Array.from({ length: last - first }, (_, k) => row(first + k)));
    told.textContent = `%${first} to %${last - 1} of ${count(size(here), "node")}`;
    back.disabled = first === 0;
    on.disabled = last >= size(here);
    body.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  function row(node: NodeId): HTMLElement {
    const here = graphOf(model, graph);
    const origin = originOf(model, here, node);
    const selected = context.selection?.graph === graph && context.selection.node === node;
    const operands = here.inputs[node] ?? [];
    return h(
      "tr",
      { "aria-current": selected ? "true" : undefined },
      h("td", {}, h("button", { class: "bare", onclick: () => context.select({ graph, node }) }, `%${node}`)),
      h(
        "td",
        {},
        h("span", { class: `dot ${here.kind[node] ?? "op"}`, "aria-hidden": "true" }),
        cut(label(model, here, node), 80),
      ),
      h("td", { class: "mono" }, typeOf(model, here, node)),
      h("td", { class: "mono" }, cut(operands.map((operand) => `%${operand}`).join(" "), 60)),
      h("td", {}, origin.scope.join(" / ")),
      h("td", { class: "mono" }, place(model, origin)),
    );
  }

  return {
    element,
    show(next) {
      if (next !== graph) first = 0;
      graph = next;
      const { selection } = context;
      if (selection?.graph === graph) first = selection.node - (selection.node % PAGE);
      fill();
    },
  };
}
