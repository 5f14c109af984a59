/**
 * The adapter's own multiply-add rate: independent vec4f chains a ← a·m + b, the honest 100 % that kernels are compared with.
 * Sweeps the number of chains (instruction-level parallelism) and the workgroup size; 8 floating-point operations per vec4f step.
 */
const turns = 256;
const unrolled = 4;

function chainsKernel(chains, workgroupSize) {
  const each = (text) => Array.from({ length: chains }, (_, i) => text(i)).join("\n  ");
  return `
@group(0) @binding(0) var<storage, read_write> out: array<vec4f>;
@compute @workgroup_size(${workgroupSize})
fn chains(@builtin(global_invocation_id) id: vec3u) {
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

/** Prepares the sweep on a device; `measure()` runs it once and returns the best rate in floating-point operations per second. */
export async function prepareCeiling(device, invocations = 65_536) {
  const buffer = device.createBuffer({ size: invocations * 16, usage: GPUBufferUsage.STORAGE });
  const candidates = [];
  for (const chains of [1, 2, 3, 4, 6, 8]) {
    for (const workgroupSize of [32, 64, 128]) {
      const module = device.createShaderModule({ code: chainsKernel(chains, workgroupSize) });
      const pipeline = await device.createComputePipelineAsync({
        layout: "auto",
        compute: { module, entryPoint: "chains" },
      });
      const bindGroup = device.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [{ binding: 0, resource: { buffer } }],
      });
      candidates.push({
        chains,
        workgroupSize,
        pipeline,
        bindGroup,
        flops: invocations * chains * turns * unrolled * 8,
        best: 0,
      });
    }
  }
  const run = async (candidate) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(candidate.pipeline);
    pass.setBindGroup(0, candidate.bindGroup);
    pass.dispatchWorkgroups(invocations / candidate.workgroupSize);
    pass.end();
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    // In Node a pending promise of the device costs a core: sleep over most of the work, as the library does.
    if (candidate.best > 0) {
      const expected = (candidate.flops / candidate.best) * 1000;
      await new Promise((resolve) => setTimeout(resolve, 0.8 * expected));
    }
    await device.queue.onSubmittedWorkDone();
    const rate = candidate.flops / ((performance.now() - start) / 1000);
    candidate.best = Math.max(candidate.best, rate);
    return rate;
  };
  for (const candidate of candidates) for (let i = 0; i < 3; i++) await run(candidate);
  // after the warm-up only the most promising are measured again
  const few = candidates.sort((a, b) => b.best - a.best).slice(0, 3);
  return {
    async measure() {
      let best = 0;
      for (const candidate of few) best = Math.max(best, await run(candidate));
      return best;
    },
    dispose: () => buffer.destroy(),
    get shape() {
      const { chains, workgroupSize } = few.reduce((a, b) => (b.best > a.best ? b : a));
      return `${chains} vec4f chains, workgroups of ${workgroupSize}`;
    },
  };
}
