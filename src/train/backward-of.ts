import type { Flow } from "../flow/flow.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { ChainDevice } from "../kernels/chain.ts";
import { unusedBuffers } from "../kernels/finish.ts";
import { heldPlanner } from "../kernels/held-dense.ts";
import type { LinearPlan } from "../kernels/rows.ts";
import { isLavapipe, subgroupForWeights } from "../kernels/tiling.ts";
import { waveOf } from "../kernels/waves.ts";
import type { Network } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import type { Engine } from "../ode/engine.ts";
import { weightPlaces } from "../velocity/dense-layout.ts";
import type { TrainableVelocity } from "../velocity/field.ts";
import type { Backward, LikelihoodBackward, MatchingBackward } from "./backward.ts";
import { layeredBackward } from "./layered-backward.ts";
import { tileBackward, tilePasses } from "./tile-backward.ts";

/** How trainings plan products, which have both packings of the weights at hand; `share` says whether layers share texts. */
const productsOf = ({ info }: Gpu, network: Network, share: boolean): LinearPlan | undefined =>
  info.software ? heldPlanner(weightPlaces(network), subgroupForWeights(info), share) : undefined;

/** Layers in chains, which save dispatches on lavapipe: there each costs as much as a small layer. */
const chainOf = ({ info }: Gpu, network: Network): ChainDevice | undefined => {
  const subgroup = subgroupForWeights(info);
  return isLavapipe(info) && subgroup > 0 ? { places: weightPlaces(network), subgroup } : undefined;
};

/** How flow matching's gradient is found on a device. */
export type MatchingChoice = (velocity: TrainableVelocity) => MatchingBackward;

/**
 * Says how the gradient of flow matching's loss is found on a device: on a GPU in one kernel, on tiles of particles, whose subgroups are
 * looked at first; layer by layer where a network does not fit there, and on adapters in software.
 */
export async function matchingChoice(flow: Pick<Flow, "gpu">): Promise<MatchingChoice> {
  const { gpu } = flow;
  const shared = gpu.info.software ? undefined : await waveOf(gpu);
  return (velocity) =>
    (gpu.info.software ? undefined : tileBackward(gpu, networkOf(velocity), shared)) ??
    residualBackward(flow, velocity);
}

/** The same layer by layer, which also tells the velocity of any rows. */
export function residualBackward({ gpu }: Pick<Flow, "gpu">, velocity: TrainableVelocity): Backward {
  const network = networkOf(velocity);
  return layeredBackward(gpu, network, productsOf(gpu, network, false));
}

/** What of a likelihood's solve decides how its gradient is found. */
export interface LikelihoodShape {
  readonly tangents: { readonly count: number; readonly kind: "basis" | "probes" | "matrix" };
  readonly penalised: boolean;
}

/**
 * How that of a likelihood is: on a GPU a pass is one kernel, on tiles of particles, where network and tangents fit; else layer by layer.
 */
export async function likelihoodBackward(
  { gpu }: Pick<Flow, "gpu">,
  velocity: TrainableVelocity,
  { tangents, penalised }: LikelihoodShape,
  chained: boolean,
): Promise<LikelihoodBackward> {
  if (!gpu.info.software) {
    const tiles = tilePasses(gpu, networkOf(velocity), await waveOf(gpu), tangents, penalised);
    if (tiles) return tiles;
  }
  return passesByLayer({ gpu }, velocity, chained);
}

/**
 * The same layer by layer. It goes forward and back through the network with and without tangents: on lavapipe, which takes half
 * a second to compile a layer, all of these ways share their kernels. SwiftShader is quick to compile, and slow where nothing is stored.
 */
export function passesByLayer({ gpu }: Pick<Flow, "gpu">, velocity: TrainableVelocity, chained: boolean): Backward {
  const network = networkOf(velocity);
  const products = productsOf(gpu, network, isLavapipe(gpu.info));
  const backward = layeredBackward(gpu, network, products, chained ? chainOf(gpu, network) : undefined);
  return {
    ...backward,
    buffers: (capacity, tangents) => [...backward.buffers(capacity, tangents), ...unusedBuffers],
  };
}

/**
 * The engine of a likelihood's forward solves. On adapters in software the kernels of layers are compiled in a fraction of the time that
 * one kernel for all of a solve takes, and those of few inputs are no slower.
 */
export async function trainingEngine(flow: Flow, velocity: TrainableVelocity, chained: boolean): Promise<Engine> {
  if (!flow.gpu.info.software) return flow.forwardEngine();
  const { layeredEngine } = await import("../ode/on-demand.ts");
  const network = networkOf(velocity);
  const engine = layeredEngine(
    flow.gpu,
    network,
    flow.parameters,
    productsOf(flow.gpu, network, isLavapipe(flow.gpu.info)),
    chained ? chainOf(flow.gpu, network) : undefined,
  );
  // it reads the weights that the training packs for its gradients
  const { parameters } = flow;
  return { ...engine, shared: async () => ({ buffers: new Map(), version: parameters.version, release() {} }) };
}
