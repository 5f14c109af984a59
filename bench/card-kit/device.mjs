// What the kit's programs share: a device with exact timestamps, GPU-side timing of any library call, results that are written as they come.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { openGpu } from "pushforward";
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
export const args = JSON.parse(process.argv[2] ?? "{}");
export const started = performance.now();
export const elapsed = () => (performance.now() - started) / 1000;
/** Seconds left of this program's own budget. */
export const left = () => (args.budget ?? 60) - elapsed();
export const log = (text) => process.stdout.write(`[${elapsed().toFixed(1)}s] ${text}\n`);
/** Writes a JSON document whole or not at all, again and again as results come. */
export function save(path, value) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    `${path}.part`,
    JSON.stringify(value, (_, v) => (typeof v === "bigint" ? Number(v) : v), 1),
  );
  renameSync(`${path}.part`, path);
}
/** What an object of WebGPU has, as plain data. */
export const plain = (object) => {
  const all = {};
  for (const key in object) {
    const value = object[key];
    if (typeof value !== "function") all[key] = value;
  }
  return all;
};
export const configs = (info) => {
  try {
    return [...(info.subgroupMatrixConfigs ?? [])].map((config) => plain(config));
  } catch (error) {
    return String(error);
  }
};

export const isQuick = Boolean(args.quick);
export const isTiny = Boolean(args.tiny);

/** Waits for a promise so many seconds: `{ value }`, or `{ fault }` when it fails or is late. */
export async function budgeted(promise, seconds) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ fault: `not ended in ${seconds.toFixed(0)} s` }), 1000 * Math.max(0, seconds));
  });
  const done = promise.then(
    (value) => ({ value }),
    (error) => ({ fault: String(error.message).slice(0, 300) }),
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

const keep = [];
export function instance(flags = []) {
  const gpu = create(["disable-dawn-features=timestamp_quantization", ...flags]);
  keep.push(gpu);
  return gpu;
}
export async function findAdapter(flags = []) {
  const adapter = await instance(flags).requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("there is no WebGPU adapter");
  return adapter;
}
/** The library on a device whose timestamps are not rounded to 0.1 ms. */
export async function open(tune) {
  const gpu = await openGpu({ adapter: await findAdapter(), tune });
  gpu.device.addEventListener("uncapturederror", (event) => {
    event.preventDefault?.();
    log(`DEVICE ERROR: ${event.error?.message}`);
    errors.push(String(event.error?.message));
  });
  return gpu;
}
export const errors = [];
export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length === 0 ? Number.NaN : sorted[Math.floor((sorted.length - 1) / 2)];
};
export async function seconds(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}
const capacity = 2000;
/** Runs a call with a timestamp at both ends of every compute pass that it encodes on the device. */
export async function trace(device, work) {
  const own = device;
  const proto = Object.getPrototypeOf(own);
  const queue = device.queue;
  const queueProto = Object.getPrototypeOf(queue);
  const canTime = device.features.has("timestamp-query");
  const set = canTime ? device.createQuerySet({ type: "timestamp", count: 2 * capacity }) : undefined;
  let passes = 0;
  let dispatches = 0;
  let submits = 0;
  let writes = 0;
  const passProto = globalThis.GPUComputePassEncoder.prototype;
  const { dispatchWorkgroups } = passProto;
  passProto.dispatchWorkgroups = function (...all) {
    dispatches++;
    return dispatchWorkgroups.apply(this, all);
  };
  own.createCommandEncoder = (...all) => {
    const encoder = proto.createCommandEncoder.apply(own, all);
    const begin = Object.getPrototypeOf(encoder).beginComputePass;
    encoder.beginComputePass = (descriptor = {}) => {
      const i = passes++;
      const timed = set && i < capacity && !descriptor.timestampWrites;
      return begin.call(
        encoder,
        timed
          ? {
              ...descriptor,
              timestampWrites: { querySet: set, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 },
            }
          : descriptor,
      );
    };
    return encoder;
  };
  queue.submit = (...all) => {
    submits++;
    return queueProto.submit.apply(queue, all);
  };
  queue.writeBuffer = (...all) => {
    writes++;
    return queueProto.writeBuffer.apply(queue, all);
  };
  let wall;
  try {
    wall = await seconds(work);
  } finally {
    delete own.createCommandEncoder;
    delete queue.submit;
    delete queue.writeBuffer;
    passProto.dispatchWorkgroups = dispatchWorkgroups;
  }
  const result = {
    wall,
    busy: Number.NaN,
    span: Number.NaN,
    gaps: Number.NaN,
    passes,
    dispatches,
    submits,
    writes,
    maps: 0,
    longestPass: Number.NaN,
    longestGap: Number.NaN,
  };
  const count = Math.min(passes, capacity);
  if (set && count > 0) {
    const times = await resolve(device, set, 2 * count);
    let busy = 0;
    let longestPass = 0;
    let longestGap = 0;
    for (let i = 0; i < count; i++) {
      const length = times[2 * i + 1] - times[2 * i];
      busy += length;
      longestPass = Math.max(longestPass, length);
      if (i > 0) longestGap = Math.max(longestGap, times[2 * i] - times[2 * i - 1]);
    }
    const span = times[2 * count - 1] - times[0];
    Object.assign(result, { busy, span, gaps: span - busy, longestPass, longestGap });
  }
  set?.destroy();
  return result;
}
/** Timestamps in seconds, from the first one on. */
export async function resolve(device, set, count) {
  const size = 8 * count;
  const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(set, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const raw = new BigUint64Array(staging.getMappedRange().slice(0));
  staging.destroy();
  resolved.destroy();
  const first = raw[0] ?? 0n;
  return [...raw].map((value) => Number(value - first) / 1e9);
}
/** Ends the process whatever a driver still does. */
export function end(code = 0) {
  process.stdout.write("", () => process.exit(code));
}
process.on("unhandledRejection", (error) => {
  log(`UNHANDLED: ${error instanceof Error ? error.stack : String(error)}`);
  errors.push(String(error));
});
