import * as ort from "onnxruntime-web/webgpu";
import type { Contender, ContenderModule, Prepared, Work } from "../contender.ts";
import { prepareInBatches } from "./batches.ts";
import { modelOf } from "./ort-models.ts";
import packageFile from "./package.json" with { type: "json" };

const bytesPerFloat = 4;

function storage(device: GPUDevice, floats: number): GPUBuffer {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  // Multiples of 16 bytes, as the runtime's own buffers are.
  return device.createBuffer({ size: Math.ceil((floats * bytesPerFloat) / 16) * 16, usage });
}

async function readFloats(device: GPUDevice, source: GPUBuffer, floats: number): Promise<Float32Array> {
  const size = floats * bytesPerFloat;
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  staging.destroy();
  return values;
}

/** Releases that are under way: a session that is made meanwhile would lose the runtime's link to the device. */
let releasing: Promise<void> = Promise.resolve();

async function prepare(work: Work, device: GPUDevice): Promise<Prepared | string> {
  if (work.kind === "train") return "ONNX Runtime Web cannot train: its releases hold inference only";
  if (work.kind === "likelihood")
    return "ONNX Runtime Web has no derivatives: a divergence would have to be written into the graph by hand";
  await releasing;
  const session = await ort.InferenceSession.create(modelOf(work), {
    executionProviders: [{ name: "webgpu", device }],
    graphOptimizationLevel: "all",
  });
  const dims = [work.n, work.network.dim];
  const floats = work.n * work.network.dim;
  const [input, output] = [storage(device, floats), storage(device, floats)];
  device.queue.writeBuffer(input, 0, new Float32Array(work.x));
  const feeds = { x: ort.Tensor.fromGpuBuffer(input, { dataType: "float32", dims }) };
  const fetches = { y: ort.Tensor.fromGpuBuffer(output, { dataType: "float32", dims }) };
  const run = async () => {
    await session.run(feeds, fetches);
    await device.queue.onSubmittedWorkDone();
  };
  await run();
  return {
    run,
    result: () => readFloats(device, output, floats),
    dispose() {
      feeds.x.dispose();
      fetches.y.dispose();
      input.destroy();
      output.destroy();
      releasing = releasing.then(() => session.release());
    },
  };
}

/**
 * [ONNX Runtime Web](https://onnxruntime.ai/docs/tutorials/web/) with its WebGPU execution provider, the one that is also the
 * native provider, compiled to WebAssembly. It runs a graph that is given to it as a file; here it is written in memory.
 *
 * What was done to make it fast, after its own performance guide: the whole trajectory is one graph with static shapes (one call,
 * no host between steps); input and output are bound to GPU buffers and stay there; `Gemm` with the bias, with the step size as its
 * factor and the state as its addend (`MatMul` and `Add` took as long); silu as the one-dispatch `QuickGelu`; the time is folded
 * into constants; it shares our device, so that features and limits are the same. Graph capture is off: with outputs of the
 * caller's, release 1.30 keeps the binding of the first run although it has let go of its buffers, and later runs fail.
 */
export const contender: ContenderModule = {
  homes: ["chrome"],
  async open({ device }): Promise<Contender> {
    ort.env.logLevel = "error";
    // The runtime's WebAssembly lies beside the bundle (see bundle.mjs). Threads are for its CPU kernels, and there are none.
    ort.env.wasm.numThreads = 1;
    return {
      name: "onnxruntime-web",
      version: packageFile.dependencies["onnxruntime-web"],
      prepare: (work) => prepareInBatches(work, device.limits, (part) => prepare(part, device)),
      // The runtime keeps its WebAssembly instance for the life of the page.
      dispose() {},
    };
  },
};
