// The graph at each stage, as a drawing whose scopes fold and as a table.

import { count, h, replace } from "../dom";
import { around, carried, folded, MOST_BOXES, opened, tree, type Folded, type Group } from "../groups";
import { layout, warm } from "../layout";
import { list } from "../list";
import { counterparts, graphOf, size } from "../lookup";
import type { GraphId, NodeId, Stage } from "../model";
import { picture } from "../picture";
import type { Box } from "../scene";
import type { Context, Reference, View } from "../view";

const KINDS = [
  ["placeholder", "placeholder"],
  ["variable", "variable"],
  ["constant", "constant"],
  ["op", "op"],
  ["gradient", "of the gradient"],
  ["update", "of the update"],
  ["rewritten", "rewritten"],
  ["output", "output"],
] as const;

export const graph: View = { id: "graph", title: "Graph", render };

function render(context: Context): HTMLElement {
  const { model } = context;
  warm();
  const opens = new Map<GraphId, string[]>(); // open groups, the last opened last
  const bases = new Map<GraphId, Group>(); // where not all can be shown around what is unfolded: the group that is
  let shown: GraphId = startingStage(context);
  let named = model.stages.find((stage) => stage.graph === shown); // two stages may share a graph
  let scene: Folded | null = null;
  let turn = 0;
  let picking = false;
  let arranged = false; // something was folded or unfolded by hand
  let entering = false; // what is brought into view next takes the focus

  const drawing = picture("Graph", { pick, fold });
  const table = list(context);
  const about = h("p", { class: "about" });
  const stages = h("div", { class: "segments", role: "group", "aria-label": "Stage" });
  const buttons = model.stages.map((stage) =>
    h("button", { class: "plain", onclick: () => go(stage), title: stage.about }, stage.name),
  );
  replace(stages, ...buttons);
  const listed = h("button", { class: "plain", "aria-pressed": "false", onclick: () => toggle() }, "Table");
  const tools = h(
    "div",
    { class: "segments", role: "group", "aria-label": "Picture" },
    tool("−", "Farther", () => drawing.zoom(0.8)),
    tool("+", "Closer", () => drawing.zoom(1.25)),
    h("button", { class: "plain", title: "All of it (0)", onclick: () => drawing.fit() }, "Fit"),
    h("button", { class: "plain", title: "Fold all scopes", onclick: () => refold(foldAll) }, "Fold"),
    h(
      "button",
      { class: "plain", title: "Unfold as much as can be shown at once", onclick: () => refold(unfoldMore) },
      "Unfold",
    ),
  );
  const element = h(
    "div",
    { class: "graph" },
    h("div", { class: "toolbar" }, stages, about, tools, listed),
    drawing.element,
    table.element,
    h(
      "ul",
      { class: "legend", "aria-label": "Colours" },
      ...KINDS.map(([kind, said]) => h("li", {}, h("span", { class: `dot ${kind}`, "aria-hidden": "true" }), said)),
    ),
  );

  element.addEventListener("entered", enter);
  context.subscribe((selection) => follow(selection));
  queueMicrotask(() => {
    void redraw().then(() => follow(context.selection));
  });
  return element;

  function tool(sign: string, name: string, act: () => void): HTMLElement {
    return h("button", { class: "plain", "aria-label": name, title: name, onclick: act }, sign);
  }

  function root(): Group {
    return tree(model, graphOf(model, shown));
  }

  function base(): Group {
    return bases.get(shown) ?? root();
  }

  function open(): string[] {
    let found = opens.get(shown);
    if (found === undefined) {
      found = [...opened(model, graphOf(model, shown))];
      opens.set(shown, found);
    }
    return found;
  }

  async function redraw(focus?: NodeId): Promise<void> {
    const here = graphOf(model, shown);
    if (named?.graph !== shown) named = model.stages.find((each) => each.graph === shown);
    for (const [k, button] of buttons.entries()) {
      button.setAttribute("aria-pressed", String(model.stages[k] === named));
    }
    const next = folded(model, here, base(), new Set(open()));
    const inside = base() === root() ? "" : ` Inside ${base().title} alone: Fold shows all again.`;
    about.textContent = told(named, here.title, size(here), next.boxes.length) + inside;
    about.title = `${about.textContent ?? ""} ${here.flops} flops, ${here.bytes} bytes.`;
    if (!table.element.hidden) table.show(shown);
    turn += 1;
    const mine = turn;
    drawing.element.setAttribute("aria-busy", "true");
    const laid = await layout(next);
    if (mine !== turn) return;
    scene = next;
    drawing.draw(next, laid);
    light(context.selection);
    if (focus !== undefined) drawing.bring([next.box(focus)], true);
  }

  function told(stage: Stage | undefined, title: string, nodes: number, boxes: number): string {
    const folded = `, folded into ${count(boxes, "box", "boxes")}: unfold one to see into it, or search`;
    return `${stage?.about ?? title} ${count(nodes, "node")}${boxes < nodes ? folded : ""}.`;
  }

  // To a stage, with what is unfolded here, where the user unfolded or folded it, and with what is selected here.
  function go(stage: Stage): void {
    const { selection } = context;
    const left = shown;
    shown = stage.graph;
    named = stage;
    if (left !== shown && arranged) {
      const now = carried(model, graphOf(model, left), new Set(opens.get(left) ?? []), graphOf(model, shown));
      bases.delete(shown);
      if (boxes([...now]) <= MOST_BOXES) opens.set(shown, [...now]);
    }
    const same = selection === null ? [] : counterparts(model, selection);
    const next = same.find((each) => each.same && each.graph === shown);
    if (next !== undefined) context.select({ graph: next.graph, node: next.node });
    void redraw().then(() => follow(context.selection?.graph === shown ? context.selection : null));
    context.announce(`Stage ${stage.name}`);
  }

  function toggle(): void {
    const tabled = table.element.hidden;
    listed.setAttribute("aria-pressed", String(tabled));
    table.element.hidden = !tabled;
    drawing.element.hidden = tabled;
    tools.hidden = tabled;
    if (tabled) table.show(shown);
    else drawing.fit();
  }

  // What is chosen elsewhere is shown here: at its stage, unfolded, in view.

  function follow(selection: Reference | null): void {
    if (selection === null || !model.stages.some((stage) => stage.graph === selection.graph)) {
      light(selection);
      return;
    }
    const elsewhere = selection.graph !== shown;
    shown = selection.graph;
    const path = around(root(), selection.node);
    const outside = !path.includes(base());
    if (outside) bases.delete(shown);
    const missing = path.filter(({ key }) => outside || !open().includes(key));
    if (!elsewhere && missing.length === 0 && scene !== null && scene.box(selection.node) >= 0) {
      light(selection);
      if (!picking) bring(selection);
      return;
    }
    for (const { key } of missing) unfold(key);
    void redraw().then(() => bring(selection));
  }

  function bring(selection: Reference): void {
    const at = scene?.box(selection.node) ?? -1;
    if (at < 0 || selection.graph !== shown) return;
    drawing.bring([at], entering);
    entering = false;
  }

  function enter(): void {
    if (!table.element.hidden) {
      table.element.querySelector<HTMLElement>("[aria-current] button")?.focus();
      return;
    }
    entering = true;
    if (drawing.element.getAttribute("aria-busy") !== "true" && context.selection !== null) bring(context.selection);
  }

  function light(selection: Reference | null): void {
    const at = selection !== null && selection.graph === shown ? (scene?.box(selection.node) ?? -1) : -1;
    const holds = at >= 0 && scene?.boxes[at]?.node === null ? "holds" : "selected";
    drawing.mark(new Map(at >= 0 ? [[at, holds]] : []));
  }

  // Folding.

  function pick(box: Box): void {
    if (box.node !== null) {
      picking = true; // what is clicked is in view
      context.select({ graph: shown, node: box.node });
      picking = false;
      return;
    }
    const group = scene?.groups.get(box.key);
    if (group !== undefined) {
      arranged = true;
      unfold(group.key);
      void redraw(group.first);
      context.announce(`${group.title} unfolded: ${count(group.children.length, "box", "boxes")}`);
      return;
    }
    const here = graphOf(model, shown);
    const [what, k] = box.key.split(" ");
    const node = what === "output" ? here.outputs[Number(k)]?.[1] : here.updates[Number(k)]?.[1][0]?.[1];
    if (node !== undefined) context.select({ graph: shown, node });
  }

  function fold(key: string): void {
    const group = scene?.groups.get(key);
    if (group === undefined || group.parent === null) return;
    arranged = true;
    opens.set(
      shown,
      open().filter((each) => each !== key),
    );
    void redraw(group.first);
    context.announce(`${group.title} folded`);
  }

  // Unfolds a group and those around it; where that makes too many boxes, what was unfolded first is folded again.
  function unfold(key: string): void {
    const now = [...open().filter((each) => each !== key), key];
    const needed = (each: string): boolean => key === each || key.startsWith(`${each}/`) || each === root().key;
    for (let many = boxes(now); many > MOST_BOXES; many = boxes(now)) {
      const at = now.findIndex((each) => !needed(each));
      if (at < 0) break;
      const [folding = ""] = now.splice(at, 1);
      for (let k = now.length - 1; k >= 0; k -= 1) {
        if (now[k]?.startsWith(`${folding}/`) === true && !needed(now[k] ?? "")) now.splice(k, 1);
      }
    }
    opens.set(shown, now);
    for (const group of ancestors(key)) {
      if (boxes(now) <= MOST_BOXES) break;
      bases.set(shown, group);
    }
  }

  // The groups around a group, the outermost first, and the group itself.
  function ancestors(key: string): Group[] {
    const found: Group[] = [];
    for (let at: Group | undefined = root(); at !== undefined;) {
      found.push(at);
      at = at.children.find(
        (child): child is Group => typeof child !== "number" && (key === child.key || key.startsWith(`${child.key}/`)),
      );
    }
    return found;
  }

  function boxes(open: readonly string[]): number {
    return folded(model, graphOf(model, shown), base(), new Set(open)).boxes.length;
  }

  function refold(change: () => void): void {
    arranged = true;
    change();
    void redraw();
  }

  function foldAll(): void {
    bases.delete(shown);
    opens.set(shown, [root().key]);
  }

  function unfoldMore(): void {
    const inner = [...(scene?.groups.values() ?? [])].filter(({ key }) => !open().includes(key));
    for (const { key, children } of inner.sort((a, b) => a.depth - b.depth || a.total - b.total)) {
      if (boxes(open()) + children.length > MOST_BOXES) {
        context.announce("No more can be unfolded at once: fold something, or select a node.");
        break;
      }
      opens.set(shown, [...open(), key]);
    }
  }
}

function startingStage({ model, selection }: Context): GraphId {
  const chosen = model.stages.find(({ graph: id }) => id === selection?.graph);
  return (chosen ?? model.stages[0])?.graph ?? 0;
}
