import * as tf from "@tensorflow/tfjs-core";
import type { Work } from "../contender.ts";
import { joinedLayers } from "./layers.ts";
import { allTensors, type DeviceLayers, forward, uploadLayers } from "./tfjs-network.ts";
import type { Program } from "./tfjs-programs.ts";

/** Trainable copies of the layers. */
function variablesOf({ weights, biases }: DeviceLayers): DeviceLayers<tf.Variable> {
  return { weights: weights.map((w) => tf.variable(w)), biases: biases.map((b) => tf.variable(b)) };
}

/** A standard normal pair by Box and Muller, in place. */
function fillNormal(values: Float32Array): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - Math.random()));
    const angle = 2 * Math.PI * Math.random();
    values[i] = radius * Math.cos(angle);
    values[i + 1] = radius * Math.sin(angle);
  }
}

/** One step: draws, conditional optimal-transport path, `variableGrads`, Adam; only the last loss of a run is kept. */
export function trainProgram(work: Extract<Work, { kind: "train" }>): Program {
  const { network, batch, stepsPerRun } = work;
  const { dim } = network;
  const rows = work.data.length / dim;
  const data = tf.tensor2d(work.data, [rows, dim]);
  const uploaded = uploadLayers(joinedLayers(network));
  const layers = variablesOf(uploaded);
  tf.dispose(allTensors(uploaded));
  const optimizer = tf.train.adam(1e-3, 0.9, 0.999, 1e-8);
  const noise = new Float32Array(batch * dim);

  const step = (): tf.Scalar => {
    const indices = Int32Array.from({ length: batch }, () => Math.floor(Math.random() * rows));
    const times = Float32Array.from({ length: batch }, Math.random);
    fillNormal(noise);
    const x1 = tf.gather(data, tf.tensor1d(indices, "int32"));
    const x0 = tf.tensor2d(noise.slice(), [batch, dim]);
    const t = tf.tensor2d(times, [batch, 1]);
    const target = tf.sub(x1, x0);
    const input = tf.concat2d([tf.add<tf.Tensor2D>(x0, tf.mul(t, target)), t], 1);
    const { value, grads } = tf.variableGrads(() =>
      tf.mean<tf.Scalar>(tf.square(tf.sub(forward(network, layers, input), target))),
    );
    optimizer.applyGradients(Object.entries(grads).map(([name, tensor]) => ({ name, tensor })));
    return value;
  };

  return {
    start() {
      let loss: tf.Scalar | undefined;
      for (let k = 0; k < stepsPerRun; k++) {
        loss?.dispose();
        loss = tf.tidy(step);
      }
      if (loss === undefined) throw new Error("a run has at least one step");
      return loss;
    },
    dispose() {
      tf.dispose([...allTensors(layers), data]);
      optimizer.dispose();
    },
  };
}
