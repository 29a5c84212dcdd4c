// The panel beside the views: all that is known of the selected node, or an overview where none is.

import { count, cut, h, replace, type Child } from "./dom";
import {
  consumers,
  counterparts,
  graphOf,
  label,
  lineOf,
  originOf,
  placeOf,
  size,
  spoken,
  stageName,
  textOf,
  typeOf,
} from "./lookup";
import type { GraphId, Model, NodeId, Origin, Statistics } from "./model";
import { bytes, percent, seconds, short } from "./numbers";
import { overview } from "./overview";
import type { Context, Reference } from "./view";
import { histogram, pictured } from "./views/charts";
import { openStep, stepsOf } from "./views/rewrites";

const MOST = 24; // links of a kind that are shown

export function details(context: Context): HTMLElement {
  const element = h("aside", { class: "details", "aria-label": "Details", tabindex: 0 });
  context.subscribe(update);
  update(context.selection);
  return element;

  function update(selection: Reference | null): void {
    replace(element, ...(selection === null ? overview(context) : shown(context, selection)));
    element.scrollTop = 0;
  }
}

function shown(context: Context, reference: Reference): Child[] {
  const { model } = context;
  const graph = graphOf(model, reference.graph);
  const { node } = reference;
  const origin = originOf(model, graph, node);
  const outputs = graph.outputs.filter(([, id]) => id === node).map(([name]) => `output ${name}`);
  const nexts = graph.updates.flatMap(([name, pairs]) =>
    pairs.filter(([, id]) => id === node).map(([variable]) => `next value of ${variable} in ${name}`),
  );
  return [
    h(
      "header",
      {},
      h("h2", {}, h("span", { class: "id" }, `%${node}`), " ", label(model, graph, node)),
      h("p", { class: "mono type" }, typeOf(model, graph, node)),
      h(
        "p",
        { class: "tags" },
        tag(stageName(model, reference.graph), "stage"),
        tag(graph.kind[node] ?? "op", graph.kind[node]),
        graph.part[node] !== graph.kind[node] && tag(graph.part[node] ?? ""),
        ...[...outputs, ...nexts].slice(0, 6).map((name) => tag(cut(name, 60), "output")),
      ),
      h("code", { class: "text" }, textOf(model, graph, node)),
    ),
    section("Where it comes from", ...provenance(context, origin)),
    section("Operands", links(context, reference, graph.inputs[node] ?? [], true)),
    section("Read by", links(context, reference, consumers(graph, node))),
    ...rewritten(context, reference),
    ...adjoint(context, reference),
    ...fused(context, reference),
    ...buffers(context, reference),
    ...values(model, reference),
    ...elsewhere(context, reference),
  ];
}

export function section(title: string, ...children: Child[]): HTMLElement {
  return h("section", {}, h("h3", {}, title), ...children);
}

function tag(text: string, kind = ""): HTMLElement {
  return h("span", { class: `tag ${kind}` }, text);
}

// Provenance: the rules that made it, the newest first, down to the lines of the user.

function provenance(context: Context, origin: Origin): Child[] {
  const { model } = context;
  const forward = forwardGraph(model);
  const of = forward === null ? [] : origin.of.filter((id) => id < size(graphOf(model, forward)));
  return [
    origin.rules.length > 0 &&
      h(
        "ol",
        { class: "rules", "aria-label": "Rules, the newest first" },
        ...[...origin.rules].reverse().map((rule) => h("li", {}, rule)),
      ),
    of.length > 0 &&
      forward !== null &&
      h("div", { class: "of" }, h("span", { class: "muted" }, "for"), links(context, { graph: forward, node: 0 }, of)),
    origin.scope.length > 0 &&
      h("p", { class: "scope" }, h("span", { class: "muted" }, "in "), origin.scope.join(" / ")),
    ...origin.sources.map((source) => sourceLine(model, source)),
    origin.sources.length === 0 && h("p", { class: "muted" }, "No line of yours is known for it."),
  ];
}

// The graph that `Origin.of` counts in: the one that was differentiated, whose ids the gradient stage keeps.
function forwardGraph(model: Model): GraphId | null {
  const stage = model.stages.find(({ name }) => name === "gradient") ?? model.stages[0];
  return stage?.graph ?? null;
}

function sourceLine(model: Model, [file, line, first, last]: Origin["sources"][number]): HTMLElement {
  const text = lineOf(model, file, line);
  const around = [line - 1, line, line + 1]
    .map((number) => ({ number, text: lineOf(model, file, number) }))
    .filter(({ number, text: each }) => number === line || each.trim() !== "");
  return h(
    "figure",
    { class: "source" },
    h("figcaption", {}, placeOf(model, file, line)),
    text !== "" &&
      h(
        "pre",
        { tabindex: 0, "aria-label": `Source, ${placeOf(model, file, line)}` },
        ...around.map(({ number, text: each }) =>
          h(
            "span",
            { class: number === line ? "line here" : "line" },
            h("span", { class: "number" }, `${number}`),
            ...(number === line && first >= 0 && last > first ? marked(each, first, last) : [`${each}\n`]),
          ),
        ),
      ),
  );
}

function marked(text: string, first: number, last: number): Child[] {
  return [text.slice(0, first), h("mark", {}, text.slice(first, last)), `${text.slice(last)}\n`];
}

// Links to nodes.

export function link(context: Context, reference: Reference, name?: string): HTMLElement {
  const { model } = context;
  const graph = graphOf(model, reference.graph);
  return h(
    "button",
    {
      class: `node ${graph.kind[reference.node] ?? "op"}`,
      title: spoken(model, reference),
      onclick: () => context.select(reference),
    },
    h("span", { class: "id" }, `%${reference.node}`),
    h("span", { class: "name" }, cut(name ?? label(model, graph, reference.node), 40)),
    h("span", { class: "type" }, typeOf(model, graph, reference.node)),
  );
}

export function links(context: Context, at: Reference, nodes: readonly NodeId[], ordered = false): HTMLElement {
  if (nodes.length === 0) return h("p", { class: "muted" }, "None.");
  const list = h(
    ordered ? "ol" : "ul",
    { class: "links" },
    ...nodes.slice(0, MOST).map((node) => h("li", {}, link(context, { graph: at.graph, node }))),
  );
  if (nodes.length <= MOST) return list;
  const more = h("button", { class: "plain", onclick: all }, `All ${nodes.length.toLocaleString("en")}`);
  function all(): void {
    list.append(...nodes.slice(MOST, 2000).map((node) => h("li", {}, link(context, { graph: at.graph, node }))));
    more.remove();
  }
  return h("div", {}, list, more);
}

// What other sections of the model say of it.

function rewritten(context: Context, reference: Reference): Child[] {
  const steps = stepsOf(context.model, reference);
  if (steps.length === 0) return [];
  const rows = steps.slice(0, MOST).map(({ at, made }) => {
    const rewrite = context.model.rewrites[at];
    return h(
      "li",
      {},
      h(
        "button",
        { class: "node rewritten", onclick: () => openStep(context, at) },
        h("span", { class: "id" }, `${rewrite?.step ?? at}`),
        h("span", { class: "name" }, `${made ? "made by" : "replaced by"} ${rewrite?.rule ?? ""}`),
        h("span", { class: "type" }, rewrite?.pass ?? ""),
      ),
    );
  });
  return [section("Rewrites", h("ul", { class: "links" }, ...rows))];
}

function adjoint(context: Context, reference: Reference): Child[] {
  const { gradient } = context.model;
  if (gradient === null || gradient.graph !== reference.graph) return [];
  const pair = gradient.pairs.find(({ node }) => node === reference.node);
  const of = gradient.pairs.filter((each) => each.adjoint === reference.node).map(({ node }) => node);
  const made = gradient.pairs.filter((each) => each.made.includes(reference.node) && !of.includes(each.node));
  return [
    pair !== undefined &&
      section(
        "Adjoint",
        pair.adjoint === null ? h("p", {}, pair.reason) : links(context, reference, [pair.adjoint]),
        pair.zero !== "" && h("p", {}, pair.zero),
      ),
    of.length > 0 && section("Adjoint of", links(context, reference, of)),
    made.length > 0 &&
      section(
        "Made by the VJP of",
        links(
          context,
          reference,
          made.map(({ node }) => node),
        ),
      ),
  ];
}

function fused(context: Context, reference: Reference): Child[] {
  const { fusion } = context.model;
  const kernel = fusion.kernels.find(
    ({ node, members }) =>
      (reference.graph === fusion.fused && node === reference.node) ||
      (reference.graph === fusion.unfused && members.includes(reference.node)),
  );
  if (kernel === undefined) return [];
  const { unfused, fused: stage } = fusion;
  return [
    section(
      "Kernel",
      reference.graph === unfused
        ? links(context, { graph: stage, node: 0 }, [kernel.node])
        : links(context, { graph: unfused, node: 0 }, kernel.members),
      h("p", {}, kernel.why),
    ),
  ];
}

function buffers(context: Context, reference: Reference): Child[] {
  const { memory, fusion, profile } = context.model;
  if (reference.graph !== fusion.fused) return [];
  const owned = memory?.buffers.filter(({ node }) => node === reference.node) ?? [];
  const timed = profile?.kernels.filter(({ node }) => node === reference.node) ?? [];
  return [
    ...owned.map((buffer) =>
      section(
        "Buffer",
        table(
          ["Size", `${bytes(buffer.size)} = ${buffer.expression}`],
          ["At", `byte ${buffer.offset.toLocaleString("en")}`],
          ["Lives", `steps ${buffer.birth} to ${buffer.death}${buffer.atPeak ? ", at the peak" : ""}`],
        ),
        buffer.over !== null &&
          h("div", {}, h("span", { class: "muted" }, "in place of"), links(context, reference, [buffer.over])),
      ),
    ),
    ...timed.map((kernel) =>
      section(
        "Time",
        table(
          ["Median", seconds(kernel.time.median)],
          ["10 to 90 %", `${seconds(kernel.time.low)} to ${seconds(kernel.time.high)}`],
          ["Share", `${percent(kernel.share)} of the step`],
          ["Work", `${kernel.flops.toLocaleString("en")} flops, ${bytes(kernel.bytes)}, ${kernel.bound}-bound`],
        ),
      ),
    ),
  ];
}

// Where its own stage has no values: those of the same node in a stage that has.
function valued(model: Model, reference: Reference): Reference {
  const has = (graph: GraphId): boolean => model.values?.graphs.some((each) => each.graph === graph) ?? false;
  if (has(reference.graph)) return reference;
  const name = ({ graph, node }: Reference): string => label(model, graphOf(model, graph), node);
  const same = counterparts(model, reference).filter((each) => each.same && name(each) === name(reference));
  return same.find(({ graph }) => has(graph)) ?? reference;
}

function values(model: Model, given: Reference): Child[] {
  const reference = valued(model, given);
  const known = model.values?.graphs.find(({ graph }) => graph === reference.graph);
  const found = known?.nodes[reference.node];
  if (found === undefined || found === null) return [];
  const stage = reference === given ? "" : ` of %${reference.node} in the stage ${stageName(model, reference.graph)}`;
  return [
    section(
      `Value${stage}`,
      known?.first === reference.node && h("p", { class: "warning" }, "The first value that is not finite."),
      statistics(found),
      found.counts.length > 0 && histogram(found.edges, found.counts),
      found.picture !== null && pictured(found.picture, `%${reference.node}`),
    ),
  ];
}

function statistics(found: Statistics): HTMLElement {
  const odd = [
    found.nan > 0 && count(found.nan, "NaN", "NaN"),
    found.posinf > 0 && `${found.posinf.toLocaleString("en")} +inf`,
    found.neginf > 0 && `${found.neginf.toLocaleString("en")} −inf`,
    found.zeros > 0 && count(found.zeros, "zero"),
  ].filter(Boolean);
  return table(
    ["Shape", `${found.dtype}[${found.shape.join(", ")}]`],
    ...(found.min === null ? [] : ([["Range", `${short(found.min)} to ${short(found.max)}`]] as const)),
    ...(found.mean === null ? [] : ([["Mean", `${short(found.mean)} ± ${short(found.deviation)}`]] as const)),
    ...(odd.length === 0 ? [] : ([["Counts", odd.join(", ")]] as const)),
    ["First", found.sample.slice(0, 6).map(short).join("  ")],
  );
}

function elsewhere(context: Context, reference: Reference): Child[] {
  const found = counterparts(context.model, reference);
  if (found.length === 0) return [];
  const rows = (wanted: boolean): HTMLElement[] =>
    found
      .filter(({ same }) => same === wanted)
      .map(({ graph, node }) =>
        h(
          "div",
          { class: "pair" },
          h(
            "button",
            {
              class: "tag stage",
              title: `Show it in the graph of the stage ${stageName(context.model, graph)}`,
              onclick: () => context.show("graph", { graph, node }),
            },
            stageName(context.model, graph),
          ),
          link(context, { graph, node }),
        ),
      );
  const [same, near] = [rows(true), rows(false)];
  return [
    same.length > 0 && section("In other stages", ...same),
    near.length > 0 && section("From the same lines", ...near),
  ];
}

export function table(...rows: (readonly [string, string])[]): HTMLElement {
  return h(
    "dl",
    { class: "table" },
    ...rows.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}
