import { h } from "../dom";
import type { Model } from "../model";
import type { Reference, View } from "../view";

export const rewrites: View = { id: "rewrites", title: "Rewrites", render: () => h("div") };

export function stepsOf(model: Model, reference: Reference): { at: number; made: boolean }[] {
  return model.rewrites.flatMap((rewrite, at) => [
    ...(rewrite.made === reference.graph && rewrite.after.includes(reference.node) ? [{ at, made: true }] : []),
    ...(rewrite.given === reference.graph && rewrite.before.includes(reference.node) ? [{ at, made: false }] : []),
  ]);
}
