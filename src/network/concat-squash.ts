import { checked, type Schema } from "../options/schema.ts";
import { activate, add, linear, multiply } from "./builder.ts";
import { activation, hidden } from "./fields.ts";
import { type NetworkInputs, type NetworkVelocity, networkVelocity, sizeFields } from "./network.ts";
import type { Activation } from "./operations/activate.ts";

export interface ConcatSquashOptions {
  dim: number;
  hidden: number[];
  /** Default `"softplus"`. */
  activation?: Activation;
}

const concatSquashFields = {
  dim: sizeFields.dim,
  hidden: { check: hidden, required: true },
  activation: activation("softplus"),
} as const satisfies Schema<ConcatSquashOptions>;

/**
 * The concat-squash network of FFJORD (Grathwohl et al. 2019, appendix B.1): each layer is (W h + b) ⊙ σ(w_g t + b_g) + w_s t, with an
 * activation between layers.
 *
 * Tensors of layer l, under the names of the authors' code: `layers.${l}._layer`, `layers.${l}._hyper_gate` and, without a bias,
 * `layers.${l}._hyper_bias`.
 *
 * @throws PushforwardError `invalid-argument` for sizes that are not positive integers, unknown names and unknown options.
 * @example
 * import { concatSquash } from "pushforward";
 * const velocity = concatSquash({ dim: 2, hidden: [64, 64], activation: "tanh" });
 */
export function concatSquash(options: ConcatSquashOptions): NetworkVelocity {
  const what = "concatSquash";
  const { dim, hidden, activation } = checked(what, concatSquashFields, options);
  const build = ({ x, t }: NetworkInputs) => {
    let h = x;
    for (const [l, width] of [...hidden, dim].entries()) {
      const name = `layers.${l}`;
      const gate = activate(linear(t, width, `${name}._hyper_gate`), "sigmoid");
      const shift = linear(t, width, `${name}._hyper_bias`, { bias: false });
      h = add(multiply(linear(h, width, `${name}._layer`), gate), shift);
      if (l < hidden.length) h = activate(h, activation);
    }
    return h;
  };
  return networkVelocity(what, { dim, classes: 0, context: 0 }, build);
}
