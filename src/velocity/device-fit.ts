import { PushforwardError } from "../errors.ts";
import { largestBinding } from "../gpu/largest-binding.ts";
import { mebibytes } from "../options.ts";
import { backwardLayers, forwardLayers } from "./dense-layout.ts";
import { type MlpVelocity, parameterCount } from "./mlp.ts";

/** Bytes of the largest buffer that the weights of a network are in: flat, or packed with rows padded to four. */
function weightBytes(velocity: MlpVelocity): number {
  const forward = forwardLayers(velocity).reduce((sum, { inputs, rowVectors }) => sum + (inputs + 1) * rowVectors, 0);
  const backward = backwardLayers(velocity).reduce((sum, { inputs, rowVectors }) => sum + inputs * rowVectors, 0);
  return Math.max(4 * parameterCount(velocity), 16 * forward, 16 * backward);
}

/** The largest width up to which the hidden layers of a network could be for its weights to fit; 0 where no width is small enough. */
function fittingWidth(velocity: MlpVelocity, bytes: number): number {
  const fits = (width: number) =>
    weightBytes({ ...velocity, hidden: velocity.hidden.map((own) => Math.min(own, width)) }) <= bytes;
  let least = 0;
  let most = Math.max(0, ...velocity.hidden);
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (fits(middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

/** Throws `out-of-memory` for a network whose weights a device cannot bind, before anything is made for it. */
export function checkNetworkFits(what: string, velocity: MlpVelocity, limits: GPUSupportedLimits): void {
  const room = largestBinding(limits);
  const bytes = weightBytes(velocity);
  if (bytes <= room) return;
  const width = fittingWidth(velocity, room);
  const way = width > 0 ? `layers up to ${width} wide fit` : "fewer inputs or layers may fit";
  throw new PushforwardError(
    "out-of-memory",
    `${what}: the ${parameterCount(velocity).toLocaleString("en-US")} weights of this network take ${mebibytes(bytes)}, but this device binds at most ${mebibytes(room)} to a kernel: ${way}`,
  );
}
