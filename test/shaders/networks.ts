import type { Kernel } from "../../shaders/kernel.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { Dispatch } from "../../src/gpu/kernel.ts";
import { waveBy } from "../../src/kernels/waves.ts";
import { concatSquash } from "../../src/network/concat-squash.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { activations } from "../../src/network/operations/activate.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import type { DivergenceMode } from "../../src/ode/engine.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { layeredEngine } from "../../src/ode/layered-engine.ts";
import { fusedNetwork, fusedNetworkEngine, tileNetwork } from "../../src/ode/network-engine.ts";
import { schedule } from "../../src/solvers/schedule.ts";
import { layeredBackward } from "../../src/train/layered-backward.ts";
import type { Parameters } from "../../src/velocity/parameters.ts";

const velocities = {
  "a residual network": residualMlp({ dim: 2, width: 8, blocks: 1, classes: 2, features: { fourier: { count: 2 } } }),
  "a concat-squash network": concatSquash({ dim: 2, hidden: [8] }),
  ...Object.fromEntries(
    activations.map((activation) => [`an mlp with ${activation}`, mlp({ dim: 2, hidden: [8], activation })] as const),
  ),
};

/** Subgroups that share loads, as on software adapters, and workgroup memory, as on GPUs, whose subgroups may have no fixed size. */
const adapters = {
  software: { software: true, subgroupSize: 4 },
  gpu: { software: false, subgroupSize: 0, features: [] },
  "gpu with subgroups": {
    software: false,
    subgroupSize: 0,
    subgroupMinSize: 32,
    subgroupMaxSize: 64,
    features: ["subgroups", "subgroup-size-control"],
  },
};

/** Every kernel that some networks have layer by layer: values, tangents, reverse, and the gradients of both trainings. */
export function networkKernels(): { readonly name: string; readonly kernel: () => Kernel }[] {
  const kernels = new Map<string, { name: string; kernel: () => Kernel }>();
  for (const [what, velocity] of Object.entries(velocities)) {
    for (const [where, info] of Object.entries(adapters)) {
      if (where !== "software" && !what.includes("residual")) continue;
      const network = networkOf(velocity);
      const limits = {
        maxUniformBufferBindingSize: 1 << 16,
        maxComputeWorkgroupStorageSize: 1 << 14,
        maxComputeInvocationsPerWorkgroup: 256,
      };
      const device = { limits };
      const profile = { tuning: { measure: false } };
      const gpu = { info, device, current: { profile } } as unknown as Gpu;
      const engine = layeredEngine(gpu, network, {} as Parameters);
      const backward = layeredBackward(gpu, network);
      const chunk = { start: 0, count: 64, capacity: 64, maxFlops: 1e9 };
      const given = { guidance: 0 };
      const gradient = (tangents: number, penalty?: { energy: number; jacobian: number }) =>
        backward.pass(chunk, {
          cotangent: "kappa",
          xbar: "eta",
          begin: true,
          tangents: { count: tangents, first: 0, weight: 1 },
          penalty,
        });
      const fused = info.software ? fusedNetwork(gpu, network) : tileNetwork(gpu, network, waveBy(gpu.info));
      if (!fused) throw new Error("the network is too large for one kernel");
      const narrow = fusedNetworkEngine(gpu, network, fused, {} as Parameters);
      const labelled = { guidance: 2, ...(network.classes > 0 && { labels: new Uint32Array(64) }) };
      const solve = (divergence: DivergenceMode) => {
        const grid = timeGrid("a solve", { method: "midpoint", steps: 2 }, 0, 1);
        return narrow.integrate(
          chunk,
          labelled,
          { stages: 2, freeStages: true, schedule: schedule(grid), divergence },
          0,
          2,
        );
      };
      const plans: Record<string, Dispatch[]> = {
        "fused midpoint step": solve({ mode: "none" }),
        "fused midpoint step with exact divergence": solve({ mode: "exact" }),
        "fused midpoint step with probes": solve({ mode: "probes", kind: "rademacher", count: 1 }),
        "fused velocity": narrow.evaluate(chunk, labelled, "velocity", { mode: "none" }),
        "fused divergence": narrow.evaluate(chunk, labelled, "divergence", { mode: "exact" }),
        "fused jvp": narrow.evaluate(chunk, labelled, "jvp", { mode: "none" }),
        "fused divergence at one time": narrow.evaluate(chunk, labelled, "divergence", { mode: "exact" }, true),
        "fused jvp at one time": narrow.evaluate(chunk, labelled, "jvp", { mode: "none" }, true),
        velocity: engine.evaluate(chunk, given, "velocity", { mode: "none" }),
        jvp: engine.evaluate(chunk, given, "jvp", { mode: "none" }),
        vjp: engine.evaluate(chunk, given, "vjp", { mode: "none" }),
        residual: backward.residual(chunk),
        "velocity and products of a matrix": backward.velocity(chunk, "u", { count: 2, matrix: "drows" }),
        "gradient with a matrix of tangents": backward.pass(chunk, {
          cotangent: "kappa",
          xbar: "eta",
          begin: true,
          tangents: { count: 2, matrix: "drows" },
          penalty: { energy: 1, jacobian: 0 },
        }),
        "likelihood gradient": gradient(2, { energy: 1, jacobian: 1 }),
      };
      for (const [task, dispatches] of Object.entries(plans))
        for (const [i, { kernel }] of dispatches.entries())
          if (!kernels.has(kernel.code))
            kernels.set(kernel.code, {
              name: `${kernel.label} ${i} of ${what}, ${task}, ${where}`,
              kernel: () => kernel,
            });
    }
  }
  return [...kernels.values()];
}
