import { type ActivationName, activationFunctions } from "./activations.ts";

/*
 * Any network in f64 with tangents (dual numbers), written from the definitions of its operations and nothing else of the library.
 */

/** An operation as it stands in a file. */
interface OperationSpec {
  readonly op: string;
  readonly of: readonly number[];
}

export interface NetworkSpec {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
  readonly operations: readonly OperationSpec[];
}

export type NetworkWeights = Readonly<Record<string, ArrayLike<number>>>;

interface Given {
  readonly label?: number | undefined;
  readonly context?: ArrayLike<number> | undefined;
}

/** A vector with its derivative in one direction. */
interface Dual {
  readonly value: Float64Array;
  readonly tangent: Float64Array;
}

const dual = (width: number, f: (i: number) => readonly [number, number]): Dual => {
  const value = new Float64Array(width);
  const tangent = new Float64Array(width);
  for (let i = 0; i < width; i++) [value[i], tangent[i]] = f(i) as [number, number];
  return { value, tangent };
};

const at = (values: ArrayLike<number> | undefined, i: number): number => {
  const value = values?.[i];
  if (value === undefined) throw new Error(`no number at ${i}`);
  return value;
};

type Settings = Record<string, unknown> & OperationSpec;

/** (v − mean)/√(variance + eps) with its tangent. */
function normed(a: Dual, eps: number): Dual {
  const n = a.value.length;
  const mean = (v: Float64Array) => v.reduce((sum, x) => sum + x, 0) / n;
  const [m, dm] = [mean(a.value), mean(a.tangent)];
  const c = a.value.map((x) => x - m);
  const dc = a.tangent.map((x) => x - dm);
  const variance = mean(c.map((x) => x * x));
  const dVariance = mean(c.map((x, i) => 2 * x * at(dc, i)));
  const r = 1 / Math.sqrt(variance + eps);
  const dr = -0.5 * r ** 3 * dVariance;
  return dual(n, (i) => [at(c, i) * r, at(dc, i) * r + at(c, i) * dr]);
}

function apply(o: Settings, of: readonly Dual[], weights: NetworkWeights): Dual {
  const [a] = of;
  if (!a) throw new Error(`${o.op} takes a node`);
  const width = a.value.length;
  switch (o.op) {
    case "linear": {
      const w = weights[`${o.name}.weight`];
      const b = weights[`${o.name}.bias`];
      return dual(o.width as number, (i) => {
        let value = o.bias ? at(b, i) : 0;
        let tangent = 0;
        for (let k = 0; k < width; k++) {
          value += at(w, i * width + k) * at(a.value, k);
          tangent += at(w, i * width + k) * at(a.tangent, k);
        }
        return [value, tangent];
      });
    }
    case "activate": {
      const f = activationFunctions[o.activation as ActivationName];
      return dual(width, (i) => [f.value(at(a.value, i)), f.first(at(a.value, i)) * at(a.tangent, i)]);
    }
    case "add":
      return of.reduce((s, v) =>
        dual(width, (i) => [at(s.value, i) + at(v.value, i), at(s.tangent, i) + at(v.tangent, i)]),
      );
    case "multiply":
      return of.reduce((s, v) =>
        dual(width, (i) => [
          at(s.value, i) * at(v.value, i),
          at(s.tangent, i) * at(v.value, i) + at(s.value, i) * at(v.tangent, i),
        ]),
      );
    case "scale":
      return dual(width, (i) => [(o.by as number) * at(a.value, i), (o.by as number) * at(a.tangent, i)]);
    case "shift":
      return dual(width, (i) => [at(a.value, i) + (o.by as number), at(a.tangent, i)]);
    case "concat": {
      const value = of.flatMap((v) => [...v.value]);
      const tangent = of.flatMap((v) => [...v.tangent]);
      return dual(value.length, (i) => [at(value, i), at(tangent, i)]);
    }
    case "slice": {
      const start = o.start as number;
      return dual((o.end as number) - start, (i) => [at(a.value, start + i), at(a.tangent, start + i)]);
    }
    case "fourier": {
      const b = o.frequencies as number[][];
      return dual(2 * b.length, (i) => {
        const row = b[i % b.length] as number[];
        const dot = (v: Float64Array) => row.reduce((sum, f, k) => sum + Math.fround(f) * at(v, k), 0);
        const angle = 2 * Math.PI * dot(a.value);
        const turn = 2 * Math.PI * dot(a.tangent);
        return i < b.length ? [Math.sin(angle), Math.cos(angle) * turn] : [Math.cos(angle), -Math.sin(angle) * turn];
      });
    }
    case "rmsNorm": {
      const w = weights[`${o.name}.weight`];
      const mean = (f: (i: number) => number) => a.value.reduce((sum, _, i) => sum + f(i), 0) / width;
      const r = 1 / Math.sqrt(mean((i) => at(a.value, i) ** 2) + (o.eps as number));
      const dr = -(r ** 3) * mean((i) => at(a.value, i) * at(a.tangent, i));
      return dual(width, (i) => [
        at(a.value, i) * r * at(w, i),
        (at(a.tangent, i) * r + at(a.value, i) * dr) * at(w, i),
      ]);
    }
    case "layerNorm": {
      const n = normed(a, o.eps as number);
      const w = weights[`${o.name}.weight`];
      const b = weights[`${o.name}.bias`];
      return dual(width, (i) => [at(n.value, i) * at(w, i) + at(b, i), at(n.tangent, i) * at(w, i)]);
    }
    default:
      throw new Error(`the oracle knows no ${o.op}`);
  }
}

/** u_t(x) and J·v. */
export function networkAt(
  spec: NetworkSpec,
  weights: NetworkWeights,
  t: number,
  x: ArrayLike<number>,
  v: ArrayLike<number>,
  given: Given = {},
): { velocity: Float64Array; product: Float64Array } {
  const nodes: Dual[] = [];
  for (const operation of spec.operations) {
    const o = operation as Settings;
    if (o.op !== "input") {
      nodes.push(
        apply(
          o,
          o.of.map((i) => nodes[i] as Dual),
          weights,
        ),
      );
      continue;
    }
    const inputs: Record<string, () => Dual> = {
      x: () => dual(spec.dim, (i) => [at(x, i), at(v, i)]),
      t: () => dual(1, () => [t, 0]),
      label: () => dual(spec.classes, (i) => [Number(i === given.label), 0]),
      context: () => dual(spec.context, (i) => [at(given.context, i), 0]),
    };
    nodes.push((inputs[o.input as string] as () => Dual)());
  }
  const last = nodes[nodes.length - 1] as Dual;
  return { velocity: last.value, product: last.tangent };
}

const unit = (dim: number, i: number) => Float64Array.from({ length: dim }, (_, k) => Number(k === i));

/** u, J·v, Jᵀ·v and tr J of one particle. */
export function networkDerivatives(
  spec: NetworkSpec,
  weights: NetworkWeights,
  t: number,
  x: ArrayLike<number>,
  v: ArrayLike<number>,
  given: Given = {},
) {
  const columns = Array.from({ length: spec.dim }, (_, i) => networkAt(spec, weights, t, x, unit(spec.dim, i), given));
  const { velocity, product } = networkAt(spec, weights, t, x, v, given);
  return {
    velocity,
    jvp: product,
    vjp: columns.map((column) => column.product.reduce((sum, d, i) => sum + d * at(v, i), 0)),
    divergence: columns.reduce((sum, column, i) => sum + at(column.product, i), 0),
  };
}

/** The derivative of a function of the weights by one of them, by central differences of 4th order. */
export function weightDerivative(
  weights: NetworkWeights,
  name: string,
  index: number,
  f: (weights: NetworkWeights) => number,
): number {
  const h = 2e-3;
  const moved = (by: number) => {
    const values = Float64Array.from(weights[name] as ArrayLike<number>);
    values[index] = at(values, index) + by * h;
    return f({ ...weights, [name]: values });
  };
  return (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * h);
}
