import { PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { hasMatrices } from "../kernels/matrices.ts";
import { waveOf } from "../kernels/waves.ts";
import type { MlpVelocity } from "../network/mlp.ts";
import type { NetworkVelocity } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import { narrowLimits, narrowMlp } from "../velocity/narrow-layout.ts";
import type { Parameters } from "../velocity/parameters.ts";
import { plainMlp } from "../velocity/plain-mlp.ts";
import type { Engine } from "./engine.ts";
import { fusedMlpEngine } from "./narrow-engine.ts";
import { fusedNetworkEngine, tileLimits, tileNetwork } from "./network-engine.ts";

/** What a call is told that asks for f16 where there is none. */
export const unsupportedHalf = (why: string) =>
  new PushforwardError("unsupported", `precision is "f16", but ${why}: leave precision out, or pass "f32"`);

/**
 * A network in f16: on a GPU a tile of particles to a workgroup, on adapters in software a few to an invocation. Rejects with
 * `unsupported` where the device has no f16, or no kernel for the network.
 */
export async function halfEngine(
  gpu: Gpu,
  velocity: MlpVelocity | NetworkVelocity,
  parameters: Parameters,
): Promise<Engine> {
  const { software, features, description, architecture, vendor } = gpu.info;
  const plain = plainMlp(velocity);
  const narrow = plain && narrowMlp(plain);
  if (software && !narrow) {
    const { width, dim } = narrowLimits;
    throw unsupportedHalf(`in software only an mlp of hidden layers up to ${width} wide and dim up to ${dim} has it`);
  }
  if (!features.includes("shader-f16"))
    throw unsupportedHalf(`this device (${description || architecture || vendor}) has no shader-f16`);
  if (software && plain && narrow) return fusedMlpEngine(gpu, plain, narrow, parameters, "f16");
  const network = networkOf(velocity);
  const wave = await waveOf(gpu);
  const made =
    (hasMatrices(gpu) && tileNetwork(gpu, network, wave, { half: true, matrices: true })) ||
    tileNetwork(gpu, network, wave, { half: true });
  if (made) return fusedNetworkEngine(gpu, network, made, parameters);
  const { width, dim } = tileLimits;
  throw unsupportedHalf(
    `on a GPU only a network of layers up to ${width} wide and dim up to ${dim} has it, whose values fit into the memory of a workgroup`,
  );
}
