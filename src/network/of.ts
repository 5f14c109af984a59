import { type MlpVelocity, mlpOperations } from "./mlp.ts";
import { compileNetwork, type Network, type NetworkVelocity } from "./network.ts";

const known = new WeakMap<object, Network>();

/** The program and the parameters of a network; made once for each spec. */
export function networkOf(velocity: NetworkVelocity | MlpVelocity): Network {
  let network = known.get(velocity);
  if (!network) {
    const operations = velocity.kind === "mlp" ? mlpOperations(velocity) : velocity.operations;
    network = compileNetwork(velocity.kind, velocity, operations);
    known.set(velocity, network);
  }
  return network;
}
