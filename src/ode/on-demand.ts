// What a browser loads for networks other than a narrow mlp and for Jᵀ·w (see engines.ts), for adaptive steps, for probes, for f16, for the Jacobians of steps and for sources with parts.

export { partSources } from "../../shaders/source-parts.ts";
export { jacobianTexts } from "../../shaders/step-jacobian.ts";
export { waveOf } from "../kernels/waves.ts";
export { adaptiveFloats, adaptivePlan, expectedEvaluations } from "./adaptive.ts";
export { halfEngine, unsupportedHalf } from "./half-engine.ts";
export { layeredEngine } from "./layered-engine.ts";
export { fusedNetwork, fusedNetworkEngine, tileNetwork } from "./network-engine.ts";
export { planProbes } from "./probes.ts";
export { tileProductEngine } from "./tile-product.ts";
