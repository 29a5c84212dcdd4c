// The memory plan: buffers as rectangles of time and offset, what is needed at each step, and who owns the peak.

import type { Buffer, Memory, NodeId } from "../model";
import type { Context, Reference, View } from "../view";
import { cut } from "../dom";
import { bytes, byteTicks, largest, percent, ticks } from "../numbers";
import {
  away,
  choices,
  count,
  el,
  fill,
  follow,
  kernelLines,
  kernelOf,
  key,
  lineList,
  nearPlace,
  nodeButton,
  nodeName,
  nothing,
  place,
  searchField,
  svg,
  type Child,
} from "./parts";
import { table } from "./table";

const DRAWN = 1500; // rectangles: the largest buffers, where there are more
const WIDTH = 960;
const PLAN = 340;
const LIVE = 96;
const LEFT = 76;
const RIGHT = 12;

export const memory: View = {
  id: "memory",
  title: "Memory",
  render(context) {
    const found = context.model.memory;
    const free = context.model.about.free;
    if (found === null) {
      const why =
        free.length === 0
          ? "No memory plan was made."
          : `The sizes ${free.join(", ")} are not bound, and a plan is made for numbers.`;
      const example = (free.length === 0 ? ["batch"] : free).map((name) => `--size ${name}=128`).join(" ");
      return nothing("memory", "Memory", why, `Bind them to see the plan: explore ${example}.`);
    }
    if (found.buffers.length === 0) {
      return nothing(
        "memory",
        "Memory",
        "The program needs no memory of its own: no value outlives a kernel.",
        found.unplanned,
      );
    }
    return shown(context, found);
  },
};

const MOST_STEPS = 500_000; // that are drawn

// Bytes in use at each step. A buffer that takes another's memory over in place ends that one's claim.
function liveBytes(found: Memory): Float64Array {
  const last = largest(
    found.buffers.map((buffer) => buffer.death + 1),
    Math.max(found.steps, 1),
  );
  const steps = Math.min(MOST_STEPS, last);
  const change = new Float64Array(steps + 1);
  const taken = new Map<string, number>(); // by node and offset: a node has several buffers, where it has scratch
  for (const buffer of found.buffers)
    if (buffer.over !== null) taken.set(`${buffer.over}:${buffer.offset}`, buffer.birth);
  for (const buffer of found.buffers) {
    const end = Math.min(buffer.death + 1, taken.get(`${buffer.node}:${buffer.offset}`) ?? Infinity);
    change[buffer.birth] = (change[buffer.birth] ?? 0) + buffer.size;
    change[Math.max(end, buffer.birth)] = (change[Math.max(end, buffer.birth)] ?? 0) - buffer.size;
  }
  for (let step = 1; step <= steps; step++) change[step] = (change[step] ?? 0) + (change[step - 1] ?? 0);
  return change.subarray(0, steps);
}

function shown(context: Context, found: Memory): HTMLElement {
  const { model } = context;
  const graph = model.fusion.fused;
  const at = (node: NodeId): Reference => ({ graph, node });
  const detail = el("aside", { class: "v-panel", tabindex: 0, "aria-label": "The node and its buffers" });
  const charts = plan(context, found);

  const grid = table<Buffer>({
    caption: "Buffers of the plan",
    rows: found.buffers,
    sorted: [1, true],
    empty: "No buffer matches the filter.",
    columns: [
      {
        title: "Node",
        head: true,
        by: (one) => one.node,
        cell: (one) => nodeButton(context, at(one.node), `%${one.node} ${cut(one.label, 40)}`),
      },
      {
        title: "Bytes",
        numeric: true,
        by: (one) => one.size,
        cell: (one) => el("span", { title: one.size.toLocaleString("en") }, bytes(one.size)),
      },
      { title: "Offset", numeric: true, by: (one) => one.offset, cell: (one) => one.offset.toLocaleString("en") },
      { title: "From step", numeric: true, by: (one) => one.birth, cell: (one) => one.birth },
      { title: "To step", numeric: true, by: (one) => one.death, cell: (one) => one.death },
      { title: "In named sizes", cell: (one) => el("code", {}, one.expression) },
      { title: "Reuse", cell: (one) => reuse(one) },
      { title: "At the peak", by: (one) => (one.atPeak ? 0 : 1), cell: (one) => (one.atPeak ? "yes" : "") },
      { title: "Line", cell: (one) => line(one) },
    ],
    each: (one, row) => {
      row.classList.toggle("current", context.selection?.graph === graph && context.selection.node === one.node);
      row.addEventListener("click", (event) => {
        if (!(event.target as Element).closest("button")) context.select(at(one.node));
      });
    },
  });

  function reuse(one: Buffer): Child[] {
    return one.over === null ? [] : ["in place of ", nodeButton(context, at(one.over))];
  }

  function line(one: Buffer): Child {
    const first = kernelLines(model, one.node)[0];
    return first === undefined ? "–" : el("span", { class: "v-place", title: first.text }, nearPlace(first));
  }

  let words = "";
  let which = "all";
  function filter(): void {
    grid.show(
      found.buffers.filter(
        (one) =>
          (which === "all" || (which === "peak" ? one.atPeak : one.over !== null)) &&
          (words === "" || searched(one).includes(words)),
      ),
    );
  }
  const searched = (one: Buffer): string =>
    [
      `%${one.node} ${one.label}`,
      one.expression,
      ...kernelLines(model, one.node).flatMap((each) => [place(each), each.text]),
    ]
      .join("\n")
      .toLowerCase();
  const atPeak = found.buffers.filter((one) => one.atPeak).length;
  const inPlace = found.buffers.filter((one) => one.over !== null).length;
  const controls = el(
    "div",
    { class: "v-controls" },
    searchField("Filter by name, size or line", (text) => {
      words = text;
      filter();
    }),
    choices(
      "Which buffers",
      [
        ["all", `All (${found.buffers.length})`],
        ["peak", `At the peak (${atPeak})`],
        ["place", `In place (${inPlace})`],
      ],
      "all",
      (value) => {
        which = value;
        filter();
      },
    ),
  );

  const root = el(
    "section",
    { class: "v-view v-memory", "aria-label": "Memory" },
    el("h2", {}, "Memory"),
    facts(context, found),
    el("p", { class: "v-note" }, found.owner),
    charts,
    el("h3", {}, "Buffers"),
    controls,
    el("div", { class: "v-split" }, grid.element, detail),
    found.unplanned === "" ? null : el("p", { class: "v-quiet" }, found.unplanned),
  );
  fill(
    detail,
    el("p", { class: "v-quiet" }, "Choose a buffer, in the chart or in the table, to see its node and line."),
  );

  follow(context, root, (selection) => {
    const node = kernelOf(model, selection);
    for (const element of charts.querySelectorAll(".lit")) element.classList.remove("lit");
    const own = found.buffers.filter((one) => one.node === node).sort((a, b) => b.size - a.size);
    if (node !== null && own.length > 0) {
      for (const mark of charts.querySelectorAll(`[data-node="${key(at(node))}"]`)) mark.classList.add("lit");
      const row = grid.reveal((one) => one === own[0]);
      if (away(root)) row?.scrollIntoView({ block: "nearest" });
      fill(detail, ...described(context, found, node, own));
    }
    for (const [one, row] of grid.shown()) row.classList.toggle("current", one.node === node);
  });
  return root;
}

function facts(context: Context, found: Memory): HTMLElement {
  const sizes = context.model.about.sizes.map(([name, value]) => `${name} = ${value.toLocaleString("en")}`).join(", ");
  const waste = found.peak - found.live;
  const rows: [string, Child][] = [
    ["Arena", bytes(found.peak)],
    ["Needed at the peak", `${bytes(found.live)}${waste > 0 ? `, ${bytes(waste)} between buffers` : ""}`],
    ["Peak at", `step ${found.step} of ${found.steps}`],
    ["In named sizes", el("code", {}, found.expression)],
  ];
  if (sizes !== "") rows.push(["For", sizes]);
  return el(
    "dl",
    { class: "v-facts v-across" },
    ...rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

function described(context: Context, found: Memory, node: NodeId, own: readonly Buffer[]): Element[] {
  const { model } = context;
  const at = (other: NodeId): Reference => ({ graph: model.fusion.fused, node: other });
  return [
    el("h3", {}, nodeName(model, at(node))),
    lineList(kernelLines(model, node), 4),
    ...own.slice(0, 8).flatMap((buffer) => {
      const next = found.buffers.find((one) => one.over === node && one.offset === buffer.offset);
      const share =
        found.live > 0 && buffer.atPeak ? `, ${percent(buffer.size / found.live)} of what the peak needs` : "";
      const facts: [string, Child][] = [
        ["bytes", `${buffer.size.toLocaleString("en")} (${bytes(buffer.size)})${share}`],
        ["in named sizes", el("code", {}, buffer.expression)],
        ["offset", buffer.offset.toLocaleString("en")],
        ["steps", `${buffer.birth} to ${buffer.death}`],
      ];
      return [
        el("h4", {}, buffer.label),
        el("dl", { class: "v-facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
        ...(buffer.over === null
          ? []
          : [el("p", {}, "Written in place of ", nodeButton(context, at(buffer.over)), ".")]),
        ...(next === undefined
          ? []
          : [el("p", {}, "Its memory is taken over by ", nodeButton(context, at(next.node)), ".")]),
      ];
    }),
  ];
}

// --- the charts ----------------------------------------------------------------------------------------------------------

function plan(context: Context, found: Memory): HTMLElement {
  const drawn = [...found.buffers].sort((a, b) => b.size - a.size).slice(0, DRAWN);
  const live = liveBytes(found);
  const steps = live.length;
  const x = (step: number): number => LEFT + (step / steps) * (WIDTH - LEFT - RIGHT);
  const left = found.buffers.length - drawn.length;
  const figure = el(
    "figure",
    { class: "v-plan" },
    planChart(context, found, drawn, x, steps),
    liveChart(found, live, x),
    el(
      "figcaption",
      {},
      legend("buffer", "a buffer"),
      legend("peak", "in use at the peak"),
      legend("place", "written in place of another"),
      el(
        "span",
        { class: "v-quiet" },
        left > 0
          ? `The ${DRAWN} largest of ${count(found.buffers.length, "buffer")} are drawn.`
          : "Steps from left to right; click a buffer to select its node.",
      ),
    ),
  );
  return figure;
}

const legend = (kind: string, text: string): HTMLElement =>
  el(
    "span",
    { class: "v-key" },
    svg(
      "svg",
      { width: 14, height: 12, class: "v-chart", "aria-hidden": "true" },
      svg("rect", { class: `buffer ${kind}`, x: 1, y: 1, width: 12, height: 10 }),
    ),
    text,
  );

function planChart(
  context: Context,
  found: Memory,
  drawn: readonly Buffer[],
  x: (step: number) => number,
  steps: number,
): SVGSVGElement {
  const graph = context.model.fusion.fused;
  const top = 18;
  const base = PLAN - 8;
  const arena = largest(
    drawn.map((one) => one.offset + one.size),
    Math.max(found.peak, 1),
  );
  const y = (offset: number): number => base - (offset / arena) * (base - top);
  const chart = svg("svg", {
    class: "v-chart",
    viewBox: `0 0 ${WIDTH} ${PLAN}`,
    role: "img",
    "aria-label": `Memory plan: ${count(found.buffers.length, "buffer")} in an arena of ${bytes(found.peak)} over ${count(steps, "step")}; the peak is at step ${found.step}. The table of buffers says the same.`,
  });
  for (const tick of byteTicks(arena, 6)) {
    chart.append(
      svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(tick), y2: y(tick) }),
      svg("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, bytes(tick)),
    );
  }
  for (const one of drawn) {
    const reference = { graph, node: one.node };
    const wide = Math.max(1.5, x(one.death + 1) - x(one.birth) - 1);
    const tall = Math.max(1, y(one.offset) - y(one.offset + one.size) - 0.5);
    const classes = `buffer${one.atPeak ? " peak" : ""}${one.over === null ? "" : " place"}`;
    const name = `%${one.node} ${one.label}`;
    const group = svg(
      "g",
      { class: classes, "data-node": key(reference), onclick: () => context.select(reference) },
      svg(
        "title",
        {},
        `${name}: ${bytes(one.size)} at ${one.offset}, steps ${one.birth} to ${one.death}${one.over === null ? "" : `, in place of %${one.over}`}`,
      ),
      svg("rect", { x: x(one.birth), y: y(one.offset + one.size), width: wide, height: tall }),
    );
    if (tall >= 14 && wide >= 40) {
      group.append(
        svg(
          "text",
          { x: x(one.birth) + 4, y: y(one.offset + one.size) + Math.min(tall / 2 + 4, 14) },
          cut(name, Math.max(3, Math.floor((wide - 6) / 6.6))),
        ),
      );
    }
    chart.append(group);
  }
  const peak = (x(found.step) + x(found.step + 1)) / 2;
  const late = peak > WIDTH - 220;
  chart.append(
    svg("line", { class: "peak-line", x1: peak, x2: peak, y1: top - 6, y2: base }),
    svg(
      "text",
      { class: "peak-text", x: peak + (late ? -5 : 5), y: 11, "text-anchor": late ? "end" : "start" },
      `peak: ${bytes(found.live)} at step ${found.step}`,
    ),
    svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: base, y2: base }),
  );
  return chart;
}

function liveChart(found: Memory, live: Float64Array, x: (step: number) => number): SVGSVGElement {
  const base = LIVE - 20;
  const most = largest(live, 1);
  const y = (value: number): number => base - (value / most) * (base - 6);
  let path = `M${x(0)} ${base}`;
  live.forEach((value, step) => (path += `V${y(value)}H${x(step + 1)}`));
  const chart = svg("svg", {
    class: "v-chart",
    viewBox: `0 0 ${WIDTH} ${LIVE}`,
    role: "img",
    "aria-label": `Bytes in use at each step: at most ${bytes(most)}, at step ${live.indexOf(most)}`,
  });
  const peak = (x(found.step) + x(found.step + 1)) / 2;
  chart.append(
    svg("path", { class: "live", d: `${path}V${base}Z` }),
    svg("line", { class: "peak-line", x1: peak, x2: peak, y1: 0, y2: base }),
    svg("text", { x: LEFT - 8, y: y(most) + 6, "text-anchor": "end" }, bytes(most)),
    svg("text", { x: LEFT - 8, y: base, "text-anchor": "end" }, "0 B"),
    svg("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: base, y2: base }),
  );
  for (const tick of ticks(0, live.length - 1, 10, true)) {
    chart.append(
      svg(
        "text",
        { x: (x(tick) + x(tick + 1)) / 2, y: LIVE - 6, "text-anchor": "middle" },
        `${tick === 0 ? "step " : ""}${tick}`,
      ),
    );
  }
  return chart;
}
