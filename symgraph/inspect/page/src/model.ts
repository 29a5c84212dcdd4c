// What a page shows: the data that symgraph/inspect/explorer/ collects, as the page reads it.
//
// Text is interned in `strings`, places in `origins`, types in `strings`: a number named "StringId" or "OriginId" is an
// index there. Node ids are the positions in a graph's columns, as `%7` in the text form. Nothing here is HTML: every
// string may hold anything a user can type, and is only ever shown as text.

export type StringId = number;
export type OriginId = number;
export type NodeId = number;
export type GraphId = number; // index in Model.graphs

export interface Model {
  version: 1;
  about: About;
  strings: string[];
  files: SourceFile[];
  origins: Origin[];
  graphs: Graph[];
  stages: Stage[];
  rewrites: Rewrite[];
  gradient: Gradient | null;
  values: Values | null;
  fusion: Fusion;
  memory: Memory | null; // null where sizes are not bound
  profile: Profile | null; // null where no run was asked for
  code: Code | null; // null where sizes are not bound
}

export interface About {
  name: string; // of the module, file or outputs
  symgraph: string; // the version
  backend: string;
  numerics: string;
  sizes: [string, number][]; // named sizes that are bound for memory, profile and code
  free: string[]; // named sizes that are not
  messages: string[]; // whole sentences: what was left out, and why, and how to have it
}

// The user's lines that nodes come from, each with its neighbours; `lines` pairs line numbers with text.
export interface SourceFile {
  path: string;
  lines: [number, string][];
}

export interface Origin {
  // File, line, first column, column after the last (-1, -1: not known); columns are indices of the line's text here.
  sources: [number, number, number, number][];
  scope: string[];
  rules: string[]; // what made the node, oldest first: VJPs and rewrites; empty for the user's own
  of: NodeId[]; // ids in the forward graph that it stands for
}

export interface Graph {
  title: string; // "declared", "after canonicalise (sweep 2)"
  op: StringId[]; // the op's name: "matmul"
  label: StringId[]; // what a box shows: "matmul", "placeholder x", "0.5", "kernel of 6"
  text: StringId[]; // the node as the text form writes it, from the op on: "sum %3 axes=(0,)"
  type: StringId[]; // "f32[batch,784]"
  inputs: NodeId[][];
  origin: OriginId[];
  kind: Kind[];
  part: Part[];
  outputs: [string, NodeId][];
  updates: [string, [string, NodeId][]][];
  flops: string; // totals, as polynomials of the named sizes
  bytes: string;
}

export type Kind = "placeholder" | "variable" | "constant" | "op" | "gradient" | "update" | "rewritten";
export type Part = "forward" | "gradient" | "update";

// declared, gradient, optimised, fused, in this order; those there are.
export interface Stage {
  name: string;
  about: string; // a sentence
  graph: GraphId;
}

// One rewrite: nodes of `given` (before) became nodes of `made` (after). Rewrites of one sweep share both graphs. Where
// a sweep's totals change by more than its rewrites say, since nodes became equal or unneeded, that is one more at its
// end, with the step of the last and no ids.
export interface Rewrite {
  step: number; // as in sg.explain
  pass: string;
  rule: string;
  numerics: string;
  before: NodeId[];
  after: NodeId[];
  given: GraphId;
  made: GraphId;
  sources: [number, number][]; // file, line
  flops: string; // the change, with its sign, and the totals
  bytes: string;
  flopsBefore: string;
  flopsAfter: string;
  bytesBefore: string;
  bytesAfter: string;
}

// The gradient stage read as pairs: forward nodes with their adjoints. Ids are of `graph`.
export interface Gradient {
  graph: GraphId;
  of: string; // the output that is differentiated
  wrt: string[];
  pairs: Pair[]; // one for each forward node
}

export interface Pair {
  node: NodeId;
  adjoint: NodeId | null; // the node that holds the derivative of `of` by this node
  made: NodeId[]; // all gradient nodes that this node's VJP made
  rules: VJP[]; // how the adjoint comes about: one for each use of the node
  saved: NodeId[]; // the forward values that this node's own VJP reads
  reason: string; // where there is no adjoint: why, in a sentence; else ""
  path: NodeId[]; // forward nodes from this one to where the derivative stops, or on to `of`
  zero: string; // with values: why the adjoint is zero everywhere, in a sentence; else ""
  zeroPath: NodeId[]; // from this node to the node whose VJP gave zero
}

export interface VJP {
  consumer: NodeId; // the forward node whose VJP it is
  operand: number; // which of its operands the node is
  rule: string; // "vjp matmul"
  result: NodeId | null; // the cotangent that it hands on
  saved: NodeId[]; // the forward values that it reads
}

// With a feed: what each node of some graphs is in that run. `first` is the first node that is not finite.
export interface Values {
  feed: string; // where the values came from
  graphs: GraphValues[];
}

export interface GraphValues {
  graph: GraphId;
  nodes: (Statistics | null)[];
  first: NodeId | null;
}

export interface Statistics {
  shape: number[];
  dtype: string;
  count: number;
  nan: number;
  posinf: number;
  neginf: number;
  zeros: number;
  min: string | null; // of the finite ones, as text that reads back to the bit; null where there are none
  max: string | null;
  mean: string | null;
  deviation: string | null;
  edges: string[]; // of the histogram's bins: one more than `counts`
  counts: number[];
  picture: Picture | null;
  sample: string[]; // the first values, as text
}

// A matrix as a picture: rows of bytes in base64, 0 to 254 from `low` to `high`, 255 for what is not finite.
export interface Picture {
  width: number;
  height: number;
  low: string;
  high: string;
  pixels: string;
  note: string; // what is shown: "the first 64 of 128 rows", "channel 0 of example 0"
}

export interface Fusion {
  unfused: GraphId; // the stage "optimised"
  fused: GraphId; // the stage "fused"
  kernels: Kernel[];
  declined: Declined[];
}

export interface Kernel {
  node: NodeId; // in `fused`
  name: string; // "kernel of 6 nodes", "matmul"
  members: NodeId[]; // in `unfused`
  why: string; // a sentence
  numerics: string;
}

// Why two neighbours of `unfused` do not share a kernel; every edge between nodes of two kernels has a row.
export interface Declined {
  producer: NodeId;
  consumer: NodeId;
  reason: string;
}

export interface Memory {
  peak: number; // bytes of the arena
  live: number; // bytes that are needed at the step of the peak
  expression: string; // the same in the named sizes: "4*batch*784+2048"
  step: number; // the step of the peak
  steps: number;
  owner: string; // a sentence: the line that has most of the peak
  buffers: Buffer[];
  unplanned: string; // what lies outside the arena (inputs, outputs, next values), a sentence
}

export interface Buffer {
  node: NodeId; // in the stage "fused"
  label: string;
  offset: number;
  size: number;
  birth: number;
  death: number;
  over: NodeId | null; // whose memory it takes over in place
  atPeak: boolean;
  expression: string; // its size in the named sizes
}

export interface Profile {
  machine: string; // "2 cores, 102 GFLOP/s float32, 11.3 GB/s"
  ceilings?: Ceilings; // the same as numbers; where they are missing the roofline is drawn from the kernels' shares
  steps: number;
  total: Timing; // of a step, as the caller sees it
  kernels: KernelTime[];
  other: number; // seconds of a step outside kernels, the median
  failed: string; // the error that ended the run, or ""
  trace: string; // Chrome's trace events as JSON text, which the page offers to save
}

export interface Ceilings {
  flops: [string, number][]; // flops a second by dtype: [["float32", 1.02e11], ["float64", 5.1e10]]
  bytes: number; // bytes a second from and to memory
}

export interface Timing {
  median: number; // seconds
  low: number; // the 10th percentile
  high: number; // the 90th
}

export interface KernelTime {
  node: NodeId; // in the stage "fused"
  name: string;
  time: Timing;
  share: number; // of the step's time, 0 to 1
  flops: number;
  bytes: number;
  roofline: number | null; // share of what the machine could do at this many flops a byte, 0 to 1
  bound: string; // "compute" or "memory"
}

export interface Code {
  listings: Listing[];
}

export interface Listing {
  language: string; // "Python", "LLVM IR", "assembly (x86-64)"
  text: string;
  sections: Section[]; // which lines belong to which kernel; may nest or repeat
}

export interface Section {
  first: number; // line numbers from 1, inclusive
  last: number;
  name: string; // "@kernel3"
  nodes: NodeId[]; // in the stage "fused"
}
