import { defaultDevice, init, type Array as JaxArray } from "@jax-js/jax";
import type { Contender, ContenderModule, Prepared, Work } from "../contender.ts";
import { prepareInBatches } from "./batches.ts";
import { likelihoodProgram, sampleProgram, velocityProgram } from "./jax-js-programs.ts";
import { trainProgram } from "./jax-js-train.ts";
import { provideNavigatorGpu } from "./navigator.ts";
import packageFile from "./package.json" with { type: "json" };
import { Wait } from "./waiting.ts";

/** Work as jax-js sees it: `start` queues one run and gives its result. */
export interface Program {
  start(): JaxArray;
  dispose(): void;
}

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

async function prepare(work: Work, wait: Wait): Promise<Prepared | string> {
  const program = programOf(work);
  if (typeof program === "string") return program;
  let result: JaxArray | undefined;
  const run = () =>
    wait.run(
      async () => {
        result?.dispose();
        result = program.start();
        // Compiles what is new and submits, without waiting for the device.
        await result.ref.gpuBuffer();
      },
      async () => {
        await result?.blockUntilReady();
      },
    );
  await run();
  return {
    run,
    async result() {
      if (result === undefined) throw new Error("nothing has been run");
      return Float32Array.from((await result.ref.data()) as Float32Array);
    },
    dispose() {
      result?.dispose();
      result = undefined;
      program.dispose();
    },
  };
}

/**
 * [jax-js](https://github.com/ekzhang/jax-js), a JAX in TypeScript with a WebGPU back end: `jit` fuses elementwise work into the
 * matrix products, so a hidden layer is one dispatch.
 *
 * What was done to make it fast: everything that runs is under `jit` (the whole trajectory, one training step with its draws and
 * Adam); inputs and weights live on the device; weights are `[in, out]` rows, the fastest of five layouts tried on two adapters;
 * the time enters as a bias of the first layer instead of a column joined to the state; stages without weight carry no tangents,
 * and all tangents share one evaluation (`linearize`, then `vmap` of the linear map: 1.5 times faster than `vmap` of `jvp` and
 * than `jvp` for each direction); in Node it waits as we wait (see waiting.ts).
 */
export const contender: ContenderModule = {
  homes: ["node", "chrome", "deno"],
  async open({ home, gpu, device }): Promise<Contender> {
    provideNavigatorGpu(gpu);
    const devices = await init("webgpu");
    if (!devices.includes("webgpu")) throw new Error("jax-js found no WebGPU adapter: is navigator.gpu there?");
    defaultDevice("webgpu");
    return {
      name: "jax-js",
      version: packageFile.dependencies["@jax-js/jax"],
      prepare: (work) => prepareInBatches(work, device.limits, (part) => prepare(part, new Wait(home))),
      // The library keeps its device for the life of the process and offers nothing to close it.
      dispose() {},
    };
  },
};
