import { type Condition, type Divergence, divergence, evaluate, type Network } from "./mlp.ts";
import type { Field } from "./ode.ts";
import { at, type Vector } from "./vectors.ts";

/** A network as a field of one particle: its divergence (with the particle's own probes), label and context. */
export function networkField(net: Network, how: Divergence = "exact", condition: Condition = {}): Field {
  return {
    dim: net.spec.dim,
    velocity: (t, x) => evaluate(net, t, x, [], condition).velocity,
    divergence: (t, x) => divergence(net, t, x, how, condition),
  };
}

/** (1 − w) u_null + w u_label, and the same mix of the divergences (Ho & Salimans 2022). */
export function mix(unconditional: Field, conditional: Field, w: number): Field {
  const blend = (a: number, b: number) => (1 - w) * a + w * b;
  return {
    dim: unconditional.dim,
    velocity: (t: number, x: Vector) => {
      const b = conditional.velocity(t, x);
      return Float64Array.from(unconditional.velocity(t, x), (a, i) => blend(a, at(b, i)));
    },
    divergence: (t, x) => blend(unconditional.divergence(t, x), conditional.divergence(t, x)),
  };
}

/** Guided field of a class-conditional network: the null class has a one-hot of zeros; context stays in both branches. */
export function guided(net: Network, condition: Condition, w: number, how: Divergence = "exact"): Field {
  return mix(networkField(net, how, { ...condition, label: undefined }), networkField(net, how, condition), w);
}
