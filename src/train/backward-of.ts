import type { Flow } from "../flow/flow.ts";
import { networkOf } from "../network/of.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import { gradientNetwork } from "../velocity/gradient-layout.ts";
import { plainMlp } from "../velocity/plain-mlp.ts";
import type { Backward } from "./backward.ts";
import { fusedBackward } from "./fused-backward.ts";
import { layeredBackward } from "./layered-backward.ts";

/**
 * On adapters in software one kernel for values and cotangents where a network is narrow enough; a kernel per layer else, and on GPUs,
 * whose registers do not hold the values of all layers (docs/gpu-report.md).
 */
export function backwardOf(flow: Pick<Flow, "gpu">, velocity: TrainableVelocity): Backward {
  const plain = flow.gpu.info.software ? plainMlp(velocity) : undefined;
  const network = plain && gradientNetwork(plain);
  return network ? fusedBackward(flow.gpu, plain, network) : layeredBackward(flow.gpu, networkOf(velocity));
}
