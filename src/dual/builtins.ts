import { type Type, typeText, zero } from "./types.ts";

/** A value as text: its type, its value and its derivative, absent where that is zero. */
export interface Dual {
  readonly type: Type;
  readonly value: string;
  readonly derivative?: string | undefined;
}

/** f′(a) as text, from a and the result r = f(a), of functions that act on each component. */
const slopes: Readonly<Record<string, (a: string, r: string, type: Type) => string>> = {
  sin: (a) => `cos(${a})`,
  cos: (a) => `-sin(${a})`,
  tan: (_, r) => `(1.0 + ${r} * ${r})`,
  asin: (a) => `inverseSqrt(1.0 - ${a} * ${a})`,
  acos: (a) => `-inverseSqrt(1.0 - ${a} * ${a})`,
  atan: (a) => `(1.0 / (1.0 + ${a} * ${a}))`,
  sinh: (a) => `cosh(${a})`,
  cosh: (a) => `sinh(${a})`,
  tanh: (_, r) => `(1.0 - ${r} * ${r})`,
  asinh: (a) => `inverseSqrt(${a} * ${a} + 1.0)`,
  acosh: (a) => `inverseSqrt(${a} * ${a} - 1.0)`,
  atanh: (a) => `(1.0 / (1.0 - ${a} * ${a}))`,
  exp: (_, r) => r,
  exp2: (_, r) => `(0.6931471805599453 * ${r})`,
  log: (a) => `(1.0 / ${a})`,
  log2: (a) => `(1.4426950408889634 / ${a})`,
  sqrt: (_, r) => `(0.5 / ${r})`,
  inverseSqrt: (a, r) => `(-0.5 * ${r} / ${a})`,
  abs: (a) => `sign(${a})`,
  fract: () => "1.0",
  radians: () => "0.017453292519943295",
  degrees: () => "57.29577951308232",
  saturate: (a, _, type) =>
    `select(${zero(type)}, ${typeText(type)}(1.0), (${a} > ${zero(type)}) & (${a} < ${typeText(type)}(1.0)))`,
};

/** Functions that are constant between their jumps. */
export const flat = new Set(["floor", "ceil", "round", "trunc", "sign", "step"]);

/** Sum of the terms that are there. */
const sum = (...terms: (string | false | undefined)[]): string => terms.filter(Boolean).join(" + ");

/** Derivatives of builtins, from their arguments and the result's name; called when at least one argument has a derivative. */
const rules: Readonly<Record<string, (r: string, type: Type, ...args: Dual[]) => string>> = {
  min: (_r, _t, a, b) => `select(${d(b)}, ${d(a)}, ${v(a)} < ${v(b)})`,
  max: (_r, _t, a, b) => `select(${d(b)}, ${d(a)}, ${v(a)} > ${v(b)})`,
  clamp: (_r, _t, x, low, high) =>
    `select(select(${d(x)}, ${d(low)}, ${v(x)} < ${v(low)}), ${d(high)}, ${v(x)} > ${v(high)})`,
  pow: (r, _t, a, b) =>
    sum(
      a?.derivative && `${v(b)} * pow(${v(a)}, ${v(b)} - 1.0) * ${d(a)}`,
      b?.derivative && `${r} * log(${v(a)}) * ${d(b)}`,
    ),
  atan2: (_r, _t, y, x) => `(${v(x)} * ${d(y)} - ${v(y)} * ${d(x)}) / (${v(x)} * ${v(x)} + ${v(y)} * ${v(y)})`,
  fma: (_r, _t, a, b, c) =>
    sum(a?.derivative && `${d(a)} * ${v(b)}`, b?.derivative && `${v(a)} * ${d(b)}`, c?.derivative),
  mix: (_r, _t, a, b, c) =>
    sum(
      a?.derivative && `${d(a)} * (1.0 - ${v(c)})`,
      b?.derivative && `${d(b)} * ${v(c)}`,
      c?.derivative && `(${v(b)} - ${v(a)}) * ${d(c)}`,
    ),
  smoothstep: (_r, type, low, high, x) => {
    const width = `(${v(high)} - ${v(low)})`;
    const s = `clamp((${v(x)} - ${v(low)}) / ${width}, ${zero(type)}, ${typeText(type)}(1.0))`;
    return `6.0 * ${s} * (1.0 - ${s}) * (${d(x)} - ${d(low)} - ${s} * (${d(high)} - ${d(low)})) / ${width}`;
  },
  dot: (_r, _t, a, b) => sum(a?.derivative && `dot(${d(a)}, ${v(b)})`, b?.derivative && `dot(${v(a)}, ${d(b)})`),
  cross: (_r, _t, a, b) => sum(a?.derivative && `cross(${d(a)}, ${v(b)})`, b?.derivative && `cross(${v(a)}, ${d(b)})`),
  // At the origin, where a length has no derivative, it counts as 0 instead of 0/0.
  length: (r, _t, a) =>
    a?.type.kind === "vector" ? `dot(${v(a)}, ${d(a)}) / max(${r}, 1e-30)` : `sign(${v(a)}) * ${d(a)}`,
  distance: (r, _t, a, b) => {
    const [away, moved] = [`(${v(a)} - ${v(b)})`, `(${d(a)} - ${d(b)})`];
    return a?.type.kind === "vector" ? `dot(${away}, ${moved}) / max(${r}, 1e-30)` : `sign(${away}) * ${moved}`;
  },
  normalize: (r, _t, a) => `(${d(a)} - ${r} * dot(${r}, ${d(a)})) / length(${v(a)})`,
};

const v = (a: Dual | undefined): string => a?.value ?? "0.0";
const d = (a: Dual | undefined): string => a?.derivative ?? (a ? zero(a.type) : "0.0");

/** Functions whose value is one number for a whole vector. */
export const reducing = new Set(["dot", "length", "distance"]);

export const isBuiltin = (name: string): boolean =>
  Object.hasOwn(slopes, name) || Object.hasOwn(rules, name) || flat.has(name);

/** The derivative of a builtin's result `r`. */
export function builtinDerivative(name: string, r: string, type: Type, args: readonly Dual[]): string | undefined {
  const [first] = args;
  const slope = slopes[name];
  if (slope) return first?.derivative && `${slope(first.value, r, type)} * ${first.derivative}`;
  return rules[name]?.(r, type, ...args);
}
