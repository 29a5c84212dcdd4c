// Generated code: its lines belong to kernels, kernels to nodes, nodes to the user's lines, and back.

import { cut } from "../dom";
import type { Listing, NodeId, Section } from "../model";
import type { Context, Reference, View } from "../view";
import { HUES } from "./drawing";
import {
  choices,
  codeName,
  count,
  el,
  field,
  fill,
  follow,
  kernelLines,
  kernelOf,
  lineList,
  nodeButton,
  nodeList,
  nodeName,
  nothing,
  place,
  replace,
  save,
  unique,
  type Child,
  type Line,
} from "./parts";
import { table } from "./table";
import { tokens, type Token } from "./tokens";

const ROW = 20; // pixels, as .v-code-line
const SPARE = 20; // lines above and below what is in sight

export const code: View = {
  id: "code",
  title: "Code",
  render(context) {
    const listings = context.model.code?.listings ?? [];
    if (listings.length === 0) {
      const free = context.model.about.free;
      const why =
        free.length === 0
          ? "This page has no generated code."
          : `The sizes ${free.join(", ")} are not bound, and code is generated for numbers.`;
      const example = (free.length === 0 ? ["batch"] : free).map((name) => `--size ${name}=128`).join(" ");
      return nothing("code", "Generated code", why, `Bind them to see it: explore ${example}.`);
    }
    return shown(context, listings);
  },
};

interface Opened {
  element: HTMLElement;
  // Light up the sections of a node of the stage "fused"; `go`: and scroll to the first.
  light(node: NodeId | null, go: boolean): void;
}

function shown(context: Context, listings: readonly Listing[]): HTMLElement {
  const { model } = context;
  const content = el("div", { class: "v-stack" });
  let opened: Opened | null = null;
  let own = false; // whether the selection comes from a line here

  const open = (i: number): void => {
    const listing = listings[i];
    if (listing === undefined) return;
    opened = ofListing(context, listing, (node) => {
      own = true;
      context.select({ graph: model.fusion.fused, node });
      own = false;
    });
    replace(content, opened.element);
    opened.light(kernelOf(model, context.selection), true);
  };
  const root = el(
    "section",
    { class: "v-view v-codes", "aria-label": "Generated code" },
    el("h2", {}, "Generated code"),
    el(
      "p",
      {},
      `What the backend ${model.about.backend} runs. A line belongs to a kernel, a kernel to nodes, a node to lines of yours.`,
    ),
    el(
      "div",
      { class: "v-controls" },
      choices(
        "Language",
        listings.map((listing, i): [string, string] => [String(i), listing.language]),
        "0",
        (i) => open(Number(i)),
      ),
    ),
    content,
  );
  open(0);
  follow(context, root, (selection: Reference | null) => opened?.light(kernelOf(model, selection), !own));
  return root;
}

// The innermost section of each line, -1 for none: shorter sections are painted over longer ones.
function owners(lines: number, sections: readonly Section[]): Int32Array {
  const found = new Int32Array(lines).fill(-1);
  const order = sections.map((_, i) => i).sort((a, b) => span(sections[b]) - span(sections[a]));
  for (const i of order) {
    const section = sections[i];
    if (section !== undefined) found.fill(i, Math.max(0, section.first - 1), Math.min(lines, section.last));
  }
  return found;
}

const span = (section: Section | undefined): number => (section === undefined ? 0 : section.last - section.first);

function ofListing(context: Context, listing: Listing, select: (node: NodeId) => void): Opened {
  const { model } = context;
  const graph = model.fusion.fused;
  const lines = listing.text.replace(/\n$/, "").split("\n");
  const owner = owners(lines.length, listing.sections);
  const base = unique("code");
  let current = -1; // the line of the cursor, from 0
  let lit: NodeId | null = null;
  let words = "";
  let hits: number[] = [];

  // --- the lines -----------------------------------------------------------------------------------------------------

  const box = el("div", {
    class: "v-code",
    role: "listbox",
    tabindex: 0,
    "aria-label": `${listing.language}, ${count(lines.length, "line")}`,
    onscroll: () => draw(),
    onkeydown: keys,
    onclick: (event: MouseEvent) => {
      const line = (event.target as Element).closest<HTMLElement>("[data-line]");
      if (line !== null) move(Number(line.dataset["line"]), true);
    },
  });
  box.style.setProperty("--digits", `${String(lines.length).length}ch`);
  const above = el("div", { role: "presentation" });
  const below = el("div", { role: "presentation" });

  let drawn = "";
  function draw(force = false): void {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
    const last = Math.min(lines.length, Math.ceil((box.scrollTop + (box.clientHeight || 600)) / ROW) + SPARE);
    if (!force && drawn === `${first}:${last}`) return;
    drawn = `${first}:${last}`;
    above.style.height = `${first * ROW}px`;
    below.style.height = `${(lines.length - last) * ROW}px`;
    const rows: HTMLElement[] = [];
    for (let at = first; at < last; at++) rows.push(row(at));
    box.replaceChildren(above, ...rows, below);
    if (current >= first && current < last) box.setAttribute("aria-activedescendant", `${base}-${current}`);
    else box.removeAttribute("aria-activedescendant");
  }

  function row(at: number): HTMLElement {
    const section = listing.sections[owner[at] ?? -1];
    const starts = section !== undefined && section.first === at + 1;
    const hue = section === undefined || section.nodes.length === 0 ? "" : ` hue-${(section.nodes[0] ?? 0) % HUES}`;
    const classes = [
      "v-code-line",
      lit !== null && inSections(at, lit) ? "lit" : "",
      at === current ? "current" : "",
      hits.length > 0 && (lines[at] ?? "").toLowerCase().includes(words) ? "hit" : "",
    ];
    return el(
      "div",
      {
        class: classes.filter(Boolean).join(" "),
        role: "option",
        id: `${base}-${at}`,
        "data-line": at,
        "aria-selected": at === current ? "true" : "false",
        "aria-setsize": lines.length,
        "aria-posinset": at + 1,
      },
      el("span", { class: `v-gutter${hue}`, "aria-hidden": "true" }, at + 1),
      el("span", { class: "v-text" }, ...coloured(lines[at] ?? "", listing.language, words)),
      starts
        ? el(
            "span",
            { class: "v-mark" },
            section.nodes
              .slice(0, 3)
              .map((node) => cut(nodeName(model, { graph, node }), 40))
              .join(", "),
          )
        : null,
    );
  }

  function inSections(at: number, node: NodeId): boolean {
    return listing.sections.some(
      (section) => section.first <= at + 1 && at + 1 <= section.last && section.nodes.includes(node),
    );
  }

  function show(line: number): void {
    const top = line * ROW;
    if (top < box.scrollTop + ROW || top > box.scrollTop + box.clientHeight - 3 * ROW)
      box.scrollTop = Math.max(0, top - 3 * ROW);
    draw(true);
  }

  // Put the cursor on a line; `chosen`: select its kernel, too.
  function move(to: number, chosen: boolean): void {
    current = Math.min(Math.max(0, to), lines.length - 1);
    const section = listing.sections[owner[current] ?? -1];
    tell(section, current);
    const node = section?.nodes[0];
    if (chosen && node !== undefined) select(node);
    show(current);
  }

  function keys(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(box.clientHeight / ROW) - 2);
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (step !== undefined)
      move((current < 0 ? Math.floor(box.scrollTop / ROW) : current) + (current < 0 ? 0 : step), false);
    else if (event.key === "Home") move(0, false);
    else if (event.key === "End") move(lines.length - 1, false);
    else if (event.key === "Enter" || event.key === " ") move(Math.max(0, current), true);
    else return;
    event.preventDefault();
  }

  // --- the panel -----------------------------------------------------------------------------------------------------

  const panel = el("aside", { class: "v-panel", tabindex: 0, "aria-label": "Where the code comes from" });
  const tell = (section: Section | undefined, line: number | null): void =>
    fill(panel, ...behind(context, section, line));

  // --- search ----------------------------------------------------------------------------------------------------------

  const status = el("span", { class: "v-quiet", role: "status" });
  const input = el("input", {
    type: "search",
    placeholder: "Search the text",
    autocomplete: "off",
    spellcheck: "false",
  });
  const turn = (label: string, text: string, by: number): HTMLElement =>
    el("button", { type: "button", "aria-label": label, title: label, onclick: () => next(by) }, text);
  input.addEventListener("input", () => {
    words = input.value.toLowerCase();
    hits = words === "" ? [] : lines.flatMap((line, at) => (line.toLowerCase().includes(words) ? [at] : []));
    status.textContent = words === "" ? "" : count(hits.length, "line");
    if (hits.length > 0) next(0);
    else draw(true);
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    next(event.shiftKey ? -1 : 1);
  });

  function next(by: number): void {
    if (hits.length === 0) return;
    const after = hits.findIndex((at) => at >= current);
    const here = after >= 0 && hits[after] === current;
    const from = after < 0 ? (by > 0 ? -1 : hits.length) : here ? after : by > 0 ? after - 1 : after;
    const to = by === 0 ? Math.max(0, after) : (from + by + hits.length) % hits.length;
    move(hits[to] ?? 0, false);
    status.textContent = `${to + 1} of ${count(hits.length, "line")}`;
  }

  // --- tables ------------------------------------------------------------------------------------------------------------

  const sections = table<Section>({
    caption: "Kernels in this code",
    rows: listing.sections,
    page: 25,
    empty: "No line of it belongs to a kernel.",
    columns: [
      { title: "Name", head: true, by: (one) => one.name, cell: (one) => jump(one) },
      { title: "Lines", numeric: true, by: (one) => one.first, cell: (one) => `${one.first} to ${one.last}` },
      { title: "Nodes", wide: true, cell: (one) => nodeList(context, graph, one.nodes, 4) },
    ],
  });
  function jump(section: Section): HTMLElement {
    return el("button", { type: "button", class: "v-jump", onclick: () => goTo(section) }, codeName(section));
  }
  function goTo(section: Section): void {
    move(section.first - 1, true);
    box.focus();
  }

  const mine = userLines(context, listing);
  const yours = table<{ line: Line; sections: Section[] }>({
    caption: "Your lines, and the code that they became",
    rows: mine,
    page: 25,
    empty: "No line of yours is known for this code.",
    columns: [
      {
        title: "Line",
        head: true,
        by: (one) => `${one.line.path}:${String(one.line.number).padStart(8, "0")}`,
        cell: (one) => el("span", { class: "v-place" }, place(one.line)),
      },
      { title: "Text", wide: true, cell: (one) => el("code", {}, one.line.text) },
      {
        title: "Code",
        wide: true,
        cell: (one) => [
          ...one.sections.slice(0, 6).map(jump),
          one.sections.length > 6 ? ` and ${one.sections.length - 6} more` : null,
        ],
      },
    ],
  });

  const element = el(
    "div",
    { class: "v-stack" },
    el(
      "div",
      { class: "v-controls" },
      field("Search the text", input, true),
      turn("Previous line that matches", "↑", -1),
      turn("Next line that matches", "↓", 1),
      status,
      el(
        "button",
        {
          type: "button",
          class: "v-save",
          onclick: () =>
            save(`${model.about.name || "symgraph"}.${suffix(listing.language)}`, listing.text, "text/plain"),
        },
        "Save the text",
      ),
    ),
    el("div", { class: "v-split" }, box, panel),
    el("h3", {}, "Kernels"),
    sections.element,
    el("h3", {}, "Your lines"),
    yours.element,
  );
  fill(
    panel,
    el(
      "p",
      { class: "v-quiet" },
      "Choose a line, with the pointer or the arrow keys, to see its kernel, nodes and your lines.",
    ),
  );
  new ResizeObserver(() => draw()).observe(box);
  draw(true);

  return {
    element,
    light(node, go) {
      lit = node;
      const section = node === null ? undefined : listing.sections.find((one) => one.nodes.includes(node));
      if (section !== undefined && go) {
        tell(section, null);
        show(section.first - 1);
      } else draw(true);
    },
  };
}

// What a section of the code stands for: its kernel, nodes and the user's lines; `line` is that of the cursor, from 0.
function behind(context: Context, section: Section | undefined, line: number | null): Element[] {
  const { model } = context;
  if (section === undefined || section.nodes.length === 0) {
    const why =
      section === undefined
        ? "This line belongs to no kernel: it is the frame around them."
        : `${codeName(section)} belongs to no node.`;
    return [el("p", { class: "v-quiet" }, `Line ${(line ?? 0) + 1}`), el("p", {}, why)];
  }
  const from = new Map<string, Line>();
  for (const node of section.nodes) for (const one of kernelLines(model, node)) from.set(place(one), one);
  const at = `${line === null ? "Lines" : `Line ${line + 1} of`} ${section.first} to ${section.last}`;
  return [
    el("h3", {}, codeName(section)),
    el("p", { class: "v-quiet" }, at),
    ...section.nodes.slice(0, 8).flatMap((node) => kernel(context, node)),
    el("h4", {}, "From your lines"),
    lineList([...from.values()]),
  ];
}

function kernel(context: Context, node: NodeId): Element[] {
  const { fused, unfused, kernels } = context.model.fusion;
  const own = el("p", {}, "Kernel ", nodeButton(context, { graph: fused, node }));
  const members = kernels.find((one) => one.node === node)?.members ?? [];
  if (members.length < 2) return [own];
  return [own, el("h4", {}, `Its ${count(members.length, "node")}`), nodeList(context, unfused, members, 16)];
}

// A line as coloured pieces, with the words of a search marked.
function coloured(line: string, language: string, words: string): Child[] {
  return tokens(line, language).flatMap(([kind, text]: Token): Child[] => {
    if (words === "" || !text.toLowerCase().includes(words))
      return [kind === "" ? text : el("span", { class: `t-${kind}` }, text)];
    const parts: Child[] = [];
    const low = text.toLowerCase();
    let last = 0;
    for (let at = low.indexOf(words); at >= 0; at = low.indexOf(words, last)) {
      parts.push(text.slice(last, at), el("mark", {}, text.slice(at, at + words.length)));
      last = at + words.length;
    }
    parts.push(text.slice(last));
    return [el("span", { class: kind === "" ? undefined : `t-${kind}` }, ...parts)];
  });
}

function userLines(context: Context, listing: Listing): { line: Line; sections: Section[] }[] {
  const found = new Map<string, { line: Line; sections: Section[] }>();
  for (const section of listing.sections) {
    for (const node of section.nodes) {
      for (const line of kernelLines(context.model, node)) {
        const known = found.get(place(line)) ?? { line, sections: [] };
        if (!known.sections.includes(section)) known.sections.push(section);
        found.set(place(line), known);
      }
    }
  }
  return [...found.values()].sort((a, b) =>
    a.line.path < b.line.path ? -1 : a.line.path > b.line.path ? 1 : a.line.number - b.line.number,
  );
}

function suffix(language: string): string {
  if (/python/i.test(language)) return "py";
  return /llvm/i.test(language) ? "ll" : "s";
}
