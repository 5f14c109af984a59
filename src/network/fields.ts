import { invalid } from "../errors.ts";
import { type Check, type Field, integer } from "../options/schema.ts";
import { checkInteger, checkKeys, show } from "../options.ts";
import type { FourierOptions } from "./builder.ts";
import { type Activation, checkActivation } from "./operations/activate.ts";

/** How the time goes into a network. */
export type TimeInput = "concat" | { readonly fourier: number };

const mostFourier = 64;
const mostWidth = 1 << 14;

export const width = integer(1, mostWidth);

/** Widths of hidden layers, copied. */
export const hidden: Check<number[]> = (name, value) => {
  if (!Array.isArray(value))
    throw invalid(`${name} is ${show(value)}, but it is an array of layer widths such as [64, 64, 64]`);
  return Object.freeze(value.map((own, i) => width(`${name}[${i}]`, own))) as number[];
};

export const activation = (fallback: Activation): Field<Activation> & { readonly fallback: Activation } => ({
  check: checkActivation,
  fallback,
});

export const time = (fallback: TimeInput): Field<TimeInput> & { readonly fallback: TimeInput } => ({
  check(name, value) {
    if (value === "concat") return value;
    if (typeof value !== "object" || value === null)
      throw invalid(`${name} is ${show(value)}, but it is "concat" or { fourier: k }`);
    checkKeys(name, value, ["fourier"]);
    const { fourier } = value as { fourier?: unknown };
    return Object.freeze({ fourier: checkInteger(`${name}.fourier`, fourier, 1, mostFourier) });
  },
  fallback,
});

/** Fourier features of x, which are checked where they are made, and copied. */
export const features: Check<{ readonly fourier: FourierOptions }> = (name, value) => {
  checkKeys(name, value as object, ["fourier"]);
  const { fourier } = value as { fourier?: unknown };
  if (typeof fourier !== "object" || fourier === null)
    throw invalid(`${name}.fourier is ${show(fourier)}, but it is { count, scale, seed } or { frequencies }`);
  return Object.freeze({ fourier: fourier as FourierOptions });
};
