import type { Flow } from "../flow/flow.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { heldPlanner } from "../kernels/held-dense.ts";
import type { LinearPlan } from "../kernels/rows.ts";
import { subgroupForWeights } from "../kernels/tiling.ts";
import type { Network } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import type { Engine } from "../ode/engine.ts";
import { weightPlaces } from "../velocity/dense-layout.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import type { Backward } from "./backward.ts";
import { layeredBackward } from "./layered-backward.ts";

/** How trainings plan products, which have both packings of the weights at hand. */
const productsOf = ({ info }: Gpu, network: Network): LinearPlan | undefined =>
  info.software ? heldPlanner(weightPlaces(network), subgroupForWeights(info)) : undefined;

/** How the gradient of a network is found on a device. */
export function backwardOf({ gpu }: Pick<Flow, "gpu">, velocity: TrainableVelocity): Backward {
  const network = networkOf(velocity);
  return layeredBackward(gpu, network, productsOf(gpu, network));
}

/**
 * The engine of a training's forward solves. On adapters in software the kernels of layers are compiled in a fraction of the time that
 * one kernel for all of a solve takes, and those of few inputs are no slower.
 */
export async function trainingEngine(flow: Flow, velocity: TrainableVelocity): Promise<Engine> {
  if (!flow.gpu.info.software) return flow.forwardEngine();
  const { layeredEngine } = await import("../ode/on-demand.ts");
  const network = networkOf(velocity);
  const engine = layeredEngine(flow.gpu, network, flow.parameters, productsOf(flow.gpu, network));
  // it reads the weights that the training packs for its gradients
  const { parameters } = flow;
  return { ...engine, shared: async () => ({ buffers: new Map(), version: parameters.version, release() {} }) };
}
