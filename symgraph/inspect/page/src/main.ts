// The page starts here: the model is unpacked, the shell is put around the views, the address says which is shown.

import { carried } from "./data";
import { h } from "./dom";
import type { Model } from "./model";
import { shell } from "./shell";
import { views } from "./views/all";

async function start(): Promise<void> {
  const root = document.getElementById("page");
  if (root === null) return;
  try {
    const model = JSON.parse(await carried("model")) as Model;
    shell(root, model, views);
    root.dataset["ready"] = "true";
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    root.replaceChildren(
      h("main", { class: "failed" }, h("h1", {}, "This page could not be shown"), h("p", {}, said), h("p", {}, OLD)),
    );
    root.dataset["ready"] = "failed";
  }
}

const OLD = "It needs a browser of 2023 or newer: Chromium 123, Firefox 120 or Safari 17.5.";

void start();
