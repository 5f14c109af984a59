import { type MlpVelocity, mlpOperations } from "./mlp.ts";
import { checkSizes, compileNetwork, type Network, type NetworkVelocity } from "./network.ts";

const known = new WeakMap<object, Network>();

/**
 * The program and the parameters of a network; made once for each spec.
 *
 * @throws PushforwardError `invalid-argument` for whatever is wrong with a network of one's own.
 */
export function networkOf(velocity: NetworkVelocity | MlpVelocity): Network {
  let network = known.get(velocity);
  if (!network) {
    network =
      velocity.kind === "mlp"
        ? compileNetwork("mlp", velocity, mlpOperations(velocity))
        : compileNetwork("network", checkSizes("network", velocity), velocity.operations);
    known.set(velocity, network);
  }
  return network;
}
