// What the card can do at most: multiply-adds in registers, bytes through memory, weights from each kind of memory.
import { prepareBandwidth, prepareCeiling } from "../ceiling.ts";
import { isQuick, isTiny, left, log, median, seconds } from "./device.mjs";

const fmaText = (type, chains, size, turns) => {
  const v = type === "f32" ? "vec4f" : "vec4h";
  const each = (text) => Array.from({ length: chains }, (_, i) => text(i)).join("\n  ");
  return `${type === "f16" ? "enable f16;" : ""}
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3u) {
let m = ${v}(vec4f(0.999, 0.998, 0.997, 0.996) + out[id.x].x * 1e-9);
let b = ${v}(vec4f(0.001, 0.002, 0.003, 0.004));
${each((i) => `var a${i} = ${v}(out[id.x] + ${i}.0);`)}
for (var turn = 0u; turn < ${turns}u; turn++) {
${Array.from({ length: 4 }, () => each((i) => `a${i} = fma(a${i}, m, b);`)).join("\n  ")}
}
out[id.x] = vec4f(${Array.from({ length: chains }, (_, i) => `a${i}`).join(" + ")});
}`;
};
/** Multiply-adds a second of registers: turns grow until a run takes 10 ms on the GPU. */
export async function ceiling({ device, pipelineOf, timed, storage }, type) {
  const invocations = isTiny ? 1 << 12 : 1 << 20;
  const buffer = storage(16 * invocations);
  const rows = [];
  try {
    for (const chains of isTiny ? [2] : isQuick ? [4, 8] : [1, 2, 4, 8]) {
      for (const size of isTiny || isQuick ? [128] : [64, 256]) {
        if (left() < 3) break;
        const seen = [];
        let turns = 64;
        let pipeline = await pipelineOf(fmaText(type, chains, size, turns), `fma ${type}`);
        const group = (p) =>
          device.createBindGroup({
            layout: p.getBindGroupLayout(0),
            entries: [{ binding: 0, resource: { buffer } }],
          });
        const run = async () => {
          const bind = group(pipeline);
          const { gpu: time } = await timed((pass) => {
            pass.setPipeline(pipeline);
            pass.setBindGroup(0, bind);
            pass.dispatchWorkgroups(invocations / size);
          });
          return (invocations * chains * turns * 4 * 8) / time;
        };
        await run();
        const rate = await run();
        turns = Math.max(
          16,
          Math.min(1 << 16, Math.round((rate * (isTiny ? 0.002 : 0.01)) / (invocations * chains * 32))),
        );
        pipeline = await pipelineOf(fmaText(type, chains, size, turns), `fma ${type}`);
        for (let i = 0; i < 4; i++) seen.push(await run());
        rows.push({ type, chains, size, turns, flops: Math.max(...seen), median: median(seen) });
      }
    }
  } finally {
    buffer.destroy();
  }
  const best = rows.reduce((a, b) => (b.flops > a.flops ? b : a), { flops: 0 });
  log(`fma ceiling ${type}: ${(best.flops / 1e12).toFixed(3)} TFLOP/s (${best.chains} chains, ${best.size})`);
  return { best: best.flops, rows };
}

/** Bytes a second of a kernel that copies, and of copyBufferToBuffer. */
export async function copyBandwidth({ device, pipelineOf, timed, storage }) {
  const most = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize, 1 << 30);
  const bytes = isTiny ? 1 << 22 : most - (most % 4096);
  const from = storage(bytes);
  const to = storage(bytes);
  const text = `
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4f>;
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
let n = arrayLength(&a);
for (var i = id.x; i < n; i += groups.x * 256u) { b[i] = a[i] + 1.0; }
}`;
  const pipeline = await pipelineOf(text, "copy");
  const bind = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [from, to].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const rows = [];
  for (const groups of [1024, 8192, 65535]) {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 4; i++) {
      const { gpu: time } = await timed((pass) => {
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bind);
        pass.dispatchWorkgroups(groups);
      });
      best = Math.min(best, time);
    }
    rows.push({ groups, bytes, bytesPerSecond: (2 * bytes) / best });
  }
  let viaCopy = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 4; i++) {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
    const commands = encoder.finish();
    viaCopy = Math.min(
      viaCopy,
      await seconds(async () => {
        device.queue.submit([commands]);
        await device.queue.onSubmittedWorkDone();
      }),
    );
    if (left() < 3) break;
  }
  from.destroy();
  to.destroy();
  const best = Math.max(...rows.map((row) => row.bytesPerSecond));
  log(`copy kernel: ${(best / 1e9).toFixed(0)} GB/s`);
  return { best, rows, copyBufferToBuffer: (2 * bytes) / viaCopy };
}

/** Where a weight is read from: uniform, storage, workgroup memory, a subgroup; one particle an invocation. */
export async function weightReads({ device, gpu, pipelineOf, timed, storage }) {
  const count = 512; // vec4f: 8 KiB
  const turns = isTiny ? 1 : 32;
  const rows = [];
  const text = (space, outputs) => `
${space === "subgroup" ? "enable subgroups;" : ""}
@group(0) @binding(0) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<${space === "uniform" ? "uniform" : "storage, read"}> w: array<vec4f, ${count}>;
${space === "workgroup" ? `var<workgroup> s: array<vec4f, ${count}>;` : ""}
@compute @workgroup_size(128)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) local: u32${space === "subgroup" ? ", @builtin(subgroup_invocation_id) lane: u32" : ""}) {
${space === "workgroup" ? `for (var i = local; i < ${count}u; i += 128u) { s[i] = w[i]; }\nworkgroupBarrier();` : ""}
let h = out[id.x];
${Array.from({ length: outputs }, (_, r) => `var a${r} = h + ${r}.0;`).join("\n")}
for (var turn = 0u; turn < ${turns}u; turn++) {
  for (var k = 0u; k < ${count}u; k += 32u) {
    ${space === "subgroup" ? `let c = w[k + (lane & 31u)];` : ""}
    ${Array.from(
      { length: 32 },
      (
        _,
        j,
      ) => `let w${j} = ${space === "subgroup" ? `subgroupBroadcast(c, ${j}u)` : `${space === "workgroup" ? "s" : "w"}[k + ${j}u]`};
    ${Array.from({ length: outputs }, (_, r) => `a${r} = fma(a${r}, w${j}.${"xyzw"[r % 4]}, h);`).join(" ")}`,
    ).join("\n")}
  }
}
out[id.x] = ${Array.from({ length: outputs }, (_, r) => `a${r}`).join(" + ")};
}`;
  const invocations = isTiny ? 1 << 10 : 1 << 19;
  const buffer = storage(4 * invocations);
  const weights = device.createBuffer({
    size: 16 * count,
    usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
  });
  const size = gpu.info.subgroupSize;
  for (const outputs of isTiny ? [4] : [4, 8, 16]) {
    for (const space of ["uniform", "storage", "workgroup", "subgroup"]) {
      if (left() < 3) break;
      if (space === "subgroup" && size < 32) continue;
      const pipeline = await pipelineOf(text(space, outputs), `weights ${space}`);
      const bind = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [buffer, weights].map((one, binding) => ({ binding, resource: { buffer: one } })),
      });
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 3; i++) {
        const { gpu: time } = await timed((pass) => {
          pass.setPipeline(pipeline);
          pass.setBindGroup(0, bind);
          pass.dispatchWorkgroups(invocations / 128);
        });
        best = Math.min(best, time);
      }
      rows.push({ space, outputs, flops: (invocations * turns * count * outputs * 2) / best });
    }
  }
  buffer.destroy();
  weights.destroy();
  log(
    `weight reads (TFLOP/s): ${rows.map(({ space, outputs, flops }) => `${space} ×${outputs} ${(flops / 1e12).toFixed(2)}`).join(", ")}`,
  );
  return rows;
}

/** The benches' own ceiling, to see what its short runs give on this card. */
export async function projectCeiling({ device }) {
  const one = await prepareCeiling(device, "node");
  const flops = [];
  for (let i = 0; i < 5; i++) flops.push(await one.measure());
  const two = await prepareBandwidth(device, "node");
  const bytes = [];
  for (let i = 0; i < 5; i++) bytes.push(await two.measure());
  one.dispose();
  two.dispose();
  return { flops: median(flops), shape: one.shape, bytes: median(bytes), bandwidthShape: two.shape };
}
