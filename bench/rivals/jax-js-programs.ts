import { type Array as JaxArray, jit, linearize, nn, numpy as np, random, tree, vmap } from "@jax-js/jax";
import type { Network, Work } from "../contender.ts";
import type { Program } from "./jax-js.ts";
import { splitLayers } from "./layers.ts";

/** A network's weights on the device; `type`, because jax-js takes only those as trees of arrays. */
export type Parameters = { weights: JaxArray[]; biases: JaxArray[]; timeWeight: JaxArray };

export function uploadNetwork(network: Network): Parameters {
  const { layers, timeWeight } = splitLayers(network);
  return {
    weights: layers.map(({ weight, inputs, outputs }) => matrix(weight, inputs, outputs)),
    biases: layers.map(({ bias }) => np.array(new Float32Array(bias))),
    timeWeight: np.array(new Float32Array(timeWeight)),
  };
}

export function matrix(values: Float32Array, rows: number, columns: number): JaxArray {
  return np.array(new Float32Array(values)).reshape([rows, columns]);
}

const activations = { silu: nn.silu, relu: nn.relu, tanh: np.tanh };

/**
 * u_t(x) for the rows of x, with t of one value, or of one per row `[n, 1]`.
 * As everything in jax-js it owns x and t, but not the parameters: they serve many calls of one trace.
 */
export function velocity(network: Network, parameters: Parameters, x: JaxArray, t: JaxArray): JaxArray {
  const activate = activations[network.activation];
  const { weights, biases, timeWeight } = parameters;
  let h = x;
  weights.forEach((weight, l) => {
    const bias = (biases[l] as JaxArray).ref; // there are as many biases as weights
    h = np.matmul(l === 0 ? h : activate(h), weight.ref);
    h = h.add(l === 0 ? t.mul(timeWeight.ref).add(bias) : bias);
  });
  return h;
}

export function velocityProgram(work: Extract<Work, { kind: "velocity" }>): Program {
  const parameters = uploadNetwork(work.network);
  const x = matrix(work.x, work.n, work.network.dim);
  const t = np.array([work.t]);
  const evaluate = jit((p: Parameters, y: JaxArray, time: JaxArray) => {
    const u = velocity(work.network, p, y, time);
    tree.dispose(p);
    return u;
  });
  return {
    start: () => evaluate(tree.ref(parameters), x.ref, t.ref),
    dispose: () => {
      tree.dispose([parameters, x, t]);
      evaluate.dispose();
    },
  };
}

/** The times of `steps` equal steps from `from` to `to`, without the last one. */
function startTimes(from: number, to: number, steps: number): JaxArray[] {
  return Array.from({ length: steps }, (_, k) => np.array([from + (to - from) * (k / steps)]));
}

/** The whole trajectory is one program: jit sees every step and allocates nothing anew from run to run. */
export function sampleProgram(work: Extract<Work, { kind: "sample" }>): Program {
  const { network, steps, method } = work;
  const parameters = uploadNetwork(network);
  const x0 = matrix(work.x, work.n, network.dim);
  const times = startTimes(0, 1, steps);
  const h = 1 / steps;
  const trajectory = jit((p: Parameters, x: JaxArray, ts: JaxArray[]) => {
    for (const t of ts) {
      const at = method === "euler" ? { y: x.ref, time: t } : halfWay(network, p, x.ref, t, h);
      x = x.add(velocity(network, p, at.y, at.time).mul(h));
    }
    tree.dispose(p);
    return x;
  });
  return {
    start: () => trajectory(tree.ref(parameters), x0.ref, tree.ref(times)),
    dispose: () => {
      tree.dispose([parameters, x0, times]);
      trajectory.dispose();
    },
  };
}

/** State and time in the middle of a midpoint step. */
function halfWay(network: Network, p: Parameters, x: JaxArray, t: JaxArray, h: number) {
  const y = x.ref.add(velocity(network, p, x, t.ref).mul(h / 2));
  return { y, time: t.add(h / 2) };
}

/** More tangents than this would be d evaluations' worth of memory at once and d² work: no one would ask for it. */
const mostExactDimensions = 16;

export function likelihoodProgram(work: Extract<Work, { kind: "likelihood" }>): Program | string {
  const { network, n, steps, method, divergence } = work;
  const { dim } = network;
  if (divergence === "exact" && dim > mostExactDimensions)
    return `the exact divergence by ${dim} tangents was left out above ${mostExactDimensions} dimensions`;
  const parameters = uploadNetwork(network);
  const x1 = matrix(work.x, n, dim);
  const times = startTimes(1, 0, steps);
  const h = -1 / steps;
  const unitTangents = np.array(unitVectors(dim, n)).reshape([dim, n, dim]);

  const solve = jit((p: Parameters, x: JaxArray, ts: JaxArray[], tangents: JaxArray) => {
    let g = np.zeros([n]);
    for (const t of ts) {
      const { y, time } = method === "euler" ? { y: x.ref, time: t } : halfWay(network, p, x.ref, t, h);
      const [u, jacobian] = linearize((state: JaxArray) => velocity(network, p, state, time.ref), [y]);
      const products = vmap(jacobian)(tangents.ref);
      jacobian.dispose();
      time.dispose();
      const contributions = products.mul(tangents.ref).sum([0, 2]);
      g = g.sub((divergence === "exact" ? contributions : contributions.div(divergence.probes)).mul(h));
      x = x.add(u.mul(h));
    }
    tangents.dispose();
    tree.dispose(p);
    return np
      .square(x)
      .sum(1)
      .mul(-0.5)
      .sub((dim / 2) * Math.log(2 * Math.PI))
      .sub(g);
  });
  const draw = jit((key: JaxArray) => {
    const [next, now] = np.unstack(random.split(key, 2)) as [JaxArray, JaxArray];
    const shape = [divergence === "exact" ? 1 : divergence.probes, n, dim];
    return [next, random.rademacher(now, { shape, dtype: np.float32 })];
  });
  let key = random.key(1);
  return {
    start() {
      let tangents = unitTangents.ref;
      if (divergence !== "exact") {
        tangents.dispose();
        [key, tangents] = draw(key) as [JaxArray, JaxArray];
      }
      return solve(tree.ref(parameters), x1.ref, tree.ref(times), tangents);
    },
    dispose: () => {
      tree.dispose([parameters, x1, times, unitTangents, key]);
      solve.dispose();
      draw.dispose();
    },
  };
}

/** e_k in every row of block k: `[dim, n, dim]`. */
function unitVectors(dim: number, n: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(dim * n * dim);
  for (let k = 0; k < dim; k++) for (let i = 0; i < n; i++) values[(k * n + i) * dim + k] = 1;
  return values;
}
