// What a browser loads for networks that do not fit into a fused kernel and for Jᵀ·w (see engines.ts), for adaptive steps and for probes.

export { adaptiveFloats, adaptivePlan, expectedEvaluations } from "./adaptive.ts";
export { layeredEngine } from "./layered-engine.ts";
export { planProbes } from "./probes.ts";
