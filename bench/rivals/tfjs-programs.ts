import * as tf from "@tensorflow/tfjs-core";
import type { Work } from "../contender.ts";
import { forward, forwardForGradients, uploadTimedNetwork } from "./tfjs-network.ts";

/** Work as TensorFlow.js sees it: `start` queues one run and gives its result. */
export interface Program {
  start(): tf.Tensor;
  dispose(): void;
}

export function velocityProgram({ network, x, n, t }: Extract<Work, { kind: "velocity" }>): Program {
  const { layers, firstBiases, dispose } = uploadTimedNetwork(network, [t]);
  const points = tf.tensor2d(x, [n, network.dim]);
  return {
    start: () => tf.tidy(() => forward(network, layers, points, firstBiases[0])),
    dispose() {
      dispose();
      points.dispose();
    },
  };
}

/** Two times a step, its start and its middle, from `from` on. */
function timesOfSteps(from: number, h: number, steps: number): number[] {
  return Array.from({ length: 2 * steps }, (_, k) => from + (k / 2) * h);
}

export function sampleProgram(work: Extract<Work, { kind: "sample" }>): Program {
  const { network, n, method, steps } = work;
  const h = 1 / steps;
  const { layers, firstBiases, dispose } = uploadTimedNetwork(network, timesOfSteps(0, h, steps));
  const x0 = tf.tensor2d(work.x, [n, network.dim]);
  return {
    start() {
      let x = x0.clone();
      for (let k = 0; k < steps; k++) {
        const next = tf.tidy(() => {
          const u = forward(network, layers, x, firstBiases[2 * k]);
          if (method === "euler") return tf.add<tf.Tensor2D>(x, tf.mul(u, h));
          const y = tf.add<tf.Tensor2D>(x, tf.mul(u, h / 2));
          return tf.add<tf.Tensor2D>(x, tf.mul(forward(network, layers, y, firstBiases[2 * k + 1]), h));
        });
        x.dispose();
        x = next;
      }
      return x;
    },
    dispose() {
      dispose();
      x0.dispose();
    },
  };
}

/** More reverse passes per evaluation than this: no one would ask for it. */
const mostExactDimensions = 16;

/** TensorFlow.js has reverse mode only: ⟨v, J v⟩ is ⟨Jᵀ v, v⟩, one `valueAndGrad` with the cotangent v. */
export function likelihoodProgram(work: Extract<Work, { kind: "likelihood" }>): Program | string {
  const { network, n, method, steps, divergence } = work;
  const { dim } = network;
  if (divergence === "exact" && dim > mostExactDimensions)
    return `the exact divergence by ${dim} reverse passes was left out above ${mostExactDimensions} dimensions`;
  const h = -1 / steps;
  const { layers, firstBiases, dispose } = uploadTimedNetwork(network, timesOfSteps(1, h, steps));
  const x1 = tf.tensor2d(work.x, [n, dim]);
  const units = divergence === "exact" ? Array.from({ length: dim }, (_, k) => unitRows(n, dim, k)) : [];
  const stepOverDirections = divergence === "exact" ? h : h / divergence.probes;

  /** One step of (x, g); the directions share one forward pass as little as the library lets them: each has its own. */
  const advance = (x: tf.Tensor2D, g: tf.Tensor, k: number, directions: readonly tf.Tensor2D[]) =>
    tf.tidy(() => {
      const isEuler = method === "euler";
      const bias = firstBiases[isEuler ? 2 * k : 2 * k + 1] as tf.Tensor; // two times a step were asked for
      const y = isEuler ? x : tf.add<tf.Tensor2D>(x, tf.mul(forward(network, layers, x, firstBiases[2 * k]), h / 2));
      const evaluate = tf.valueAndGrad((state) => forwardForGradients(network, layers, state as tf.Tensor2D, bias));
      let next = { x, g };
      directions.forEach((v, i) => {
        const { value, grad } = evaluate(y, v);
        const sum = tf.sum(tf.mul(grad, v), 1);
        next = {
          x: i === 0 ? tf.add<tf.Tensor2D>(x, tf.mul(value, h)) : next.x,
          g: tf.sub(next.g, tf.mul(sum, stepOverDirections)),
        };
      });
      return next;
    });

  return {
    start() {
      const drawn = divergence === "exact" ? [] : Array.from({ length: divergence.probes }, () => signs(n, dim));
      let state: { x: tf.Tensor2D; g: tf.Tensor } = { x: x1.clone(), g: tf.zeros([n]) };
      for (let k = 0; k < steps; k++) {
        const next = advance(state.x, state.g, k, [...units, ...drawn]);
        tf.dispose([state.x, state.g]);
        state = next;
      }
      const result = tf.tidy(() => {
        const logSource = tf.sub(tf.mul(tf.sum(tf.square(state.x), 1), -0.5), (dim / 2) * Math.log(2 * Math.PI));
        return tf.sub(logSource, state.g);
      });
      tf.dispose([state.x, state.g, ...drawn]);
      return result;
    },
    dispose() {
      dispose();
      tf.dispose([x1, ...units]);
    },
  };
}

/** e_k in every row. */
function unitRows(n: number, dim: number, k: number): tf.Tensor2D {
  return tf.tensor2d(
    Float32Array.from({ length: n * dim }, (_, i) => (i % dim === k ? 1 : 0)),
    [n, dim],
  );
}

function signs(n: number, dim: number): tf.Tensor2D {
  return tf.tensor2d(
    Float32Array.from({ length: n * dim }, () => (Math.random() < 0.5 ? -1 : 1)),
    [n, dim],
  );
}
