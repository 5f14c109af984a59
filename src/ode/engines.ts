import type { Gpu } from "../gpu/gpu.ts";
import type { MlpVelocity } from "../velocity/mlp.ts";
import { narrowMlp } from "../velocity/narrow-layout.ts";
import type { Parameters } from "../velocity/parameters.ts";
import type { WgslVelocity } from "../velocity/wgsl.ts";
import type { Engine } from "./engine.ts";
import { fusedMlpEngine, wgslEngine } from "./fused-engine.ts";

/** The engines of one field: `forward` for solves and all evaluations but Jᵀ·w, `reverse` for that one. */
export interface Engines {
  forward(): Promise<Engine>;
  reverse(): Promise<Engine>;
}

export function wgslEngines(velocity: WgslVelocity): Engines {
  const engine = Promise.resolve(wgslEngine(velocity));
  return { forward: () => engine, reverse: () => engine };
}

/** Fused kernels where the network is narrow enough; the layered engine, which knows any network, is loaded when it is needed. */
export function mlpEngines(gpu: Gpu, velocity: MlpVelocity, parameters: Parameters): Engines {
  let layered: Promise<Engine> | undefined;
  const reverse = () => {
    layered ??= import("./on-demand.ts").then(
      ({ layeredEngine }) => layeredEngine(gpu, velocity, parameters),
      (error) => {
        layered = undefined;
        throw error;
      },
    );
    return layered;
  };
  const narrow = narrowMlp(velocity);
  if (!narrow) return { forward: reverse, reverse };
  const fused = Promise.resolve(fusedMlpEngine(gpu, velocity, narrow, parameters));
  return { forward: () => fused, reverse };
}
