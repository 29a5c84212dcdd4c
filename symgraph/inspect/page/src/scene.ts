// What a drawing is of: boxes, the clusters around them and the edges between them, with no place yet.

import type { NodeId } from "./model";

export interface Box {
  readonly key: string; // the same for the same thing in the next drawing: "n12", a group's key
  readonly node: NodeId | null; // null for folded groups and for outputs
  readonly title: string;
  readonly sub: string;
  readonly kind: string; // a class: Kind, "group" or "output"
  readonly spoken: string;
  readonly where: string; // the user's line, "" where there is none
  readonly cluster: number; // index of the cluster that it is in, -1 for none
  readonly width: number;
  readonly height: number;
}

export interface Cluster {
  readonly key: string;
  readonly title: string;
  readonly parent: number; // -1 for none
  readonly width: number; // that its title takes
}

export interface Edge {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

export interface Scene {
  readonly boxes: readonly Box[];
  readonly clusters: readonly Cluster[];
  readonly edges: readonly Edge[];
}

export const TITLE_HEIGHT = 20;
const FAMILY = 'system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", Helvetica, Arial, sans-serif';
const MONO =
  'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace';

let pen: CanvasRenderingContext2D | null | undefined;
const widths = new Map<string, number>();

// The width of a text as the style sheet draws titles and the lines under them.
function measured(text: string, font: string, letter: number): number {
  const key = `${font}\n${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    if (pen === undefined) pen = document.createElement("canvas").getContext("2d");
    if (pen !== null) pen.font = font;
    width = pen?.measureText(text).width ?? letter * text.length;
    widths.set(key, width);
  }
  return width;
}

export const titleWidth = (text: string): number => measured(text, `600 12px ${FAMILY}`, 7.5);
const subWidth = (text: string): number => measured(text, `10.5px ${MONO}`, 6.6);

export function boxSize(title: string, sub: string): { width: number; height: number } {
  const width = Math.max(48, titleWidth(title) + 22, subWidth(sub) + 20);
  return { width: Math.ceil(width), height: sub === "" ? 26 : 38 };
}
