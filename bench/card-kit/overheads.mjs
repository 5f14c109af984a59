// What launches, waits and transfers cost.
import { isTiny, left, log, median, seconds } from "./device.mjs";

/** Seconds to read back, by bytes. */
export async function readBack({ device, storage }) {
  const rows = [];
  for (const bytes of isTiny ? [4, 1 << 20] : [4, 1 << 16, 1 << 20, 1 << 24, 1 << 26, 1 << 28]) {
    if (left() < 3) break;
    const source = storage(Math.max(bytes, 16));
    const staging = device.createBuffer({ size: bytes, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const mapped = [];
    const sliced = [];
    const repeats = bytes > 1 << 25 ? 3 : 10;
    for (let i = 0; i < repeats; i++) {
      const start = performance.now();
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, staging, 0, bytes);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      mapped.push((performance.now() - start) / 1000);
      const from = performance.now();
      staging.getMappedRange().slice(0);
      sliced.push((performance.now() - from) / 1000);
      staging.unmap();
    }
    source.destroy();
    staging.destroy();
    rows.push({
      bytes,
      copyAndMap: median(mapped),
      slice: median(sliced),
      best: Math.min(...mapped),
      bytesPerSecond: bytes / (median(mapped) + median(sliced)),
      sliceBytesPerSecond: bytes / median(sliced),
    });
  }
  const big = rows.at(-1);
  log(
    `read-back of ${big?.bytes} bytes: ${((big?.bytesPerSecond ?? 0) / 1e9).toFixed(2)} GB/s with slice; 4 bytes: ${(1e6 * (rows[0]?.copyAndMap ?? 0)).toFixed(0)} µs`,
  );
  return rows;
}

/** Seconds to upload, by bytes. */
export async function upload({ device, storage }) {
  const rows = [];
  for (const bytes of isTiny ? [1 << 20] : [256, 1 << 20, 1 << 24, 1 << 27]) {
    if (left() < 3) break;
    const target = storage(bytes);
    const data = new Float32Array(bytes / 4).fill(1);
    const times = [];
    const calls = [];
    for (let i = 0; i < (bytes > 1 << 25 ? 3 : 8); i++) {
      times.push(
        await seconds(async () => {
          const start = performance.now();
          device.queue.writeBuffer(target, 0, data);
          calls.push((performance.now() - start) / 1000);
          device.queue.submit([]);
          await device.queue.onSubmittedWorkDone();
        }),
      );
    }
    target.destroy();
    rows.push({ bytes, seconds: median(times), call: median(calls), bytesPerSecond: bytes / median(times) });
  }
  return rows;
}

/** Seconds of a dispatch, a pass, a submit, a wait, an error scope, a bind group, a buffer. */
export async function overheads({ device, pipelineOf, timed, storage }) {
  const text = `
struct P { a: u32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) { out[id.x] += p.a; }`;
  const pipeline = await pipelineOf(text, "isTiny");
  const params = device.createBuffer({ size: 256 * 256, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  const buffer = storage(1 << 16);
  const entries = [
    { binding: 0, resource: { buffer: params, size: 256 } },
    { binding: 1, resource: { buffer } },
  ];
  const bind = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const dispatch = (pass, count, groups) => {
    pass.setPipeline(pipeline);
    for (let i = 0; i < count; i++) {
      pass.setBindGroup(0, bind);
      pass.dispatchWorkgroups(groups);
    }
  };
  const many = isTiny ? 50 : 1000;
  await timed((pass) => dispatch(pass, many, 1));
  const one = [];
  for (let i = 0; i < 5; i++) one.push(await timed((pass) => dispatch(pass, many, 1)));
  const encodeOnly = [];
  for (let i = 0; i < 5; i++) {
    encodeOnly.push(
      await seconds(async () => {
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        dispatch(pass, many, 1);
        pass.end();
        encoder.finish();
      }),
    );
  }
  // a pass for each: what a barrier between passes costs
  const passes = [];
  for (let i = 0; i < 3; i++) passes.push(await timed((pass) => dispatch(pass, 1, 1), Math.min(200, many)));
  /** Seconds of submits of a dispatch each, of which `before` comes first. */
  const submitting = async (before) => {
    const times = [];
    for (let i = 0; i < 5; i++) {
      times.push(
        await seconds(async () => {
          for (let k = 0; k < many / 10; k++) {
            before();
            const encoder = device.createCommandEncoder();
            const pass = encoder.beginComputePass();
            dispatch(pass, 1, 1);
            pass.end();
            device.queue.submit([encoder.finish()]);
          }
          await device.queue.onSubmittedWorkDone();
        }),
      );
    }
    return times;
  };
  const submits = await submitting(() => {});
  const bytes = new Uint8Array(256);
  const submitWrites = await submitting(() => device.queue.writeBuffer(params, 0, bytes));
  const waits = [];
  const idle = [];
  for (let i = 0; i < 20; i++) {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    dispatch(pass, 1, 1);
    pass.end();
    const commands = encoder.finish();
    waits.push(
      await seconds(async () => {
        device.queue.submit([commands]);
        await device.queue.onSubmittedWorkDone();
      }),
    );
    idle.push(await seconds(() => device.queue.onSubmittedWorkDone()));
  }
  const scopes = [];
  for (let i = 0; i < 20; i++)
    scopes.push(
      await seconds(async () => {
        device.pushErrorScope("validation");
        await device.popErrorScope();
      }),
    );
  const groups = [];
  for (let i = 0; i < 3; i++)
    groups.push(
      await seconds(async () => {
        for (let k = 0; k < 200; k++) device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
      }),
    );
  const buffers = [];
  for (let i = 0; i < 3; i++)
    buffers.push(
      await seconds(async () => {
        for (let k = 0; k < 20; k++) storage(1 << 22).destroy();
      }),
    );
  const result = {
    dispatchOnGpu: median(one.map(({ gpu }) => gpu)) / many,
    dispatchWall: median(one.map(({ wall }) => wall)) / many,
    dispatchEncode: median(encodeOnly) / many,
    passOnGpu: median(passes.map(({ gpu }) => gpu)) / Math.min(200, many),
    submit: median(submits) / (many / 10),
    submitWithWrite: median(submitWrites) / (many / 10),
    submitAndWait: median(waits),
    waitIdle: median(idle),
    errorScope: median(scopes),
    bindGroup: median(groups) / 200,
    bufferOf4MiB: median(buffers) / 20,
    setTimeout0: await seconds(() => new Promise((resolve) => setTimeout(resolve, 0))),
  };
  log(
    `overheads (µs): ${Object.entries(result)
      .map(([name, value]) => `${name} ${(1e6 * value).toFixed(1)}`)
      .join(", ")}`,
  );
  return result;
}
