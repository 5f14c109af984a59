// Tensor cores through WebGPU, where Dawn has them.
import { configs, findAdapter, isTiny, seconds } from "./device.mjs";

/** Rates of each shape of subgroup matrices that the adapter names. */
export async function subgroupMatrix() {
  const adapter = await findAdapter(["enable-dawn-features=allow_unsafe_apis"]);
  const feature = "chromium-experimental-subgroup-matrix";
  if (!adapter.features.has(feature)) return { available: false };
  const all = configs(adapter.info);
  const wanted = [feature, "subgroups", "shader-f16", "timestamp-query"].filter((name) => adapter.features.has(name));
  const own = await adapter.requestDevice({ requiredFeatures: wanted });
  const rows = [];
  for (const config of Array.isArray(all) ? all : []) {
    const { M, N, K, componentType, resultComponentType } = config;
    const name = (type) => String(type).toLowerCase();
    const [ct, rt] = [name(componentType), name(resultComponentType)];
    if (!/^(f16|f32)$/.test(ct) || !/^(f16|f32)$/.test(rt)) {
      rows.push({ ...config, note: "not tried" });
      continue;
    }
    const turns = isTiny ? 16 : 4096;
    const text = `enable chromium_experimental_subgroup_matrix;
enable subgroups;
${ct === "f16" || rt === "f16" ? "enable f16;" : ""}
@group(0) @binding(0) var<storage, read_write> data: array<${ct}>;
@group(0) @binding(1) var<storage, read_write> sums: array<${rt}>;
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3u) {
let l = subgroupMatrixLoad<subgroup_matrix_left<${ct}, ${K}, ${M}>>(&data, 0u, false, ${K}u);
let r = subgroupMatrixLoad<subgroup_matrix_right<${ct}, ${N}, ${K}>>(&data, ${M * K}u, false, ${N}u);
${[0, 1, 2, 3].map((i) => `var a${i} = subgroupMatrixLoad<subgroup_matrix_result<${rt}, ${N}, ${M}>>(&sums, ${i * M * N}u, false, ${N}u);`).join("\n  ")}
for (var turn = 0u; turn < ${turns}u; turn++) {
  ${[0, 1, 2, 3].map((i) => `a${i} = subgroupMatrixMultiplyAccumulate(l, r, a${i});`).join("\n    ")}
}
${[0, 1, 2, 3].map((i) => `subgroupMatrixStore(&sums, ${i * M * N}u, a${i}, false, ${N}u);`).join("\n  ")}
}`;
    try {
      own.pushErrorScope("validation");
      const module = own.createShaderModule({ code: text });
      const made = own.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } });
      made.catch(() => undefined);
      const error = await own.popErrorScope();
      if (error) throw new Error(error.message.slice(0, 400));
      const pipeline = await made;
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
      const data = own.createBuffer({ size: 1 << 16, usage });
      const sums = own.createBuffer({ size: 1 << 16, usage });
      const bind = own.createBindGroup({
        layout: pipeline.getBindGroupLayout(0),
        entries: [data, sums].map((buffer, binding) => ({ binding, resource: { buffer } })),
      });
      const groups = isTiny ? 4 : 132 * 16;
      let best = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 4; i++) {
        const encoder = own.createCommandEncoder();
        const pass = encoder.beginComputePass();
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, bind);
        pass.dispatchWorkgroups(groups);
        pass.end();
        best = Math.min(
          best,
          await seconds(async () => {
            own.queue.submit([encoder.finish()]);
            await own.queue.onSubmittedWorkDone();
          }),
        );
      }
      rows.push({ ...config, flops: (groups * 4 * turns * 4 * 2 * M * N * K) / best });
    } catch (error) {
      rows.push({ ...config, failed: error instanceof Error ? error.message : String(error) });
    }
  }
  own.destroy();
  return { available: true, configs: all, rows };
}
