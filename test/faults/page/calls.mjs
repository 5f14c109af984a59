// The calls that are disturbed, each about a second long on SwiftShader and at least ten chunks or steps.
import { Flow, mlp, toyData, trainFlowMatching, wgslVelocity } from "/dist/pushforward.min.js";

/**
 * @typedef {object} Call
 * @property {(gpu: import("pushforward").Gpu) => import("pushforward").Flow} create
 * @property {(flow: import("pushforward").Flow, told: Told, signal: AbortSignal) => Promise<ArrayBufferView[] | "left">} run
 *   resolves to all that the call gave
 * @callback Told is called with the part of the call that is done, and says whether to leave a stream early
 * @param {number} done from 0 to 1; {@link trained} for a training that has ended, before its weights are read
 * @returns {Promise<"go on" | "leave">}
 */

export const trained = 2;

const dim = 2;
const chunkSize = 1024;

/** Every particle once and in order, whatever the chunks. */
async function gather(stream, count, told) {
  const x = new Float32Array(dim * count);
  const logProb = new Float32Array(count);
  let next = 0;
  for await (const chunk of stream) {
    if (chunk.start !== next) throw new Error(`particle ${next} was due, but the chunk begins with ${chunk.start}`);
    x.set(chunk.x, dim * chunk.start);
    logProb.set(chunk.logProb, chunk.start);
    next += chunk.count;
    if ((await told(next / count)) === "leave") return "left";
  }
  if (next !== count) throw new Error(`the stream ended after ${next} of ${count} particles`);
  return [x, logProb];
}

const network = { dim, hidden: [16, 16] };

/** @type {Record<string, Float32Array> | undefined} of the flow that is trained */
let beginning;

/** @type {Record<string, Call>} */
export const calls = {
  "sampleStream of an mlp": {
    create: (gpu) => Flow.create(gpu, { velocity: mlp(network), seed: 1 }),
    run(flow, told, signal) {
      const count = 16 * chunkSize + 1;
      const solver = { method: "rk4", steps: 20 };
      return gather(flow.sampleStream(count, { seed: 2, logProb: true, chunkSize, solver, signal }), count, told);
    },
  },

  "sampleStream of a WGSL field": {
    create: (gpu) =>
      Flow.create(gpu, {
        velocity: wgslVelocity({
          dim,
          code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> {
            return array<f32, DIM>(sin(3.0 * x[1]) - t * x[0], cos(2.0 * x[0]) * exp(-x[1] * x[1]));
          }`,
        }),
      }),
    run(flow, told, signal) {
      const count = 24 * chunkSize + 5;
      const solver = { method: "midpoint", steps: 400 };
      return gather(flow.sampleStream(count, { seed: 3, logProb: true, chunkSize, solver, signal }), count, told);
    },
  },

  logProb: {
    create: (gpu) => Flow.create(gpu, { velocity: mlp(network), seed: 4 }),
    async run(flow, told, signal) {
      // nobody can hold it up, so it is longer than the others
      const rows = toyData("moons", 20 * chunkSize + 3, 5);
      const solver = { method: "rk4", steps: 20 };
      const onProgress = ({ done, total }) => told(done / total);
      const { logProb, x0 } = await flow.logProb(rows, { chunkSize, solver, signal, onProgress });
      return [logProb, x0];
    },
  },

  trainFlowMatching: {
    create: (gpu) => Flow.create(gpu, { velocity: mlp({ dim, hidden: [16] }), seed: 6 }),
    async run(flow, told, signal) {
      const steps = 301;
      const data = toyData("moons", 2001, 7);
      const options = { steps, batchSize: 512, ema: 0.9, seed: 8, logEvery: 15, signal };
      const losses = [];
      // The flow holds what the run before has learned, and each run begins with the same weights.
      beginning ??= await flow.weights();
      flow.setWeights(beginning);
      for await (const { step, loss } of trainFlowMatching(flow, data, options)) {
        losses.push(step, loss);
        if ((await told(step / steps)) === "leave") return "left";
      }
      await told(trained);
      return [Float64Array.from(losses), await flow.save()];
    },
  },
};
