// src/ to built/: one script and one style sheet, the same bytes from the same source on every machine.

import { build } from "esbuild";

const common = { bundle: true, minify: true, charset: "utf8", legalComments: "none", logLevel: "warning" };

await build({
  ...common,
  entryPoints: ["src/main.ts"],
  outfile: "built/page.js",
  format: "iife",
  target: "es2022",
});
await build({ ...common, entryPoints: ["src/page.css"], outfile: "built/page.css", target: "chrome123" });
