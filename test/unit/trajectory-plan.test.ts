import { expect, test } from "vitest";
import type { Kernel } from "../../shaders/kernel.ts";
import { logProbRequest, pushRequest, sampleRequest } from "../../src/flow/requests.ts";
import type { FlowShape } from "../../src/flow/shape.ts";
import { sourceSpec } from "../../src/flow/source.ts";
import type { TrajectoryRequest } from "../../src/flow/trajectory.ts";
import { planTrajectory, solveOf } from "../../src/flow/trajectory-plan.ts";
import type { Dispatch } from "../../src/gpu/kernel.ts";
import { mlp } from "../../src/network/mlp.ts";
import { chunkOf, type Engine, names } from "../../src/ode/engine.ts";
import type { ChunkPlan } from "../../src/schedule/job.ts";

const dim = 2;
const n = 130;
const flow: FlowShape = {
  dim,
  velocitySpec: mlp({ dim, hidden: [4] }),
  source: sourceSpec(undefined, dim),
  normalization: { mean: [1, 2], scale: [3, 4] },
  assertAlive: () => undefined,
};

function step(label: string): Dispatch {
  const kernel: Kernel = { label, code: "", entryPoint: "main", params: {}, buffers: {} };
  return { kernel, params: {}, buffers: { state: names.state, schedule: names.schedule }, workgroups: [1], flops: 1 };
}

/** An engine whose kernels are only names. */
const engine: Engine = {
  dim,
  contextWidth: 0,
  family: "test",
  flops: 1,
  divergenceFlops: () => 1,
  scratchFloats: () => 0,
  shared: () => Promise.reject(new Error("no device")),
  buffers: () => [],
  begin: () => [step("begin")],
  integrate: (_chunk, _conditions, _integration, from, to) => [step(`steps ${from} to ${to}`)],
  evaluate: () => [step("evaluation")],
};

async function planned(request: TrajectoryRequest, start = 0, count = n): Promise<ChunkPlan> {
  return planTrajectory(await solveOf(engine, request), chunkOf(start, count, 1e12));
}

const labels = (dispatches: readonly Dispatch[] = []) => dispatches.map(({ kernel }) => kernel.label);

const x = new Float32Array(n * dim);
const solver = { method: "midpoint", steps: 4 } as const;
const probes = { probe: "gaussian", probes: 2 } as const;
const requests: Record<string, TrajectoryRequest> = {
  sample: sampleRequest(flow, "sample", n, { solver, logProb: true, saveAt: [0, 0.5, 1] }),
  push: pushRequest(flow, "push", x, { solver, logProb: new Float32Array(n), divergence: probes, saveAt: [0.25] }),
  logProb: logProbRequest(flow, "logProb", x, { solver, divergence: probes }),
  "adaptive push": pushRequest(flow, "push", x, { solver: { method: "dopri5" }, logProb: true, saveAt: [0, 0.5] }),
  "adaptive logProb": logProbRequest(flow, "logProb", x, { solver: { method: "bosh3" }, divergence: probes }),
  "a solve of no length": pushRequest(flow, "push", x, { solver: { method: "dopri5" }, to: 0, saveAt: [0] }),
};

for (const [name, request] of Object.entries(requests)) {
  test(`a plan has every buffer that it names, once: ${name}`, async () => {
    const plan = await planned(request);
    const buffers = plan.buffers.map((buffer) => buffer.name);
    expect(new Set(buffers).size).toBe(buffers.length);
    const rounds = [0, 1].flatMap((round) => plan.rounds?.next(round, n, 1e12).dispatches ?? []);
    const named = [...plan.dispatches, ...rounds, ...(plan.after ?? [])].flatMap(({ buffers }) =>
      Object.values(buffers),
    );
    expect(buffers).toEqual(expect.arrayContaining([...named, ...plan.outputs.map((output) => output.name)]));
  });
}

test("a solve goes from one time to save to the next, and then to its end", async () => {
  const { dispatches } = await planned(requests.sample as TrajectoryRequest);
  const steps = labels(dispatches).filter((label) => label.startsWith("steps"));
  expect(steps).toEqual(["steps 0 to 2", "steps 2 to 4"]);
});

test("log p of the source is taken where the solve is at it", async () => {
  const order = async (request: TrajectoryRequest | undefined) =>
    labels((await planned(request as TrajectoryRequest)).dispatches);
  const [forward, backward] = [await order(requests.sample), await order(requests.logProb)];
  const density = (all: string[]) => all.findIndex((label) => label.includes("density"));
  const firstSteps = (all: string[]) => all.findIndex((label) => label.startsWith("steps"));
  expect(density(forward)).toBeGreaterThan(-1);
  expect(density(forward)).toBeLessThan(firstSteps(forward));
  expect(density(backward)).toBeGreaterThan(firstSteps(backward));
});

test("a state that is saved at the start of an adaptive solve is exported before its rounds", async () => {
  const { dispatches, after } = await planned(requests["adaptive push"] as TrajectoryRequest);
  const exports = (all: readonly Dispatch[] | undefined) =>
    all?.filter(({ buffers }) => Object.values(buffers).includes("saved"));
  expect(exports(dispatches)).toHaveLength(1);
  expect(exports(after)).toHaveLength(1);
});

test("the pieces of a chunk lie in the whole result where its particles are", async () => {
  const buffer = {} as GPUBuffer;
  const request = { ...(requests.sample as TrajectoryRequest), resident: new Map([["saved", buffer]]) };
  const { outputs } = await planned(request, 64, 37);
  const bytes = 37 * dim * 4;
  expect(outputs.find(({ name }) => name === "saved")).toEqual({
    name: "saved",
    bytes: 3 * bytes,
    resident: {
      buffer,
      pieces: [0, 1, 2].map((k) => ({ from: k * bytes, to: (k * n + 64) * dim * 4, bytes })),
    },
  });
});
