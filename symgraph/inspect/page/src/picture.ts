// A drawing that can be moved, scaled and walked through: one SVG, whose boxes take the focus one at a time.

import { count, h, svg } from "./dom";
import type { Laid, Rectangle } from "./layout";
import { curve } from "./rows";
import type { Box, Cluster, Edge, Scene } from "./scene";

export interface Actions {
  readonly pick: (box: Box) => void; // a click, Enter
  readonly fold?: (key: string) => void; // the cluster with this key
}

export interface Picture {
  readonly element: HTMLElement;
  readonly draw: (scene: Scene, laid: Laid) => void;
  // Mark boxes with a class each; those without one lose theirs.
  readonly mark: (classes: ReadonlyMap<number, string>) => void;
  readonly fit: () => void;
  readonly zoom: (factor: number) => void;
  readonly bring: (boxes: readonly number[], focus?: boolean) => void; // into view, and large enough to be read
}

const NEAR = 2.5;
const FAR = 0.04;
const ROOM = 24;
const READABLE = 0.65;

let pictures = 0;

export function picture(name: string, actions: Actions): Picture {
  let scene: Scene = { boxes: [], clusters: [], edges: [] };
  let laid: Laid | null = null;
  let scale = 1;
  let [left, top] = [0, 0]; // of the drawing, in pixels of the view
  let shapes: SVGGElement[] = [];
  let lines: (SVGPathElement | null)[] = [];
  let current = -1; // the box that takes the focus
  let late: readonly [readonly number[], boolean] | null = null; // what is brought into view once the view has a size
  let touched = false; // moved or scaled by hand since the last drawing
  pictures += 1;
  const own = pictures; // in the ids of its arrows

  const moved = svg("g", { class: "moved" });
  const image = svg(
    "svg",
    { role: "group", "aria-label": name, class: "picture", onkeydown: keys, onwheel: wheel },
    svg("defs", {}, arrow("arrow"), arrow("arrow-lit")),
    moved,
  );
  const element = h("div", { class: "canvas", "aria-busy": "true" }, image);
  const pointers = new Map<number, { x: number; y: number }>();
  let dragged = false;
  image.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    dragged = false;
  });
  image.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel", "pointerleave"] as const) {
    image.addEventListener(end, (event) => pointers.delete(event.pointerId));
  }
  image.addEventListener("click", (event) => {
    if (!dragged) clicked(event.target);
  });
  image.addEventListener("focusin", (event) => {
    const at = shapes.findIndex((shape) => shape === event.target);
    if (at >= 0) roving(at);
  });
  new ResizeObserver(() => {
    if (laid !== null && !touched) start();
    if (element.clientWidth === 0 || late === null) return;
    const [boxes, focus] = late;
    late = null;
    bring(boxes, focus);
  }).observe(element);

  function arrow(id: string): SVGMarkerElement {
    return svg(
      "marker",
      {
        id: `${id}-${own}`,
        class: id,
        viewBox: "0 0 8 8",
        refX: 7.5,
        refY: 4,
        markerWidth: 7,
        markerHeight: 7,
        orient: "auto-start-reverse",
      },
      svg("path", { d: "M0,0.8 L8,4 L0,7.2 L2,4 z" }),
    );
  }

  function draw(next: Scene, placed: Laid): void {
    const kept = scene.boxes[current]?.key;
    const had = document.activeElement !== null && image.contains(document.activeElement);
    scene = next;
    laid = placed;
    shapes = next.boxes.map((box, k) => boxShape(box, placed.boxes[k]));
    lines = next.edges.map((edge, k) => edgeLine(edge, placed, placed.edges[k] ?? null));
    moved.replaceChildren(
      ...next.clusters.map((_, k) => clusterShape(placed.clusters[k] ?? null)).filter((shape) => shape !== null),
      ...lines.filter((line) => line !== null),
      ...next.clusters
        .map((cluster, k) => clusterTitle(cluster, placed.clusters[k] ?? null))
        .filter((title) => title !== null),
      ...shapes,
    );
    current = -1;
    late = null;
    roving(
      Math.max(
        0,
        next.boxes.findIndex(({ key }) => key === kept),
      ),
    );
    touched = false;
    start();
    if (had) shapes[current]?.focus();
    element.setAttribute("aria-busy", "false");
    element.dataset["drawn"] = placed.by;
    image.setAttribute(
      "aria-label",
      `${name}: ${count(next.boxes.length, "box", "boxes")}; arrow keys follow the edges`,
    );
  }

  function boxShape(box: Box, at: Rectangle | undefined): SVGGElement {
    const { x, y, width, height } = at ?? { x: 0, y: 0, width: box.width, height: box.height };
    const middle = x + width / 2;
    const group = box.kind.startsWith("group");
    const round = box.kind === "placeholder" || box.kind === "output" ? height / 2 : 5;
    return svg(
      "g",
      {
        class: `box ${box.kind}`,
        role: "button",
        tabindex: -1,
        "aria-label": box.spoken,
        "data-key": box.key,
        "aria-expanded": group ? "false" : undefined,
      },
      svg("title", {}, box.where === "" ? box.spoken : `${box.spoken}\n${box.where}`),
      group && svg("rect", { class: "behind", x: x + 3, y: y + 3, width, height, rx: round }),
      svg("rect", { class: "front", x, y, width, height, rx: round }),
      svg(
        "text",
        { class: "title", x: middle, y: box.sub === "" ? y + height / 2 + 4 : y + 16 },
        group ? `▸ ${box.title}` : box.title,
      ),
      box.sub !== "" && svg("text", { class: "sub", x: middle, y: y + 30 }, box.sub),
    );
  }

  function clusterShape(at: Rectangle | null): SVGElement | null {
    return at && svg("rect", { class: "cluster", x: at.x, y: at.y, width: at.width, height: at.height, rx: 8 });
  }

  // Titles stand over the edges that pass below them.
  function clusterTitle({ title, key }: Cluster, at: Rectangle | null): SVGElement | null {
    if (at === null) return null;
    const folds = actions.fold !== undefined;
    const place = { class: folds ? "name folds" : "name", x: at.x + 10, y: at.y + 18 };
    return svg("text", { ...place, "data-fold": folds ? key : undefined }, folds ? `▾ ${title}` : title);
  }

  // An edge that was not laid out is there, and shows when it is lit.
  function edgeLine(edge: Edge, placed: Laid, path: string | null): SVGPathElement | null {
    const d = path ?? curve(placed.boxes[edge.from], placed.boxes[edge.to]);
    if (d === null) return null;
    const weight = edge.count > 1 ? "edge thick" : "edge";
    return svg("path", { class: path === null ? "edge spare" : weight, d, "marker-end": `url(#arrow-${own})` });
  }

  // Where the picture is.

  function place(): void {
    moved.setAttribute("transform", `translate(${left.toFixed(2)} ${top.toFixed(2)}) scale(${scale.toFixed(4)})`);
    element.dataset["scale"] = scale < 0.45 ? "far" : "near";
  }

  function fit(): void {
    if (laid === null) return;
    const { clientWidth, clientHeight } = element;
    if (clientWidth === 0 || clientHeight === 0) return;
    const whole = Math.min((clientWidth - ROOM) / laid.width, (clientHeight - ROOM) / laid.height);
    scale = Math.max(FAR, Math.min(1.25, whole));
    left = (clientWidth - laid.width * scale) / 2;
    top = Math.max((clientHeight - laid.height * scale) / 2, ROOM / 2);
    place();
  }

  // All of it, if that can be read; else its beginning at a scale that can.
  function start(): void {
    fit();
    if (laid === null || element.clientWidth === 0 || scale >= READABLE) return;
    const [first] = laid.boxes;
    const middle = first === undefined ? laid.width / 2 : first.x + first.width / 2;
    scale = READABLE;
    const [whole, room] = [laid.width * scale, element.clientWidth];
    left =
      whole <= room ? (room - whole) / 2 : Math.min(ROOM, Math.max(room - whole - ROOM, room / 2 - middle * scale));
    top = laid.height * scale <= element.clientHeight ? top : ROOM / 2;
    place();
  }

  function zoom(factor: number, x = element.clientWidth / 2, y = element.clientHeight / 2): void {
    const next = Math.max(FAR, Math.min(NEAR, scale * factor));
    left = x - ((x - left) * next) / scale;
    top = y - ((y - top) * next) / scale;
    scale = next;
    touched = true;
    place();
  }

  function shift(x: number, y: number): void {
    left += x;
    top += y;
    touched = true;
    place();
  }

  function bring(boxes: readonly number[], focus = false, least = READABLE): void {
    const found = boxes.flatMap((k) => laid?.boxes[k] ?? []);
    if (found.length === 0) return;
    if (element.clientWidth === 0 || element.clientHeight === 0) {
      late = [boxes, focus];
      return;
    }
    const x0 = Math.min(...found.map(({ x }) => x));
    const y0 = Math.min(...found.map(({ y }) => y));
    const x1 = Math.max(...found.map(({ x, width }) => x + width));
    const y1 = Math.max(...found.map(({ y, height }) => y + height));
    const { clientWidth, clientHeight } = element;
    const room = Math.min((clientWidth - 4 * ROOM) / (x1 - x0), (clientHeight - 4 * ROOM) / (y1 - y0));
    const wanted = Math.max(FAR, Math.min(Math.max(scale, least), room, NEAR));
    const inside =
      wanted === scale &&
      x0 * scale + left > ROOM &&
      x1 * scale + left < clientWidth - ROOM &&
      y0 * scale + top > ROOM &&
      y1 * scale + top < clientHeight - ROOM;
    if (!inside) {
      scale = wanted;
      left = clientWidth / 2 - ((x0 + x1) / 2) * scale;
      top = clientHeight / 2 - ((y0 + y1) / 2) * scale;
      touched = true;
      place();
    }
    const typing = document.activeElement instanceof HTMLInputElement; // by now: a drawing takes its time
    if (focus && !typing) shapes[boxes[0] ?? -1]?.focus({ preventScroll: true });
  }

  // Pointers: one moves, two scale.

  function drag(event: PointerEvent): void {
    const was = pointers.get(event.pointerId);
    if (was === undefined) return;
    const now = { x: event.clientX, y: event.clientY };
    const [dx, dy] = [now.x - was.x, now.y - was.y];
    if (!dragged && Math.hypot(dx, dy) < 4) return;
    if (!dragged) image.setPointerCapture(event.pointerId);
    dragged = true;
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, now);
    if (other === undefined) {
      shift(dx, dy);
      return;
    }
    const frame = image.getBoundingClientRect();
    const before = Math.hypot(was.x - other.x, was.y - other.y);
    const after = Math.hypot(now.x - other.x, now.y - other.y);
    zoom(after / Math.max(1, before), (now.x + other.x) / 2 - frame.left, (now.y + other.y) / 2 - frame.top);
  }

  function wheel(event: WheelEvent): void {
    event.preventDefault();
    const frame = image.getBoundingClientRect();
    const unit = event.deltaMode === 1 ? 16 : 1;
    const mouse = event.deltaX === 0 && Math.abs(event.deltaY * unit) >= 40;
    if (event.ctrlKey || (mouse && !event.shiftKey)) {
      const factor = Math.exp((-event.deltaY * unit) / (event.ctrlKey ? 120 : 500));
      zoom(factor, event.clientX - frame.left, event.clientY - frame.top);
    } else if (event.shiftKey) shift(-event.deltaY * unit, 0);
    else shift(-event.deltaX * unit, -event.deltaY * unit);
  }

  function clicked(target: EventTarget | null): void {
    if (!(target instanceof Element)) return;
    const at = shapes.findIndex((shape) => shape.contains(target));
    const box = scene.boxes[at];
    if (box !== undefined) {
      shapes[at]?.focus({ preventScroll: true });
      actions.pick(box);
      return;
    }
    const key = target.getAttribute("data-fold");
    if (key !== null) actions.fold?.(key);
  }

  // The focus, which one box has.

  function roving(at: number): void {
    if (current >= 0) shapes[current]?.setAttribute("tabindex", "-1");
    current = at;
    shapes[at]?.setAttribute("tabindex", "0");
  }

  function go(at: number): void {
    if (shapes[at] === undefined) return;
    shapes[at].focus({ preventScroll: true });
    bring([at], false, scale);
  }

  function keys(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!pressed(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  function pressed({ key, shiftKey }: KeyboardEvent): boolean {
    const box = scene.boxes[current];
    const arrow = { ArrowUp: [0, 60], ArrowDown: [0, -60], ArrowLeft: [60, 0], ArrowRight: [-60, 0] }[key];
    if (arrow !== undefined && shiftKey) shift(arrow[0] ?? 0, arrow[1] ?? 0);
    else if (key === "ArrowUp") go(nearest(scene.edges.filter(({ to }) => to === current).map(({ from }) => from)));
    else if (key === "ArrowDown") go(nearest(scene.edges.filter(({ from }) => from === current).map(({ to }) => to)));
    else if (key === "ArrowLeft" || key === "ArrowRight") go(beside(key === "ArrowRight" ? 1 : -1));
    else if (key === "Home") go(0);
    else if (key === "End") go(shapes.length - 1);
    else if (key === "+" || key === "=") zoom(1.25);
    else if (key === "-" || key === "_") zoom(0.8);
    else if (key === "0") {
      touched = false;
      fit();
    } else if (key === "f") bring([current]);
    else if ((key === "Enter" || key === " ") && box !== undefined) actions.pick(box);
    else if (key === "Backspace" && box !== undefined && box.cluster >= 0) {
      actions.fold?.(scene.clusters[box.cluster]?.key ?? "");
    } else return false;
    return true;
  }

  const centre = (k: number): [number, number] => {
    const at = laid?.boxes[k];
    return at === undefined ? [0, 0] : [at.x + at.width / 2, at.y + at.height / 2];
  };

  function nearest(candidates: readonly number[]): number {
    const [x] = centre(current);
    const sorted = [...new Set(candidates)].sort((a, b) => Math.abs(centre(a)[0] - x) - Math.abs(centre(b)[0] - x));
    return sorted[0] ?? -1;
  }

  function beside(direction: number): number {
    const [x, y] = centre(current);
    const candidates = scene.boxes.map((_, k) => k).filter((k) => (centre(k)[0] - x) * direction > 1);
    const far = (k: number): number => Math.abs(centre(k)[0] - x) + 3 * Math.abs(centre(k)[1] - y);
    return candidates.sort((a, b) => far(a) - far(b))[0] ?? -1;
  }

  function mark(classes: ReadonlyMap<number, string>): void {
    for (const [k, shape] of shapes.entries()) {
      const kind = scene.boxes[k]?.kind ?? "op";
      const marked = classes.get(k);
      shape.setAttribute("class", marked === undefined ? `box ${kind}` : `box ${kind} ${marked}`);
      if (marked?.includes("selected") === true) shape.setAttribute("aria-current", "true");
      else shape.removeAttribute("aria-current");
    }
    const chosen = [...classes].filter(([, marked]) => marked.includes("selected")).map(([k]) => k);
    for (const [k, line] of lines.entries()) {
      const edge = scene.edges[k];
      const lit = edge !== undefined && (chosen.includes(edge.from) || chosen.includes(edge.to));
      line?.classList.toggle("lit", lit);
      line?.setAttribute("marker-end", `url(#${lit ? "arrow-lit" : "arrow"}-${own})`);
    }
  }

  return {
    element,
    draw,
    mark,
    fit: () => {
      touched = false;
      fit();
    },
    zoom,
    bring,
  };
}
