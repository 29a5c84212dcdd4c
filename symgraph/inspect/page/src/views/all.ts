// The views, in the order of their tabs.

import type { View } from "../view";
import { graph } from "./graph";
import { rewrites } from "./rewrites";

export const views: readonly View[] = [graph, rewrites];
