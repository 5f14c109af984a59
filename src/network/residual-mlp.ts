import { checked, integer, type Schema } from "../options/schema.ts";
import { activate, add, concat, type FourierOptions, fourier, layerNorm, linear, multiply, slice } from "./builder.ts";
import { type CircularAxes, circularInput, stateInputs } from "./circle.ts";
import { activation, features, time, width } from "./fields.ts";
import { timeFeatures } from "./mlp.ts";
import { type NetworkInputs, type NetworkVelocity, networkVelocity, sizeFields } from "./network.ts";
import type { Activation } from "./operations/activate.ts";

export interface ResidualMlpOptions {
  dim: number;
  /** Features of the stream that the blocks add to. */
  width: number;
  /** Number of blocks. */
  blocks: number;
  /** Default `"silu"`. */
  activation?: Activation;
  /** Default `{ fourier: 4 }`: sin 2πjt, cos 2πjt for j = 1 … k; `"concat"`: the time itself. */
  time?: "concat" | { fourier: number };
  /** Axes of x that are angles, as circular axes of a {@link Transform} are: they come in as {@link circle} has them. Default: none. */
  circular?: CircularAxes;
  /** Fourier features of x, which join x as inputs; see {@link fourier}. Default: none. */
  features?: { fourier: FourierOptions };
  /** Class-conditional: a one-hot input; the null class is all zeros. */
  classes?: number;
  /** Number of real-valued context inputs. */
  context?: number;
}

const residualFields = {
  ...sizeFields,
  width: { check: width, required: true },
  blocks: { check: integer(1, 256), required: true },
  activation: activation("silu"),
  time: time({ fourier: 4 }),
  circular: { check: circularInput },
  features: { check: features },
} as const satisfies Schema<ResidualMlpOptions>;

/**
 * A residual network with adaptive layer norm (Peebles & Xie 2023, §3.2): blocks of norm, linear, activation, linear that are added
 * to a stream, scaled and shifted by an embedding of the time, the label and the context. The last layer of each block and of the
 * modulation starts at zero, so that every block begins as the identity.
 *
 * Tensors: `in`, `embed.0`, `embed.1`, and for block k `blocks.${k}.modulation`, `.norm`, `.fc1`, `.fc2`; `norm`, `out`.
 *
 * @throws PushforwardError `invalid-argument` for sizes that are not positive integers, unknown names and unknown options.
 * @example
 * import { residualMlp } from "pushforward";
 * const velocity = residualMlp({ dim: 2, width: 64, blocks: 3, classes: 10 });
 */
export function residualMlp(options: ResidualMlpOptions): NetworkVelocity {
  const what = "residualMlp";
  const { dim, classes, context, width, blocks, activation, time, circular, features } = checked(
    what,
    residualFields,
    options,
  );
  const sizes = { dim, classes, context };
  const build = ({ x, t, label, context }: NetworkInputs) => {
    const conditions = [
      timeFeatures(t, time),
      ...(sizes.classes > 0 ? [label] : []),
      ...(sizes.context > 0 ? [context] : []),
    ];
    const embedded = activate(linear(concat(...conditions), width, "embed.0"), activation);
    const when = activate(linear(embedded, width, "embed.1"), activation);
    const own = stateInputs(x, circular);
    let h = linear(features ? concat(own, fourier(x, features.fourier)) : own, width, "in");
    for (let k = 0; k < blocks; k++) {
      const name = `blocks.${k}`;
      const modulation = linear(when, 2 * width, `${name}.modulation`, { initial: "zero" });
      const n = layerNorm(h, `${name}.norm`);
      const f = add(n, multiply(n, slice(modulation, 0, width)), slice(modulation, width, 2 * width));
      h = add(
        h,
        linear(activate(linear(f, width, `${name}.fc1`), activation), width, `${name}.fc2`, { initial: "zero" }),
      );
    }
    return linear(layerNorm(h, "norm"), sizes.dim, "out");
  };
  return networkVelocity(what, sizes, build);
}
