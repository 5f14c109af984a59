import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import type { NetworkVelocity } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import { narrowLimits, narrowMlp } from "../velocity/narrow-layout.ts";
import type { Parameters } from "../velocity/parameters.ts";
import { plainMlp } from "../velocity/plain-mlp.ts";
import type { WgslVelocity } from "../velocity/wgsl.ts";
import type { Engine } from "./engine.ts";
import { fusedMlpEngine, wgslEngine } from "./fused-engine.ts";

/** The engines of one field: `forward` for solves and all evaluations but Jᵀ·w, `reverse` for that one. */
export interface Engines {
  /** Rejects with `unsupported` where there is none of that precision. */
  forward(precision: "f32" | "f16"): Promise<Engine>;
  reverse(): Promise<Engine>;
}

/** A field in WGSL. What differentiates its code is loaded first, since plans are made at once; only who needs it hears when it fails. */
export function wgslEngines(velocity: WgslVelocity): Engines {
  let engine: Promise<Engine> | undefined;
  const get = () => {
    engine ??= import("../dual/derivatives.ts").then(
      ({ derivativesOf }) => {
        let text: string | undefined;
        return wgslEngine(velocity, () => {
          text ??= derivativesOf(velocity.code, velocity.dim);
          return text;
        });
      },
      (error) => {
        engine = undefined;
        return wgslEngine(velocity, () => {
          throw error;
        });
      },
    );
    return engine;
  };
  return {
    forward: async (precision) => {
      if (precision === "f16") throw unsupportedHalf("a wgslVelocity is computed as its code says");
      return get();
    },
    reverse: get,
  };
}

const unsupportedHalf = (why: string) =>
  new PushforwardError("unsupported", `precision is "f16", but ${why}: leave precision out, or pass "f32"`);

/** Fused kernels where the network is narrow enough; the layered engine, which knows any network, is loaded when it is needed. */
export function networkEngines(gpu: Gpu, velocity: MlpVelocity | NetworkVelocity, parameters: Parameters): Engines {
  let layered: Promise<Engine> | undefined;
  const reverse = () => {
    layered ??= import("./on-demand.ts").then(
      ({ layeredEngine }) => layeredEngine(gpu, networkOf(velocity), parameters),
      (error) => {
        layered = undefined;
        throw error;
      },
    );
    return layered;
  };
  const plain = plainMlp(velocity);
  const narrow = plain && narrowMlp(plain);
  const fused = plain && narrow && Promise.resolve(fusedMlpEngine(gpu, plain, narrow, parameters));
  let half: Promise<Engine> | undefined;
  return {
    forward: async (precision) => {
      if (precision === "f32") return fused ?? reverse();
      if (!plain || !narrow) {
        const { width, dim } = narrowLimits;
        throw unsupportedHalf(`only networks of hidden layers up to ${width} wide and dim up to ${dim} have it`);
      }
      if (!gpu.info.features.includes("shader-f16")) {
        const { description, architecture, vendor } = gpu.info;
        throw unsupportedHalf(`this device (${description || architecture || vendor}) has no shader-f16`);
      }
      half ??= Promise.resolve(fusedMlpEngine(gpu, plain, narrow, parameters, "f16"));
      return half;
    },
    reverse,
  };
}
