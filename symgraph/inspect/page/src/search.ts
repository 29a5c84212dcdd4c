// Search over the nodes of all stages: by name, op, type, scope, file and line. Words are all to be found; "op:", "type:",
// "scope:", "line:" and "name:" look in one place alone, and "%12" is a node's number.

import { count, h, replace } from "./dom";
import { graphOf, label, opName, originOf, place, size, stageName, string, typeOf } from "./lookup";
import type { GraphId, Model, NodeId } from "./model";
import type { Context, Reference } from "./view";

const MOST = 60;
const FIELDS = ["op", "type", "scope", "line", "name"] as const;
type Field = (typeof FIELDS)[number];

export interface Search {
  readonly element: HTMLElement;
  readonly focus: () => void;
}

interface Match {
  readonly references: Reference[];
  readonly total: number;
}

export function search(context: Context): Search {
  let matches: Reference[] = [];
  let active = -1;
  const list = h("div", { role: "listbox", id: "found", class: "found", "aria-label": "Nodes found", hidden: true });
  const told = h("p", { class: "told", hidden: true });
  const input = h("input", {
    type: "search",
    id: "search",
    role: "combobox",
    placeholder: "Search nodes",
    "aria-label": "Search nodes by name, op, type, scope or line",
    title:
      "Words are all to be found. op:matmul, type:f32, scope:layer1, line:net.py:12, name:w and %12 look in one place.",
    "aria-expanded": "false",
    "aria-controls": "found",
    "aria-autocomplete": "list",
    autocomplete: "off",
    spellcheck: "false",
    oninput: update,
    onkeydown: keys,
    onfocus: () => input.value !== "" && update(),
  });
  const element = h(
    "div",
    { class: "search", role: "search", onfocusout: left },
    input,
    h("div", { class: "drop" }, told, list),
  );

  function update(): void {
    const first = context.selection?.graph ?? context.model.stages[0]?.graph ?? 0;
    const { references, total } = find(context.model, input.value, first);
    matches = references;
    active = references.length > 0 ? 0 : -1;
    replace(list, ...references.map(option));
    const open = input.value.trim() !== "";
    told.textContent =
      total > matches.length ? `${count(total, "node")}; the first ${MOST} are shown` : count(total, "node");
    told.hidden = !open;
    show(open && total > 0);
    if (open) context.announce(count(total, "node"));
  }

  function show(open: boolean): void {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    mark();
  }

  function close(): void {
    told.hidden = true;
    show(false);
  }

  function option(reference: Reference, at: number): HTMLElement {
    const { model } = context;
    const graph = graphOf(model, reference.graph);
    const origin = originOf(model, graph, reference.node);
    return h(
      "div",
      {
        role: "option",
        id: `found-${at}`,
        "aria-selected": "false",
        onpointerdown: (event: PointerEvent) => event.preventDefault(),
        onclick: () => take(at),
      },
      h("span", { class: "id" }, `%${reference.node}`),
      h("span", { class: "name" }, label(model, graph, reference.node)),
      h("span", { class: "type" }, typeOf(model, graph, reference.node)),
      h("span", { class: "where" }, [origin.scope.join("/"), place(model, origin)].filter(Boolean).join("  ")),
      h("span", { class: "tag" }, stageName(model, reference.graph)),
    );
  }

  function mark(): void {
    for (const [at, child] of [...list.children].entries()) {
      child.setAttribute("aria-selected", String(at === active));
      if (at === active && !list.hidden) child.scrollIntoView({ block: "nearest" });
    }
    if (active >= 0 && !list.hidden) input.setAttribute("aria-activedescendant", `found-${active}`);
    else input.removeAttribute("aria-activedescendant");
  }

  function take(at: number): void {
    const reference = matches[at];
    if (reference === undefined) return;
    close();
    input.blur();
    context.show("graph", reference, true);
  }

  function keys(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && matches.length > 0) {
      if (list.hidden) update();
      else active = (active + step + matches.length) % matches.length;
      mark();
    } else if (event.key === "Enter") take(active);
    else if (event.key === "Escape" && !told.hidden) close();
    else if (event.key === "Escape") input.blur();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function left(event: FocusEvent): void {
    if (!element.contains(event.relatedTarget as Node | null)) close();
  }

  return {
    element,
    focus: () => {
      input.focus();
      input.select();
    },
  };
}

// The nodes that match, those of the graph `first` before the others, the best before the rest of a graph.
export function find(model: Model, query: string, first: GraphId): Match {
  const words = query.trim().toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return { references: [], total: 0 };
  const tests = words.map((word) => test(model, word));
  const stages = [...new Set([first, ...model.stages.map(({ graph }) => graph)])];
  const best: Reference[][] = [];
  let total = 0;
  for (const graph of stages) {
    const ranks: Reference[][] = [[], [], []];
    const here = graphOf(model, graph);
    for (let node = 0; node < size(here); node += 1) {
      if (!tests.every((matches) => matches(graph, node))) continue;
      total += 1;
      const rank = ranks[rankOf(model, graph, node, words)];
      if (rank !== undefined && rank.length < MOST) rank.push({ graph, node });
    }
    best.push(...ranks);
  }
  return { references: best.flat().slice(0, MOST), total };
}

function rankOf(model: Model, graph: GraphId, node: NodeId, words: readonly string[]): number {
  const here = graphOf(model, graph);
  const name = label(model, here, node).toLowerCase();
  const op = opName(model, here, node).toLowerCase();
  if (words.every((word) => word === `%${node}` || word === op || name.split(" ").includes(word))) return 0;
  return words.some((word) => name.startsWith(word)) ? 1 : 2;
}

function test(model: Model, word: string): (graph: GraphId, node: NodeId) => boolean {
  if (/^%\d+$/.test(word)) return (_, node) => `%${node}` === word;
  const at = word.indexOf(":");
  const field = FIELDS.find((name) => name === word.slice(0, at));
  const wanted = field === undefined ? word : word.slice(at + 1);
  const texts = (field === undefined ? FIELDS : [field]).map((name) => columns(model, wanted)[name]);
  return (graph, node) => texts.some((text) => text(graph, node));
}

// Strings and origins are far fewer than nodes: each is looked at once, and nodes ask what was found.
function columns(model: Model, wanted: string): Record<Field, (graph: GraphId, node: NodeId) => boolean> {
  const strings = once((id: number) => string(model, id).toLowerCase().includes(wanted));
  const lines = once((id: number) =>
    (model.origins[id]?.sources ?? []).some(([file, line]) =>
      `${model.files[file]?.path ?? ""}:${line}`.toLowerCase().includes(wanted),
    ),
  );
  const scopes = once((id: number) => (model.origins[id]?.scope ?? []).join("/").toLowerCase().includes(wanted));
  return {
    op: (graph, node) => strings(graphOf(model, graph).op[node] ?? -1),
    type: (graph, node) => strings(graphOf(model, graph).type[node] ?? -1),
    name: (graph, node) => strings(graphOf(model, graph).label[node] ?? -1),
    line: (graph, node) => lines(graphOf(model, graph).origin[node] ?? -1),
    scope: (graph, node) => scopes(graphOf(model, graph).origin[node] ?? -1),
  };
}

function once(ask: (id: number) => boolean): (id: number) => boolean {
  const known = new Map<number, boolean>();
  return (id) => {
    let answer = known.get(id);
    if (answer === undefined) {
      answer = ask(id);
      known.set(id, answer);
    }
    return answer;
  };
}
