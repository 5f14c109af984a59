import { invalid } from "../errors.ts";
import { checkFinite, checkInteger, checkKeys, show } from "../options.ts";
import { normals, seedKey, streams } from "../random/philox.ts";
import { Node } from "./network.ts";
import type { Activation } from "./operations/activate.ts";
import type { LayerInitial } from "./operations/linear.ts";

function nodeOf(what: string, node: Node): Node {
  if (node instanceof Node) return node;
  throw invalid(`${what}: ${show(node)} is no node: pass an input of the network or what an operation returned`);
}

/** An operation on some nodes, whose network the first one knows. */
function apply(op: string, nodes: readonly Node[], settings: Record<string, unknown> = {}): Node {
  if (nodes.length === 0) throw invalid(`${op} takes at least one node`);
  return nodeOf(op, nodes[0] as Node).builder.apply({ op, ...settings }, nodes);
}

export interface LinearOptions {
  /** Whether there is a bias. Default true. */
  bias?: boolean;
  /** How its weights begin. Default `"default"`: variance gain/fan-in. */
  initial?: LayerInitial;
}

/**
 * W v + b. Its parameters are PyTorch's: `${name}.weight` [width, in] and `${name}.bias` [width].
 *
 * @throws PushforwardError `invalid-argument` for widths that are no positive integers and names used twice.
 */
export function linear(node: Node, width: number, name: string, options: LinearOptions = {}): Node {
  checkKeys("linear", options, ["bias", "initial"]);
  const { bias = true, initial = "default" } = options;
  return apply("linear", [node], { width, name, bias, initial });
}

/** φ(v), element by element. @throws PushforwardError `invalid-argument` for an unknown activation. */
export function activate(node: Node, activation: Activation): Node {
  return apply("activate", [node], { activation });
}

/** a + b + …, element by element. @throws PushforwardError `invalid-argument` unless all are of one width. */
export function add(...nodes: Node[]): Node {
  return apply("add", nodes);
}

/** a ⊙ b ⊙ …, element by element. @throws PushforwardError `invalid-argument` unless all are of one width. */
export function multiply(...nodes: Node[]): Node {
  return apply("multiply", nodes);
}

/** by · v. */
export function scale(node: Node, by: number): Node {
  return apply("scale", [node], { by });
}

/** v + by, element by element: 1 − t is `shift(scale(t, -1), 1)`. */
export function shift(node: Node, by: number): Node {
  return apply("shift", [node], { by });
}

/** The features of all nodes, one after the other. */
export function concat(...nodes: Node[]): Node {
  return apply("concat", nodes);
}

/** Features `start` … `end` − 1. @throws PushforwardError `invalid-argument` for a range that the node has not. */
export function slice(node: Node, start: number, end: number): Node {
  return apply("slice", [node], { start, end });
}

/** The frequencies of Fourier features: given, or drawn from a normal distribution of standard deviation `scale`. */
export type FourierOptions =
  | { /** [k][in], in turns per unit. */ frequencies: number[][] }
  | { count: number /** Default 1. */; scale?: number /** Default 0. */; seed?: number };

/**
 * Fourier features [sin 2πBv (k), cos 2πBv (k)] (Tancik et al. 2020, eq. 5). B is data of the network: it is saved with it and not
 * trained.
 *
 * @throws PushforwardError `invalid-argument` for rows of B that are not as long as the node is wide.
 */
export function fourier(node: Node, options: FourierOptions): Node {
  const { width } = nodeOf("fourier", node);
  checkKeys("fourier", options, ["frequencies", "count", "scale", "seed"]);
  if ("frequencies" in options) {
    const beside = Object.keys(options).find((key) => key !== "frequencies");
    if (beside !== undefined)
      throw invalid(
        `fourier: ${beside} is for frequencies that are drawn, but frequencies are given: leave one of them out`,
      );
    return apply("fourier", [node], { frequencies: options.frequencies });
  }
  const count = checkInteger("fourier: count", options.count, 1, 1 << 12);
  const spread = checkFinite("fourier: scale", options.scale ?? 1);
  const draws = normals(seedKey(options.seed ?? 0), streams.frequencies, 0, count * width, 1);
  const frequencies = Array.from({ length: count }, (_, k) =>
    Array.from(draws.subarray(k * width, (k + 1) * width), (draw) => Math.fround(spread * draw)),
  );
  return apply("fourier", [node], { frequencies });
}

/**
 * (v − mean) / √(variance + eps) ⊙ w + b over the features of a particle (Ba et al. 2016, eq. 4), with parameters `${name}.weight`
 * and `${name}.bias`.
 */
export function layerNorm(node: Node, name: string, options: { /** Default 1e-5. */ eps?: number } = {}): Node {
  checkKeys("layerNorm", options, ["eps"]);
  return apply("layerNorm", [node], { name, eps: options.eps ?? 1e-5 });
}

/** v / √(mean of v² + eps) ⊙ w over the features of a particle (Zhang & Sennrich 2019, eq. 4), with the parameter `${name}.weight`. */
export function rmsNorm(node: Node, name: string, options: { /** Default 1e-6. */ eps?: number } = {}): Node {
  checkKeys("rmsNorm", options, ["eps"]);
  return apply("rmsNorm", [node], { name, eps: options.eps ?? 1e-6 });
}
