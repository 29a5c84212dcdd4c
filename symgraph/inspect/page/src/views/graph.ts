import { h } from "../dom";
import type { View } from "../view";

export const graph: View = { id: "graph", title: "Graph", render: () => h("div") };
