import { invalid } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { initialParameters } from "../network/initialisation.ts";
import { networkOf } from "../network/of.ts";
import { checkPeriodic } from "../network/periodic.ts";
import { type Engines, networkEngines, wgslEngines } from "../ode/engines.ts";
import { checkNetworkFits } from "../velocity/device-fit.ts";
import { flatten, Parameters } from "../velocity/parameters.ts";
import type { FlowOptions } from "./shape.ts";

/** The field of a flow on its device: the weights of a network, and how it is planned. */
export interface Field {
  /** Of WGSL there are none. */
  readonly parameters: Parameters | undefined;
  readonly engines: Engines;
}

/** The field with the given weights, or with initial ones drawn from the seed. */
export function fieldOn(gpu: Gpu, { velocity, weights, seed = 0 }: FlowOptions, circular: readonly number[]): Field {
  if (velocity.kind === "wgsl") {
    if (weights !== undefined)
      throw invalid("Flow.create: weights were given, but a wgslVelocity has none: leave them out");
    return { parameters: undefined, engines: wgslEngines(velocity) };
  }
  checkNetworkFits("Flow.create", velocity, gpu.device.limits);
  const network = networkOf(velocity);
  if (circular.length > 0) checkPeriodic(velocity, circular);
  const initial = weights === undefined ? initialParameters(network, seed) : flatten(network.tensors, weights);
  const parameters = new Parameters(network, initial);
  return { parameters, engines: networkEngines(gpu, velocity, parameters) };
}
