import type { Gpu } from "../gpu/gpu.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import type { NetworkVelocity } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import type { Parameters } from "../velocity/parameters.ts";
import { plainMlp } from "../velocity/plain-mlp.ts";
import type { WgslVelocity } from "../velocity/wgsl.ts";
import type { Engine } from "./engine.ts";
import { isWorthwhile } from "./tiers.ts";
import { wgslEngine } from "./wgsl-engine.ts";

/** The engines of one field: `forward` for solves and all evaluations but Jᵀ·w, `reverse` for that one. */
export interface Engines {
  /** Rejects with `unsupported` where there is none of that precision. `evaluations` are those of a solve without a divergence, for which alone it then is. */
  forward(precision: "f32" | "f16", evaluations?: number): Promise<Engine>;
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
      if (precision === "f16")
        throw (await import("./on-demand.ts")).unsupportedHalf("a wgslVelocity is computed as its code says");
      return get();
    },
    reverse: get,
  };
}

/** A promise that is made when it is first asked for, and anew after a failure. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

/**
 * FLOPs of solves without a divergence after which an mlp that lavapipe has layer by layer gets a kernel of its own for them: that
 * compiles for up to a second longer than layers do, so a first result should not wait for it, and who asks for little does without.
 */
const worthCompiling = 4e9;

/**
 * Fused kernels for what is small enough, layer by layer else and, on adapters in software, for Jᵀ·w. GPUs have a tile of particles to a workgroup; adapters in
 * software a few to an invocation, with texts of their own for a narrow mlp. What plans them is loaded when it is needed.
 */
export function networkEngines(gpu: Gpu, velocity: MlpVelocity | NetworkVelocity, parameters: Parameters): Engines {
  const network = networkOf(velocity);
  const layered = once(async () => (await import("./on-demand.ts")).layeredEngine(gpu, network, parameters));
  const plain = plainMlp(velocity);
  const narrow = plain && gpu.info.software ? plain : undefined;
  const forward = once(async () => {
    const own = narrow && (await import("./narrow-engine.ts")).narrowEngine(gpu, narrow, parameters);
    if (own) return own;
    const { fusedNetwork, fusedNetworkEngine, tileNetwork, waveOf } = await import("./on-demand.ts");
    const made = gpu.info.software
      ? !plain && fusedNetwork(gpu, network)
      : tileNetwork(gpu, network, await waveOf(gpu));
    return made ? fusedNetworkEngine(gpu, network, made, parameters) : layered();
  });
  const solving = once(async () => {
    const own = narrow && (await import("./narrow-engine.ts")).solvingEngine(gpu, narrow, parameters);
    return own ?? forward();
  });
  const key = `samples ${JSON.stringify(plain)}`;
  const reverse = once(async () => {
    if (gpu.info.software) return layered();
    const { tileProductEngine } = await import("./on-demand.ts");
    return (await tileProductEngine(gpu, network, await layered(), parameters)) ?? layered();
  });
  const half = once(async () => (await import("./on-demand.ts")).halfEngine(gpu, velocity, parameters));
  return {
    forward(precision, evaluations = 0) {
      if (precision === "f16") return half();
      const work = { now: 2 * network.multiplyAdds * evaluations, ahead: 0 };
      return narrow && evaluations > 0 && isWorthwhile(gpu, key, work, worthCompiling) ? solving() : forward();
    },
    reverse,
  };
}
