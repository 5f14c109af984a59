import { PushforwardError } from "../errors.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import { type MlpVelocity, mlp } from "../network/mlp.ts";
import type { Network, NetworkVelocity } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import { mebibytes } from "../options.ts";
import { packedBytes } from "./dense-packing.ts";

/** Bytes of the largest buffer that the weights of a network are in: flat, or packed with rows padded to four. */
function weightBytes(network: Network): number {
  return Math.max(4 * network.parameterCount, packedBytes(network));
}

/** The largest width up to which the hidden layers of an MLP could be for its weights to fit; 0 where no width is small enough. */
function fittingWidth({ kind: _, hidden, ...options }: MlpVelocity, bytes: number): number {
  const fits = (width: number) =>
    weightBytes(networkOf(mlp({ ...options, hidden: hidden.map((own) => Math.min(own, width)) }))) <= bytes;
  let least = 0;
  let most = Math.max(0, ...hidden);
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fits(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

/** Throws `out-of-memory` for a network whose weights a device cannot bind, before anything is made for it. */
export function checkNetworkFits(
  what: string,
  velocity: MlpVelocity | NetworkVelocity,
  limits: GPUSupportedLimits,
): void {
  const network = networkOf(velocity);
  const room = largestBinding(limits);
  const bytes = weightBytes(network);
  if (bytes <= room) return;
  const width = velocity.kind === "mlp" ? fittingWidth(velocity, room) : 0;
  const way = width > 0 ? `layers up to ${width} wide fit` : "fewer inputs or layers may fit";
  throw new PushforwardError(
    "out-of-memory",
    `${what}: the ${network.parameterCount.toLocaleString("en-US")} weights of this network take ${mebibytes(bytes)}, but this device binds at most ${mebibytes(room)} to a kernel: ${way}`,
  );
}
