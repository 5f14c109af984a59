import { runSuite } from "../homes/run-suite.mjs";

/** Compiles the catalogue: Tint in Node on Dawn's null backend, Naga in Deno on the adapter. One process each. */
export async function runShaderTests(bundle, filter = "") {
  return [
    await runSuite("node", bundle, { filter, label: "shaders, Tint", args: { compiler: "tint" }, needsAdapter: false }),
    await runSuite("deno", bundle, { filter, label: "shaders, Naga", args: { compiler: "naga" } }),
  ];
}
