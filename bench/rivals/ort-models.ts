import type { Network, Work } from "../contender.ts";
import { type Layer, splitLayers } from "./layers.ts";
import { GraphBuilder, type Value } from "./onnx-graph.ts";

/** The layers of a network as constants of a graph, used by every evaluation in it. */
class NetworkInGraph {
  readonly #graph: GraphBuilder;
  readonly #network: Network;
  readonly #layers: readonly Layer[];
  readonly #timeWeight: Float32Array;
  readonly #weights: readonly Value[];
  /** Without the first, which holds the time's part, and the last, which is scaled. */
  readonly #middleBiases: readonly Value[];

  constructor(graph: GraphBuilder, network: Network) {
    const { layers, timeWeight } = splitLayers(network);
    this.#graph = graph;
    this.#network = network;
    this.#layers = layers;
    this.#timeWeight = timeWeight;
    this.#weights = layers.map(({ weight, inputs, outputs }) => graph.constant(weight, [inputs, outputs]));
    this.#middleBiases = layers.slice(1, -1).map(({ bias, outputs }) => graph.constant(bias, [outputs]));
  }

  /** u_t(y); the time is a constant of the graph, in the first layer's bias. */
  velocity(y: Value, t: number): Value {
    return this.#lastProduct(this.#activations(y, t), 1, undefined);
  }

  /** x + h u_t(y): the last layer's product takes h as its factor and the state as what it adds to. */
  advance(x: Value, y: Value, t: number, h: number): Value {
    return this.#lastProduct(this.#activations(y, t), h, x);
  }

  #activations(y: Value, t: number): Value {
    return this.#layers.slice(0, -1).reduce<Value>((h, layer, l) => {
      const bias = l === 0 ? this.#biasAt(layer, t) : (this.#middleBiases[l - 1] as Value); // one for each layer between
      return this.#activate(this.#graph.node("Gemm", [h, this.#weights[l] as Value, bias]));
    }, y);
  }

  #biasAt({ bias, outputs }: Layer, t: number): Value {
    const values = bias.map((b, j) => b + t * (this.#timeWeight[j] ?? 0));
    return this.#graph.constant(values, [outputs]);
  }

  /** silu is the QuickGelu of ONNX Runtime's own operators with α = 1: one dispatch instead of two. */
  #activate(z: Value): Value {
    switch (this.#network.activation) {
      case "silu":
        return this.#graph.node("QuickGelu", [z], { domain: "com.microsoft", alpha: 1 });
      case "relu":
        return this.#graph.node("Relu", [z]);
      case "tanh":
        return this.#graph.node("Tanh", [z]);
    }
  }

  /** α (h W + b) + x. */
  #lastProduct(h: Value, alpha: number, x: Value | undefined): Value {
    const l = this.#layers.length - 1;
    const { bias, outputs } = this.#layers[l] as Layer; // a network has a layer
    const scaled = this.#graph.constant(
      bias.map((b) => alpha * b),
      [outputs],
    );
    const added = x === undefined ? scaled : this.#graph.node("Add", [x, scaled]);
    return this.#graph.node("Gemm", [h, this.#weights[l] as Value, added], { alpha });
  }
}

/** The whole of a work as one graph, every step unrolled. */
export function modelOf(work: Extract<Work, { kind: "velocity" | "sample" }>): Uint8Array {
  const { dim, hidden } = work.network;
  if (hidden.length === 0) throw new Error("a network without hidden layers has no work for this runtime");
  const graph = new GraphBuilder();
  const network = new NetworkInGraph(graph, work.network);
  if (work.kind === "velocity") return graph.write(network.velocity("x", work.t), work.n, dim);
  let x: Value = "x";
  const h = 1 / work.steps;
  for (let k = 0; k < work.steps; k++) {
    const isEuler = work.method === "euler";
    const y = isEuler ? x : network.advance(x, x, k * h, h / 2);
    x = network.advance(x, y, isEuler ? k * h : (k + 0.5) * h, h);
  }
  return graph.write(x, work.n, dim);
}
