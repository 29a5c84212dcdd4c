// The profile of a real run: time of each kernel, its work, and how near it comes to what the machine could do.

import { cut } from "../dom";
import type { KernelTime, NodeId, Profile, Timing } from "../model";
import type { Context, Reference, View } from "../view";
import { HUES } from "./drawing";
import { bytes, figures, largest, percent, seconds } from "../numbers";
import {
  count,
  el,
  follow,
  kernelLines,
  kernelOf,
  key,
  nearPlace,
  nodeButton,
  nothing,
  save,
  searchField,
  place,
  svg,
  type Child,
} from "./parts";
import { table } from "./table";

const BAR = 200;
const DOTS = 500; // kernels that the roofline draws: those of the largest shares
const NAMED = 8; // kernels that the bar of a step tells apart

export const profile: View = {
  id: "profile",
  title: "Profile",
  render(context) {
    const found = context.model.profile;
    if (found === null) {
      return nothing(
        "profile",
        "Profile",
        "This page has no profile: no run was asked for.",
        "Ask for one with explore --feed batch.npz --steps 20, or sg.explore(executable, feeds=..., profile_steps=20).",
      );
    }
    return shown(context, found);
  },
};

function shown(context: Context, found: Profile): HTMLElement {
  const { model } = context;
  const at = (node: NodeId): Reference => ({ graph: model.fusion.fused, node });
  const longest = largest(
    found.kernels.map((kernel) => kernel.time.high),
    1e-12,
  );

  const grid = table<KernelTime>({
    caption: "Kernels by time",
    rows: found.kernels,
    sorted: [1, true],
    empty: "No kernel matches the filter.",
    columns: [
      {
        title: "Kernel",
        head: true,
        by: (one) => one.node,
        cell: (one) => nodeButton(context, at(one.node), `%${one.node} ${cut(one.name, 40)}`),
      },
      { title: "Median", numeric: true, by: (one) => one.time.median, cell: (one) => seconds(one.time.median) },
      { title: "10th to 90th percentile", cell: (one) => whisker(one.time, longest) },
      { title: "Share", numeric: true, by: (one) => one.share, cell: (one) => percent(one.share) },
      {
        title: "Flops",
        numeric: true,
        by: (one) => one.flops,
        cell: (one) => el("span", { title: one.flops.toLocaleString("en") }, figures(one.flops, "")),
      },
      {
        title: "Bytes",
        numeric: true,
        by: (one) => one.bytes,
        cell: (one) => el("span", { title: one.bytes.toLocaleString("en") }, bytes(one.bytes)),
      },
      {
        title: "Speed",
        numeric: true,
        by: (one) => rate(one),
        cell: (one) => (one.flops > 0 ? figures(rate(one), "FLOP/s") : "–"),
      },
      { title: "Of the roofline", numeric: true, by: (one) => one.roofline, cell: (one) => roof(one) },
      { title: "Bound", by: (one) => one.bound, cell: (one) => one.bound },
      { title: "Line", cell: (one) => line(one) },
    ],
    each: (one, row) => {
      row.classList.toggle("current", kernelOf(model, context.selection) === one.node);
      row.addEventListener("click", (event) => {
        if (!(event.target as Element).closest("button")) context.select(at(one.node));
      });
    },
  });

  function line(one: KernelTime): Child {
    const first = kernelLines(model, one.node)[0];
    return first === undefined ? "–" : el("span", { class: "v-place", title: first.text }, nearPlace(first));
  }

  const filter = searchField("Filter by name or line", (words) =>
    grid.show(
      found.kernels.filter((one) =>
        [`%${one.node} ${one.name}`, ...kernelLines(model, one.node).flatMap((each) => [place(each), each.text])]
          .join("\n")
          .toLowerCase()
          .includes(words),
      ),
    ),
  );
  const trace = el(
    "button",
    {
      type: "button",
      class: "v-save",
      onclick: () => {
        save(`${model.about.name || "symgraph"}.trace.json`, found.trace, "application/json");
        context.announce("The trace was saved.");
      },
    },
    "Save the Chrome trace",
  );
  const charts = el("div", { class: "v-charts" }, stepBar(context, found), roofline(context, found));
  const root = el(
    "section",
    { class: "v-view v-profile", "aria-label": "Profile" },
    el("h2", {}, "Profile"),
    found.failed === ""
      ? null
      : el(
          "div",
          { class: "v-note bad" },
          el("p", {}, el("strong", {}, "The run ended with an error. "), "What was measured up to then is shown."),
          el("pre", { tabindex: 0, "aria-label": "The error" }, found.failed),
        ),
    el("p", {}, sentence(found)),
    found.trace === ""
      ? null
      : el(
          "p",
          { class: "v-controls" },
          trace,
          el("span", { class: "v-quiet" }, "It opens in Perfetto (ui.perfetto.dev) and in chrome://tracing."),
        ),
    found.kernels.length === 0 ? el("p", { class: "v-empty" }, "No kernel was timed.") : charts,
    found.kernels.length === 0 ? null : el("h3", {}, "Kernels"),
    found.kernels.length === 0 ? null : el("div", { class: "v-controls" }, filter),
    found.kernels.length === 0 ? null : grid.element,
  );
  follow(context, root, (selection) => {
    const node = kernelOf(model, selection);
    if (node !== null) grid.reveal((one) => one.node === node);
    for (const [one, row] of grid.shown()) row.classList.toggle("current", one.node === node);
    for (const mark of root.querySelectorAll(".v-chart [data-node]")) {
      mark.classList.toggle("lit", node !== null && mark.getAttribute("data-node") === key(at(node)));
    }
  });
  return root;
}

const rate = (one: KernelTime): number => (one.time.median > 0 ? one.flops / one.time.median : 0);

function sentence(found: Profile): string {
  const { median, low, high } = found.total;
  return (
    `A step takes ${seconds(median)} (${seconds(low)} to ${seconds(high)}) over ${count(found.steps, "step")}, ` +
    `${seconds(found.other)} of it outside kernels. Machine: ${found.machine}.`
  );
}

function roof(one: KernelTime): Child {
  if (one.roofline === null) return "–";
  return el(
    "span",
    { class: "v-share" },
    el("meter", { min: 0, max: 1, value: Math.min(1, one.roofline), "aria-hidden": "true" }),
    percent(one.roofline),
  );
}

function whisker({ median, low, high }: Timing, longest: number): Element {
  const x = (value: number): number => (value / longest) * (BAR - 2);
  const chart = svg(
    "svg",
    {
      class: "v-chart v-bar",
      width: BAR,
      height: 18,
      viewBox: `0 0 ${BAR} 18`,
      role: "img",
      "aria-label": `${seconds(low)} to ${seconds(high)}`,
    },
    svg("title", {}, `median ${seconds(median)}, 10th percentile ${seconds(low)}, 90th ${seconds(high)}`),
    svg("rect", { class: "median", x: 0, y: 3, width: Math.max(1, x(median)), height: 12 }),
    svg("path", { class: "whisker", d: `M${x(low)} 9H${x(high)}M${x(low)} 5V13M${x(high)} 5V13` }),
  );
  return chart;
}

// --- the bar of a step -----------------------------------------------------------------------------------------------------

function stepBar(context: Context, found: Profile): HTMLElement {
  const byTime = [...found.kernels].sort((a, b) => b.time.median - a.time.median);
  const named = byTime.slice(0, NAMED);
  const rest = byTime.slice(NAMED).reduce((sum, one) => sum + one.time.median, 0);
  const parts: { name: string; time: number; kind: string; node: NodeId | null }[] = [
    ...named.map((one, i) => ({
      name: `%${one.node} ${one.name}`,
      time: one.time.median,
      kind: `hue-${i % HUES}`,
      node: one.node,
    })),
    ...(rest > 0 ? [{ name: count(byTime.length - NAMED, "other kernel"), time: rest, kind: "rest", node: null }] : []),
    ...(found.other > 0 ? [{ name: "outside kernels", time: found.other, kind: "other", node: null }] : []),
  ];
  const whole = parts.reduce((sum, part) => sum + part.time, 0) || 1;
  const chart = svg("svg", {
    class: "v-chart v-step",
    viewBox: "0 0 960 34",
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": `A step: ${parts.map((part) => `${part.name} ${seconds(part.time)}`).join(", ")}`,
  });
  let x = 0;
  for (const part of parts) {
    const wide = (part.time / whole) * 960;
    const attributes =
      part.node === null
        ? {}
        : {
            "data-node": key({ graph: context.model.fusion.fused, node: part.node }),
            onclick: () => context.select({ graph: context.model.fusion.fused, node: part.node ?? 0 }),
          };
    chart.append(
      svg(
        "g",
        { class: `part ${part.kind}`, ...attributes },
        svg("title", {}, `${part.name}: ${seconds(part.time)}`),
        svg("rect", { x, y: 1, width: Math.max(0.5, wide - 1), height: 32 }),
      ),
    );
    x += wide;
  }
  const keys = parts.map((part) =>
    el(
      "li",
      { class: "v-key" },
      svg(
        "svg",
        { width: 14, height: 12, class: "v-chart", "aria-hidden": "true" },
        svg("g", { class: `part ${part.kind}` }, svg("rect", { x: 1, y: 1, width: 12, height: 10 })),
      ),
      el("span", {}, cut(part.name, 36), " ", el("span", { class: "v-quiet" }, seconds(part.time))),
    ),
  );
  return el(
    "figure",
    {},
    el("figcaption", {}, "Where the time of a step goes"),
    chart,
    el("ul", { class: "v-keys" }, ...keys),
  );
}

// --- the roofline (S. Williams, A. Waterman and D. Patterson, 2009) --------------------------------------------------------

interface Roof {
  flops: [string, number][]; // a second, by dtype
  bytes: number | null; // a second
}

// The machine's ceilings: as they were measured, else from the kernels, each of which knows its share of one of them.
export function ceilings(found: Profile): Roof {
  if (found.ceilings !== undefined) return found.ceilings;
  const implied = (bound: string, work: (one: KernelTime) => number): number =>
    largest(
      found.kernels.map((one) =>
        one.bound === bound && one.roofline && one.time.median > 0 ? work(one) / one.time.median / one.roofline : 0,
      ),
      0,
    );
  const compute = implied("compute", (one) => one.flops);
  const memory = implied("memory", (one) => one.bytes);
  return { flops: compute > 0 ? [["", compute]] : [], bytes: memory > 0 ? memory : null };
}

function roofline(context: Context, found: Profile): HTMLElement | null {
  const kernels = found.kernels.filter((one) => one.flops > 0 && one.bytes > 0 && one.time.median > 0);
  if (kernels.length === 0) return null;
  const { flops, bytes: bandwidth } = ceilings(found);
  const tops = flops.map(([, value]) => value);
  const top = largest(tops.length > 0 ? tops : kernels.map(rate));
  const width = 860;
  const height = 340;
  const [left, right, up, base] = [64, width - 16, 14, height - 40];
  const intensity = (one: KernelTime): number => one.flops / one.bytes;
  const ridge = bandwidth === null ? [] : [top / bandwidth];
  const xs = [...kernels.map(intensity), ...ridge];
  const ys = [...kernels.map(rate), top];
  const range = (values: number[]): [number, number] => [
    Math.floor(Math.log10(-largest(values.map((one) => -one))) - 0.15),
    Math.ceil(Math.log10(largest(values)) + 0.15),
  ];
  const [x0, x1] = range(xs);
  const [y0, y1] = range(ys);
  const x = (value: number): number => left + ((Math.log10(value) - x0) / (x1 - x0)) * (right - left);
  const y = (value: number): number => base - ((Math.log10(value) - y0) / (y1 - y0)) * (base - up);
  const chart = svg("svg", {
    class: "v-chart v-roofline",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Roofline: ${count(kernels.length, "kernel")} by flops a byte and speed. The table of kernels has each one's share of what the machine could do.`,
  });
  for (let power = x0; power <= x1; power++) {
    const at = x(10 ** power);
    chart.append(
      svg("line", { class: "grid", x1: at, x2: at, y1: up, y2: base }),
      svg("text", { x: at, y: base + 16, "text-anchor": "middle" }, plain(10 ** power)),
    );
  }
  for (let power = y0; power <= y1; power++) {
    const at = y(10 ** power);
    chart.append(
      svg("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }),
      svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, figures(10 ** power, "")),
    );
  }
  chart.append(
    svg("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, "flops a byte"),
    svg(
      "text",
      { x: 12, y: (up + base) / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${(up + base) / 2})` },
      "FLOP/s",
    ),
  );
  const written: [number, number][] = [];
  for (const [i, [dtype, value]] of [...flops].sort((a, b) => b[1] - a[1]).entries()) {
    const from = bandwidth === null ? 10 ** x0 : Math.max(10 ** x0, value / bandwidth);
    chart.append(
      svg("line", { class: "roof", x1: x(from), x2: right, y1: y(value), y2: y(value) }),
      svg(
        "text",
        { class: "roof-text", x: right - 4, y: y(value) + (i === 0 ? -5 : 13), "text-anchor": "end" },
        `${figures(value, "FLOP/s")} ${dtype}`,
      ),
    );
    written.push([right - 60, y(value) + (i === 0 ? -9 : 9)]);
  }
  if (bandwidth !== null) {
    const from = Math.max(10 ** x0, 10 ** y0 / bandwidth);
    const to = Math.min(10 ** x1, top / bandwidth);
    const slope = (Math.atan2(y(to * bandwidth) - y(from * bandwidth), x(to) - x(from)) * 180) / Math.PI;
    const [mx, my] = [x(from * (to / from) ** 0.35), y(from * (to / from) ** 0.35 * bandwidth) - 7];
    chart.append(
      svg("line", { class: "roof", x1: x(from), x2: x(to), y1: y(from * bandwidth), y2: y(to * bandwidth) }),
      svg(
        "text",
        { class: "roof-text", x: mx, y: my, "text-anchor": "middle", transform: `rotate(${slope} ${mx} ${my})` },
        `${figures(bandwidth, "B/s")}`,
      ),
    );
  }
  const byTime = [...kernels].sort((a, b) => b.share - a.share).slice(0, DOTS);
  for (const one of [...byTime].reverse()) {
    const reference = { graph: context.model.fusion.fused, node: one.node };
    const [cx, cy] = [x(intensity(one)), y(rate(one))];
    const radius = 3.5 + 9 * Math.sqrt(Math.min(1, one.share));
    chart.append(
      svg(
        "g",
        {
          class: `v-dot ${one.bound === "compute" ? "compute" : "memory"}`,
          "data-node": key(reference),
          onclick: () => context.select(reference),
        },
        svg(
          "title",
          {},
          `%${one.node} ${one.name}: ${figures(rate(one), "FLOP/s")} at ${plain(intensity(one))} flops a byte${one.roofline === null ? "" : `, ${percent(one.roofline)} of the roofline`}`,
        ),
        svg("circle", { cx, cy, r: radius }),
      ),
    );
  }
  for (const one of byTime.slice(0, 6)) {
    const [cx, cy] = [x(intensity(one)), y(rate(one))];
    const late = cx > right - 150;
    const at = cx + (late ? -70 : 70);
    if (written.some(([ox, oy]) => Math.abs(ox - at) < 140 && Math.abs(oy - cy) < 14)) continue;
    written.push([at, cy]);
    const off = 6 + 9 * Math.sqrt(Math.min(1, one.share));
    chart.append(
      svg(
        "text",
        { class: "dot-text", x: cx + (late ? -off : off), y: cy + 4, "text-anchor": late ? "end" : "start" },
        cut(`%${one.node} ${one.name}`, 20),
      ),
    );
  }
  const legend = (kind: string, text: string): HTMLElement =>
    el(
      "span",
      { class: "v-key" },
      svg(
        "svg",
        { width: 14, height: 12, class: "v-chart", "aria-hidden": "true" },
        svg("g", { class: `v-dot ${kind}` }, svg("circle", { cx: 7, cy: 6, r: 5 })),
      ),
      text,
    );
  return el(
    "figure",
    {},
    el("figcaption", {}, "Roofline: how near each kernel comes to the machine's limits"),
    chart,
    el(
      "p",
      { class: "v-keys" },
      legend("memory", "bound by memory"),
      legend("compute", "bound by compute"),
      el(
        "span",
        { class: "v-quiet" },
        "A dot's size is its share of the step. What a cache serves can stand above the slope, which is the memory's.",
        kernels.length > DOTS ? ` The ${DOTS} that take longest are drawn.` : null,
      ),
    ),
  );
}

const plain = (value: number): string =>
  value >= 0.001 && value < 10000 ? String(Number(value.toPrecision(3))) : value.toExponential(0);
