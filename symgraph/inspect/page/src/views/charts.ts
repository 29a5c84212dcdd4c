// Charts made by hand: histograms, bars with whiskers, pictures in a perceptually uniform map.

import type { Picture } from "../model";
import { short } from "../numbers";
import { el, svg } from "./parts";

// Anchors of Matplotlib's viridis, equally spaced (S. van der Walt and N. Smith, 2015).
const VIRIDIS: [number, number, number][] = [
  [68, 1, 84],
  [72, 36, 117],
  [65, 68, 135],
  [53, 95, 141],
  [42, 120, 142],
  [33, 145, 140],
  [34, 168, 132],
  [68, 191, 112],
  [122, 209, 81],
  [189, 223, 38],
  [253, 231, 37],
];
const NOT_FINITE: [number, number, number] = [255, 45, 85]; // as --v-not-finite
const RAMP = 128;

function colour(byte: number): [number, number, number] {
  if (byte === 255) return NOT_FINITE;
  const at = (byte / 254) * (VIRIDIS.length - 1);
  const i = Math.min(VIRIDIS.length - 2, Math.floor(at));
  const low = VIRIDIS[i] ?? NOT_FINITE;
  const high = VIRIDIS[i + 1] ?? low;
  const mix = (k: 0 | 1 | 2): number => Math.round(low[k] + (high[k] - low[k]) * (at - i));
  return [mix(0), mix(1), mix(2)];
}

// A canvas of one pixel a byte; an empty one where that is not what there is.
function painted(width: number, height: number, bytes: Uint8Array): HTMLCanvasElement {
  if (width * height !== bytes.length) return painted(0, 0, new Uint8Array());
  const canvas = el("canvas", { width: Math.max(1, width), height: Math.max(1, height), class: "v-canvas" });
  const context = canvas.getContext("2d");
  if (context === null || width === 0 || height === 0) return canvas;
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set([...colour(bytes[i] ?? 255), 255], i * 4);
  context.putImageData(image, 0, 0);
  return canvas;
}

// A row's histogram: small, and for the eye alone, as its numbers are in the row.
export function spark(counts: readonly number[], bad: number): SVGSVGElement {
  const width = 96;
  const height = 22;
  const most = Math.max(1, ...counts);
  const step = width / Math.max(1, counts.length);
  const chart = svg("svg", {
    class: "v-spark",
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    "aria-hidden": "true",
  });
  counts.forEach((count, i) => {
    if (count === 0) return;
    const tall = Math.max(1, (count / most) * (height - 2));
    chart.append(svg("rect", { x: i * step, y: height - tall, width: Math.max(1, step - 0.5), height: tall }));
  });
  if (bad > 0) chart.append(svg("rect", { class: "bad", x: width - 4, y: 0, width: 4, height }));
  return chart;
}

export function histogram(edges: readonly string[], counts: readonly number[]): SVGSVGElement {
  const width = 288;
  const height = 120;
  const base = height - 18;
  const most = Math.max(1, ...counts);
  const step = width / counts.length;
  const low = short(edges[0] ?? null);
  const high = short(edges.at(-1) ?? null);
  const chart = svg("svg", {
    class: "v-histogram",
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": `Histogram of ${counts.length} bins from ${low} to ${high}, the fullest with ${most.toLocaleString("en")} values`,
  });
  counts.forEach((count, i) => {
    const tall = count === 0 ? 0 : Math.max(1.5, (count / most) * (base - 14));
    chart.append(
      svg(
        "rect",
        { x: i * step + 0.5, y: base - tall, width: Math.max(0.5, step - 1), height: tall },
        svg("title", {}, `${short(edges[i] ?? null)} to ${short(edges[i + 1] ?? null)}: ${count.toLocaleString("en")}`),
      ),
    );
  });
  const zero = zeroAt(edges, width);
  if (zero !== null) chart.append(svg("line", { class: "zero", x1: zero, x2: zero, y1: 12, y2: base }));
  chart.append(
    svg("line", { class: "axis", x1: 0, x2: width, y1: base, y2: base }),
    svg("text", { x: 0, y: height - 4 }, low),
    svg("text", { x: width, y: height - 4, "text-anchor": "end" }, high),
    svg("text", { x: width, y: 10, "text-anchor": "end" }, most.toLocaleString("en")),
  );
  if (zero !== null && zero > 40 && zero < width - 40) {
    chart.append(svg("text", { x: zero, y: height - 4, "text-anchor": "middle" }, "0"));
  }
  return chart;
}

function zeroAt(edges: readonly string[], width: number): number | null {
  const low = Number(edges[0]);
  const high = Number(edges.at(-1));
  return low < 0 && high > 0 ? (width * -low) / (high - low) : null;
}

// A matrix as a picture, with its scale.
export function pictured(given: Picture, name: string): HTMLElement {
  const bytes = Uint8Array.from(atob(given.pixels), (letter) => letter.charCodeAt(0));
  const canvas = painted(given.width, given.height, bytes);
  canvas.setAttribute("role", "img");
  canvas.setAttribute(
    "aria-label",
    `Picture of ${name}: ${given.width} by ${given.height}, from ${given.low} to ${given.high}; ${given.note}`,
  );
  const scale = Math.max(1, Math.min(12, Math.floor(288 / Math.max(given.width, given.height))));
  canvas.style.width = `${Math.min(288, given.width * scale)}px`;
  const legend = el(
    "div",
    { class: "v-legend" },
    el("span", {}, short(given.low)),
    ramp(),
    el("span", {}, short(given.high)),
    el("span", { class: "v-bad-key" }, el("span", { class: "v-swatch" }), "not finite"),
  );
  return el(
    "figure",
    { class: "v-picture" },
    canvas,
    legend,
    given.note === "" ? null : el("figcaption", { class: "v-quiet" }, given.note),
  );
}

function ramp(): HTMLElement {
  const canvas = painted(
    RAMP,
    1,
    Uint8Array.from({ length: RAMP }, (_, i) => Math.round((i * 254) / (RAMP - 1))),
  );
  canvas.setAttribute("aria-hidden", "true");
  canvas.classList.add("v-ramp");
  return canvas;
}
