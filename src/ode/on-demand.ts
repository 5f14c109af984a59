// What a browser loads for networks that do not fit into a fused kernel, and for Jᵀ·w: see engines.ts.

export { adaptiveFloats, adaptivePlan, expectedEvaluations } from "./adaptive.ts";
export { layeredEngine } from "./layered-engine.ts";
