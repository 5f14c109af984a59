import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import * as tf from "@tensorflow/tfjs-core";
// The core alone knows no derivatives; the package that usually brings them brings the layers API too.
import "@tensorflow/tfjs-core/dist/register_all_gradients.js";
import type { Contender, ContenderModule, Prepared, Work } from "../contender.ts";
import { prepareInBatches } from "./batches.ts";
import { provideNavigatorGpu } from "./navigator.ts";
import packageFile from "./package.json" with { type: "json" };
import { likelihoodProgram, type Program, sampleProgram, velocityProgram } from "./tfjs-programs.ts";
import { trainProgram } from "./tfjs-train.ts";
import { Wait } from "./waiting.ts";

function programOf(work: Work): Program | string {
  switch (work.kind) {
    case "velocity":
      return velocityProgram(work);
    case "sample":
      return sampleProgram(work);
    case "likelihood":
      return likelihoodProgram(work);
    case "train":
      return trainProgram(work);
  }
}

async function prepare(work: Work, backend: WebGPUBackend, wait: Wait): Promise<Prepared | string> {
  const program = programOf(work);
  if (typeof program === "string") return program;
  let result: tf.Tensor | undefined;
  const run = () =>
    wait.run(
      async () => {
        result?.dispose();
        result = program.start();
        // Dispatches are submitted in batches: the last one may not be full, and there must be an encoder to submit.
        backend.ensureCommandEncoderReady();
        backend.endComputePassEncoder();
        backend.submitQueue();
      },
      () => backend.device.queue.onSubmittedWorkDone(),
    );
  await run();
  return {
    run,
    async result() {
      if (result === undefined) throw new Error("nothing has been run");
      return Float32Array.from(await result.data());
    },
    dispose() {
      result?.dispose();
      result = undefined;
      program.dispose();
    },
  };
}

/**
 * [TensorFlow.js](https://www.tensorflow.org/js) with its WebGPU backend: a dispatch per operation, tiled matrix products with the
 * bias fused. It has no graph compiler for code like this, so there is nothing like `jit` to turn on.
 *
 * What was done to make it fast: core operations without the layers API; `fused.matMul` with bias (and the activation, where the
 * library can fuse it: relu; silu is a sigmoid and a product); every step in a `tidy`, so that buffers are used again; inputs and
 * weights stay on the device; the first layer's bias at each stage's time is computed once, outside the timed run; training by
 * `variableGrads` and `train.adam`, with draws in one typed-array loop, because `randomNormal` runs on the CPU too and is slower;
 * in Node it waits as we wait (see waiting.ts).
 */
export const contender: ContenderModule = {
  homes: ["node", "chrome", "deno"],
  async open({ home, gpu, device }): Promise<Contender> {
    provideNavigatorGpu(gpu);
    // Registers the backend only where navigator.gpu exists at the time of the import.
    await import("@tensorflow/tfjs-backend-webgpu");
    if (!(await tf.setBackend("webgpu")))
      throw new Error("TensorFlow.js has no WebGPU backend here: is navigator.gpu there?");
    await tf.ready();
    const backend = tf.backend() as WebGPUBackend;
    return {
      name: "tfjs",
      version: packageFile.dependencies["@tensorflow/tfjs-core"],
      prepare: (work) => prepareInBatches(work, device.limits, (part) => prepare(part, backend, new Wait(home))),
      dispose: () => tf.removeBackend("webgpu"),
    };
  },
};
