import type { Home } from "./contender.ts";

const turns = 256;
const unrolled = 4;
const invocations = 65_536;

/**
 * Independent vec4f chains a ← a·m + b: the adapter's own multiply-add rate, the honest 100 % that kernels are compared with.
 * 8 floating-point operations a vec4f step.
 */
function chainsKernel(chains: number, workgroupSize: number): string {
  const each = (text: (i: number) => string) => Array.from({ length: chains }, (_, i) => text(i)).join("\n  ");
  return `
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(${workgroupSize})
fn main(@builtin(global_invocation_id) id: vec3u) {
  // values that no compiler can know, and that neither grow nor vanish
  let m = vec4f(0.999, 0.998, 0.997, 0.996) + out[id.x].x * 1e-9;
  let b = vec4f(0.001, 0.002, 0.003, 0.004);
  ${each((i) => `var a${i} = out[id.x] + ${i}.0;`)}
  for (var turn = 0u; turn < ${turns}u; turn++) {
  ${Array.from({ length: unrolled }, () => each((i) => `a${i} = a${i} * m + b;`)).join("\n  ")}
  }
  out[id.x] = ${Array.from({ length: chains }, (_, i) => `a${i}`).join(" + ")};
}`;
}

/** Reads and writes a buffer that no cache holds: bytes moved per second, both ways counted. */
const copyKernel = `
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let half = arrayLength(&out) / 2u;
  for (var i = id.x; i < half; i += groups.x * 64u) { out[half + i] = out[i] + 1.0; }
}`;

interface Candidate {
  readonly shape: string;
  /** Operations, or bytes, of one run. */
  readonly work: number;
  readonly groups: number;
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  best: number;
}

/** A micro-kernel tuned on this adapter: `measure` runs the best candidates once and returns the best rate per second. */
export interface Ceiling {
  measure(): Promise<number>;
  readonly shape: string;
  dispose(): void;
}

async function prepare(
  device: GPUDevice,
  home: Home,
  bytes: number,
  texts: readonly { code: string; shape: string; work: number; groups: number }[],
): Promise<Ceiling> {
  const buffer = device.createBuffer({ size: bytes, usage: GPUBufferUsage.STORAGE });
  const candidates: Candidate[] = [];
  for (const { code, ...rest } of texts) {
    const module = device.createShaderModule({ code });
    const pipeline = await device.createComputePipelineAsync({
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const entries = [{ binding: 0, resource: { buffer } }];
    const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
    candidates.push({ ...rest, pipeline, bindGroup, best: 0 });
  }
  const run = async (candidate: Candidate): Promise<number> => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(candidate.pipeline);
    pass.setBindGroup(0, candidate.bindGroup);
    pass.dispatchWorkgroups(candidate.groups);
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    // in Node a pending promise of the device costs a core: sleep over most of the work, as the library does
    if (home === "node" && candidate.best > 0) {
      await new Promise((resolve) => setTimeout(resolve, (800 * candidate.work) / candidate.best));
    }
    await device.queue.onSubmittedWorkDone();
    const rate = candidate.work / ((performance.now() - start) / 1000);
    candidate.best = Math.max(candidate.best, rate);
    return rate;
  };
  for (const candidate of candidates) for (let i = 0; i < 3; i++) await run(candidate);
  const few = [...candidates].sort((a, b) => b.best - a.best).slice(0, 3);
  return {
    async measure() {
      let best = 0;
      for (const candidate of few) best = Math.max(best, await run(candidate));
      return best;
    },
    get shape() {
      return few.reduce((a, b) => (b.best > a.best ? b : a)).shape;
    },
    dispose: () => buffer.destroy(),
  };
}

/** The multiply-add ceiling in floating-point operations per second: swept over chains (parallelism) and workgroup size. */
export function prepareCeiling(device: GPUDevice, home: Home): Promise<Ceiling> {
  const texts = [1, 2, 3, 4, 6, 8].flatMap((chains) =>
    [32, 64, 128].map((size) => ({
      code: chainsKernel(chains, size),
      shape: `${chains} vec4f chains, workgroups of ${size}`,
      work: invocations * chains * turns * unrolled * 8,
      groups: invocations / size,
    })),
  );
  return prepare(device, home, invocations * 16, texts);
}

/** Memory bandwidth in bytes per second, reads and writes together. */
export function prepareBandwidth(device: GPUDevice, home: Home): Promise<Ceiling> {
  const bytes = Math.min(128 << 20, device.limits.maxStorageBufferBindingSize);
  const texts = [64, 512, 4096].map((groups) => ({
    code: copyKernel,
    shape: `${groups} workgroups of 64`,
    work: bytes,
    groups,
  }));
  return prepare(device, home, bytes, texts);
}
