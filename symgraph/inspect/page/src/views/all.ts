// The views, in the order of their tabs.

import type { View } from "../view";
import { code } from "./code";
import { fusion } from "./fusion";
import { gradient } from "./gradient";
import { graph } from "./graph";
import { memory } from "./memory";
import { profile } from "./profile";
import { rewrites } from "./rewrites";
import { values } from "./values";

export const views: readonly View[] = [graph, rewrites, gradient, values, fusion, memory, profile, code];
