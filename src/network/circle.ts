import { invalid } from "../errors.ts";
import { type Check, checked, integer, type Schema } from "../options/schema.ts";
import { checkInteger, show } from "../options.ts";
import { concat, fourier, slice } from "./builder.ts";
import type { Node } from "./network.ts";

/** A turn in a flow's own space: in quarter turns uniform angles have a variance near 1, and all frequencies of a turn are f32 numbers. */
export const turn = 4;

export interface CircleOptions {
  /** Sine and cosine of 1 … `harmonics` times the angle: more for densities with fine structure. Default 1. */
  harmonics?: number;
}

const circleFields = { harmonics: { check: integer(1, 64), fallback: 1 } } satisfies Schema<CircleOptions>;

/**
 * What a network may know of angles, `v` in quarter turns: sin kπv/2 and cos kπv/2, k = 1 … harmonics, of each feature. A field that takes
 * the circular axes of a {@link Transform} in this way alone has their period, to the bit.
 *
 * @throws PushforwardError `invalid-argument` for harmonics that are no number from 1 to 64.
 * @example
 * import { activate, circle, concat, Flow, linear, network, openGpu, slice } from "pushforward";
 * const velocity = network({ dim: 2 }, ({ x, t }) => {
 *   const inputs = concat(circle(slice(x, 0, 1)), slice(x, 1, 2), t);
 *   return linear(activate(linear(inputs, 32, "in"), "silu"), 2, "out");
 * });
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity, transform: [{ kind: "circular", period: 360 }, null] });
 * const { x } = await flow.sample(100); // x[0] is an angle from 0 to 360
 * gpu.dispose();
 */
export function circle(node: Node, options: CircleOptions = {}): Node {
  const { harmonics } = checked("circle", circleFields, options);
  const frequencies = Array.from({ length: harmonics }, (_, k) => [(k + 1) / turn]);
  return concat(...Array.from({ length: node.width }, (_, i) => fourier(slice(node, i, i + 1), { frequencies })));
}

/** Axes of x that are angles, which come in as {@link circle} has them. */
export interface CircularAxes extends CircleOptions {
  axes: number[];
}

/** The option `circular` of networks; copied. */
export const circularInput: Check<CircularAxes> = (name, value) => {
  const fields = {
    axes: {
      check(axesName, axes) {
        if (!Array.isArray(axes) || axes.length === 0)
          throw invalid(`${axesName} is ${show(axes)}, but it is a list of axes such as [0]`);
        return [...new Set(axes.map((axis, i) => checkInteger(`${axesName}[${i}]`, axis, 0)))];
      },
      required: true,
    },
    ...circleFields,
  } as const satisfies Schema<CircularAxes>;
  return checked(name, fields, value as CircularAxes, `${name}.`);
};

/** What a network takes of x: as it is, but for the circular axes. */
export function stateInputs(x: Node, circular: CircularAxes | undefined): Node {
  if (!circular) return x;
  const { axes, harmonics } = circular;
  for (const axis of axes) checkInteger("circular.axes", axis, 0, x.width - 1);
  return concat(
    ...Array.from({ length: x.width }, (_, axis) => {
      const own = slice(x, axis, axis + 1);
      return axes.includes(axis) ? circle(own, { ...(harmonics && { harmonics }) }) : own;
    }),
  );
}
