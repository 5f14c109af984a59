// Compiles, on the device that there is, the kernels of each kind of work for some networks; a line of JSON per kernel.
import { catalog } from "../../shaders/catalog.ts";
import type { Kernel } from "../../shaders/kernel.ts";
import { jacobianTexts } from "../../shaders/step-jacobian.ts";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import type { Dispatch } from "../../src/gpu/kernel.ts";
import { hasMatrices } from "../../src/kernels/matrices.ts";
import { must } from "../../src/must.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import type { DivergenceMode } from "../../src/ode/engine.ts";
import { networkEngines } from "../../src/ode/engines.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { integrationOf } from "../../src/ode/integration.ts";
import { likelihoodBackward, matchingChoice } from "../../src/train/backward-of.ts";
import type { Parameters } from "../../src/velocity/parameters.ts";

/** What is told of a kernel: whose it is, and the processor time that its compilation took, which other work on the machine changes little. */
export interface Compiled {
  readonly network: string;
  readonly work: string;
  readonly label: string;
  readonly seconds: number;
  /** Share of the work's operations. */
  readonly share: number;
  /** Of a workgroup. */
  readonly invocations: number;
  /** Whether the text asks for subgroups. */
  readonly subgroups: boolean;
  /** Which of the device's pipelines it was: kernels of the same text are compiled once, and the library compiles some for itself. */
  readonly index: number;
}

const three = (width: number) => mlp({ dim: 2, hidden: [width, width, width] });
const networks = {
  "mlp 3 × 16": three(16),
  "mlp 3 × 64": three(64),
  "mlp 3 × 64, dim 3, 10 classes": mlp({ dim: 3, hidden: [64, 64, 64], classes: 10 }),
  "mlp 3 × 128": three(128),
  "mlp 3 × 256": three(256),
  "residual, 2 blocks of 64": residualMlp({ dim: 2, width: 64, blocks: 2 }),
};
const modes: Record<string, DivergenceMode> = {
  sample: { mode: "none" },
  "log p, exact": { mode: "exact" },
  "log p, 1 probe": { mode: "probes", kind: "rademacher", count: 1 },
  "log p, 2 probes": { mode: "probes", kind: "rademacher", count: 2 },
  "log p of the steps": { mode: "discrete" },
};

/** An adapter with what browsers have behind a flag: the matrices of a subgroup. */
async function adapterWithExperiments(): Promise<GPUAdapter> {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  dawn = create(["enable-dawn-features=allow_unsafe_apis"]);
  return must((await dawn.requestAdapter()) ?? undefined, "an adapter");
}

/** Dawn's instance must outlive its devices. */
let dawn: GPU | undefined;

async function withoutMatrices<T>(gpu: Gpu, make: () => Promise<T>): Promise<T> {
  const { features } = gpu.info;
  const others = features.filter((feature) => feature !== "chromium-experimental-subgroup-matrix");
  Object.assign(gpu.info, { features: others });
  const made = await make();
  Object.assign(gpu.info, { features });
  return made;
}

/** `only`: a part of the names of networks and works; all of them where it is empty. */
export async function main(
  what: "defaults" | "catalogue",
  only: string,
  tell: (compiled: Compiled) => void,
): Promise<void> {
  const gpu = await openGpu({ tune: false, adapter: await adapterWithExperiments() });
  const { pipelines } = gpu.current;
  let created = 0;
  const create = gpu.device.createComputePipelineAsync.bind(gpu.device);
  gpu.device.createComputePipelineAsync = (pipeline) => {
    created++;
    return create(pipeline);
  };
  const known = new Map<string, { seconds: number; index: number }>();
  const compile = async (network: string, work: string, kernel: Kernel, share: number) => {
    let made = known.get(kernel.code);
    if (!made) {
      const start = process.cpuUsage();
      const index = created;
      await pipelines.get(kernel);
      const { user, system } = process.cpuUsage(start);
      made = { seconds: (user + system) / 1e6, index };
      known.set(kernel.code, made);
    }
    const invocations = Number(must(/@workgroup_size\((\d+)/.exec(kernel.code)?.[1], "the size of a workgroup"));
    const subgroups = /^enable subgroups;/m.test(kernel.code);
    tell({ network, work, label: kernel.label, share, invocations, subgroups, ...made });
  };
  if (what === "catalogue") {
    for (const { name, kernel } of catalog) if (name.includes(only)) await compile("", name, kernel(), 1);
    return;
  }
  const chunk = { start: 0, count: 64, capacity: 64, maxFlops: 1e12 };
  const grid = timeGrid("a solve", { method: "midpoint", steps: 2 }, 0, 1);
  for (const [name, velocity] of Object.entries(networks)) {
    const network = networkOf(velocity);
    const engines = networkEngines(gpu, velocity, { count: network.parameterCount } as Parameters);
    const engine = await engines.forward("f32");
    const reverse = await engines.reverse();
    const byMatrices = hasMatrices(gpu) ? await engines.forward("f16") : undefined;
    const half = await withoutMatrices(gpu, () =>
      networkEngines(gpu, velocity, { count: network.parameterCount } as Parameters).forward("f16"),
    );
    const conditions = { guidance: 2, ...(network.classes > 0 && { labels: new Uint32Array(64) }) };
    const { dim } = network;
    const passes = (kind: "basis" | "matrix", count: number, penalised = false) =>
      likelihoodBackward({ gpu }, velocity, { tangents: { count, kind }, penalised }, true);
    const [trace, matrix] = [await passes("basis", dim), await passes("matrix", dim)];
    const penalised = await passes("basis", dim, true);
    const matching = (await matchingChoice({ gpu }))(velocity);
    const works: Record<string, Dispatch[]> = {};
    for (const [work, divergence] of Object.entries(modes))
      works[work] = engine.integrate(chunk, conditions, integrationOf(grid, divergence, jacobianTexts), 0, 2);
    for (const [work, divergence] of Object.entries(modes))
      for (const [how, made] of [
        ["f16", half],
        ["f16 by matrices", byMatrices],
      ] as const)
        if (made && divergence.mode !== "discrete")
          works[`${work}, ${how}`] = made.integrate(chunk, conditions, integrationOf(grid, divergence), 0, 2);
    works["velocity at times of their own"] = engine.evaluate(chunk, conditions, "velocity", { mode: "none" });
    works["velocity and Jᵀ·w"] = reverse.evaluate(chunk, conditions, "vjp", { mode: "none" });
    works["flow matching gradient"] = matching.residual(chunk);
    works["likelihood gradient"] = trace.pass(chunk, {
      cotangent: "kappa",
      xbar: "eta",
      begin: true,
      tangents: { count: Math.min(dim, trace.mostTangents), first: 0, weight: 1 },
      penalty: undefined,
    });
    works["likelihood gradient, penalties"] = penalised.pass(chunk, {
      cotangent: "kappa",
      xbar: "eta",
      begin: true,
      tangents: { count: Math.min(dim, penalised.mostTangents), first: 0, weight: 1 },
      penalty: { energy: 1, jacobian: 1 },
    });
    works["velocity of a stage"] = trace.velocity(chunk, "stage");
    works["likelihood gradient of the steps"] = matrix.pass(chunk, {
      cotangent: "kappa",
      xbar: "eta",
      begin: true,
      tangents: { count: network.dim, matrix: "tangents" },
      penalty: undefined,
    });
    for (const [work, dispatches] of Object.entries(works)) {
      if (!`${name}, ${work}`.includes(only)) continue;
      const all = dispatches.reduce((sum, { flops }) => sum + flops, 0);
      const kernels = new Map<string, { kernel: Kernel; flops: number }>();
      for (const { kernel, flops } of dispatches)
        kernels.set(kernel.code, { kernel, flops: flops + (kernels.get(kernel.code)?.flops ?? 0) });
      for (const { kernel, flops } of kernels.values()) await compile(name, work, kernel, flops / all);
    }
  }
}
