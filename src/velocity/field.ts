import { invalid } from "../errors.ts";
import { type MlpVelocity, mlp } from "../network/mlp.ts";
import type { NetworkVelocity } from "../network/network.ts";
import { networkOf } from "../network/of.ts";
import { show } from "../options.ts";
import { type WgslVelocity, wgslVelocity } from "./wgsl.ts";

/** A velocity field whose weights are trained. */
export type TrainableVelocity = MlpVelocity | NetworkVelocity;

/** What a flow can be of. */
export type FieldVelocity = TrainableVelocity | WgslVelocity;

/**
 * A spec is plain data, which anybody can write: whether it is one that its function would have made.
 *
 * @throws PushforwardError `invalid-argument` for what is no spec, or one that lacks something.
 */
export function checkVelocity(what: string, velocity: FieldVelocity): void {
  switch (velocity?.kind) {
    case "wgsl":
      wgslVelocity({ dim: velocity.dim, code: velocity.code });
      return;
    case "network":
      networkOf(velocity);
      return;
    case "mlp": {
      const { kind: _, hidden, time, ...options } = velocity;
      const made = mlp({ ...options, time, hidden: hidden as number[] });
      // what mlp would have filled in by its defaults
      const lacking = Object.keys(made).find((key) => (velocity[key as keyof MlpVelocity] ?? undefined) === undefined);
      if (lacking !== undefined)
        throw invalid(`velocity has no ${lacking}: make it with mlp(…), which fills in what is left out`);
      return;
    }
    default:
      throw invalid(
        `${what}: velocity is ${show(velocity)}, but it is what mlp(…), network(…) or wgslVelocity(…) returned`,
      );
  }
}
