import { runSuite } from "../homes/run-suite.mjs";

/**
 * Compiles the catalogue: Tint in Node on Dawn's null backend, Naga in Deno on the adapter. One process each. Tint makes every pipeline,
 * which costs little there; Naga reads and validates every shader, and makes the adapter's pipeline for the shortest of each family or, with
 * `isFull` or a filter, for all.
 */
export async function runShaderTests(bundle, { filter = "", isFull = filter !== "", rerun } = {}) {
  const own = { filter, isFull, rerun };
  return [
    await runSuite("node", bundle, { ...own, label: "shaders, Tint", args: { compiler: "tint" }, needsAdapter: false }),
    await runSuite("deno", bundle, { ...own, label: "shaders, Naga", args: { compiler: "naga" } }),
  ];
}
