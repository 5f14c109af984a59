// Adapter, features, limits; ceilings; overheads. Every part by itself: a failure of one leaves the others.

import { args, configs, elapsed, end, errors, findAdapter, left, log, open, plain, resolve, save } from "./device.mjs";
import { overheads, readBack, upload } from "./overheads.mjs";
import { ceiling, copyBandwidth, projectCeiling, weightReads } from "./rates.mjs";
import { subgroupMatrix } from "./subgroup-matrix.mjs";

const out = { kind: "info", errors };
const write = () => save(args.out, out);
async function part(name, work) {
  if (left() < 3) {
    out[name] = { skipped: "no time left" };
    return;
  }
  const start = elapsed();
  try {
    out[name] = await work();
    log(`${name}: ${(elapsed() - start).toFixed(1)} s`);
  } catch (error) {
    out[name] = { failed: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
    log(`${name} FAILED: ${error instanceof Error ? error.message : String(error)}`);
  }
  write();
}
await part("adapter", async () => {
  const adapter = await findAdapter();
  const info = plain(adapter.info);
  info.subgroupMatrixConfigs = configs(adapter.info);
  return { info, features: [...adapter.features].sort(), limits: plain(adapter.limits), node: process.version };
});
await part("unsafe", async () => {
  const adapter = await findAdapter(["enable-dawn-features=allow_unsafe_apis"]);
  return { features: [...adapter.features].sort(), subgroupMatrixConfigs: configs(adapter.info) };
});
let gpu;
await part("library", async () => {
  gpu = await open(false);
  const { info, memoryBudget } = gpu;
  const wanted = [
    "maxBufferSize",
    "maxStorageBufferBindingSize",
    "maxUniformBufferBindingSize",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
  ];
  return { info, memoryBudget, limits: Object.fromEntries(wanted.map((name) => [name, gpu.device.limits[name]])) };
});

/** What the measurements use of a device. */
function toolsOf(gpu) {
  const { device } = gpu;
  const hasTime = device.features.has("timestamp-query");
  async function pipelineOf(code, label, constants) {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code, label });
    const made = device.createComputePipelineAsync({
      layout: "auto",
      compute: { module, entryPoint: "main", ...(constants && { constants }) },
    });
    const error = await device.popErrorScope();
    if (error) throw new Error(`${label}: ${error.message}`);
    return made;
  }
  /** Seconds on the GPU of passes, one timestamp pair each; the wall beside it. */
  async function timed(encode, passes = 1) {
    const set = hasTime ? device.createQuerySet({ type: "timestamp", count: 2 * passes }) : undefined;
    const start = performance.now();
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < passes; i++) {
      const pass = encoder.beginComputePass(
        set
          ? { timestampWrites: { querySet: set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } }
          : {},
      );
      encode(pass);
      pass.end();
    }
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    const wall = (performance.now() - start) / 1000;
    let onGpu = wall;
    if (set) {
      const times = await resolve(device, set, 2 * passes);
      onGpu = times[2 * passes - 1] - times[0];
      set.destroy();
    }
    return { gpu: onGpu, wall };
  }
  const storage = (size) =>
    device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC });
  return { gpu, device, pipelineOf, timed, storage };
}

if (gpu) {
  const on = toolsOf(gpu);
  await part("copyBandwidth", () => copyBandwidth(on));
  await part("readBack", () => readBack(on));
  await part("upload", () => upload(on));
  await part("overheads", () => overheads(on));
  await part("ceilingF32", () => ceiling(on, "f32"));
  await part("weightReads", () => weightReads(on));
  await part("subgroupMatrix", subgroupMatrix);
  if (on.device.features.has("shader-f16")) await part("ceilingF16", () => ceiling(on, "f16"));
  await part("projectCeiling", () => projectCeiling(on));
  gpu.dispose();
}
write();
end(gpu ? 0 : 1);
