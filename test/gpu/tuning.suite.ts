import * as pf from "pushforward";
import type { DivergenceText } from "../../shaders/field.ts";
import { integrateKernel } from "../../shaders/integrate.ts";
import { narrowTexts } from "../../shaders/narrow-turns.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { oneBranch, planIntegrate } from "../../src/kernels/fused.ts";
import { must } from "../../src/must.ts";
import { initialParameters } from "../../src/network/initialisation.ts";
import { networkOf } from "../../src/network/of.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { schedule } from "../../src/solvers/schedule.ts";
import { narrowLayout, narrowMlp } from "../../src/velocity/narrow-layout.ts";
import { unflatten, zero } from "../../src/velocity/parameters.ts";
import { network } from "../oracle/mlp.ts";
import { networkField } from "../oracle/network-field.ts";
import { push as oraclePush, timesOf } from "../oracle/ode.ts";
import { expect, expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const plain: Tiling = {
  lanes: 1,
  groups: 1,
  outputs: 4,
  gather: 0,
  space: "uniform",
  keep: "array",
  workgroupSize: 64,
};

interface Case {
  readonly options: pf.MlpOptions;
  readonly method: "midpoint" | "heun2" | "rk4";
  readonly divergence: DivergenceText;
  readonly tilings: Record<string, Partial<Tiling>>;
}

const cases: Record<string, Case> = {
  "no divergence, Fourier time": {
    options: { dim: 3, hidden: [16, 13], time: { fourier: 2 }, activation: "tanh" },
    method: "rk4",
    divergence: { mode: "none" },
    tilings: {
      "rotated registers": { lanes: 2, keep: "rotate", workgroupSize: 128 },
    },
  },
  "exact divergence in one pass": {
    options: { dim: 2, hidden: [8, 8] },
    method: "midpoint",
    divergence: { mode: "exact", perPass: 2 },
    tilings: { "rotated registers": { keep: "rotate" }, "value and tangents in turns": { lanes: 2, turns: true } },
  },
  "exact divergence in passes, one layer": {
    options: { dim: 5, hidden: [16], inputOrder: "t,x" },
    method: "midpoint",
    divergence: { mode: "exact", perPass: 2 },
    tilings: {
      "two particles": { lanes: 2, keep: "rotate" },
      "value and tangents in turns": { lanes: 2, turns: true },
    },
  },
  "two probes": {
    options: { dim: 5, hidden: [8, 8], activation: "softplus" },
    method: "heun2",
    divergence: { mode: "probes", perPass: 1 },
    tilings: {
      "vectors of four in an array": { lanes: 4, outputs: 2 },
      "value and tangents in turns": { lanes: 4, outputs: 2, turns: true },
    },
  },
  "exact divergence where outputs rotate in two levels": {
    options: { dim: 3, hidden: [61, 24, 33], activation: "sin", time: { fourier: 1 } },
    method: "midpoint",
    divergence: { mode: "exact", perPass: 3 },
    tilings: { "value and tangents in turns": { lanes: 2, turns: true }, "one particle": { turns: true } },
  },
  "two probes in one pass, a stage without a weight": {
    options: { dim: 2, hidden: [20, 20] },
    method: "midpoint",
    divergence: { mode: "probes", perPass: 2 },
    tilings: { "value and tangents in turns": { lanes: 4, turns: true } },
  },
};
const n = 65;
const capacity = 128;
const probes = 2;
const steps = 3;

for (const [what, { options, method, divergence, tilings }] of Object.entries(cases)) {
  test(`tilings agree with the f64 oracle, and by the bit with each other: ${what}`, async ({ gpu }) => {
    const velocity = pf.mlp(options);
    const mlp = narrowMlp(velocity);
    if (!mlp) throw new Error("not a narrow network");
    const { dim } = velocity;
    const parameters = initialParameters(networkOf(velocity), 5).map((value, i) => 3 * value + 0.01 * (i % 7));
    const x = uniformArray(dim * capacity, -2, 2, 1);
    const vectors = uniformArray(probes * dim * capacity, -1, 1, 2);
    const grid = timeGrid("test", { method, steps }, 0.1, 0.9);
    const counted = divergence.mode === "probes" ? probes : 1;

    async function run(tiling: Tiling): Promise<{ state: Float32Array; integral: Float32Array }> {
      const arena = new Arena(gpu.current);
      try {
        if (!mlp) throw new Error("not a narrow network");
        const { source } = narrowLayout(velocity, mlp, tiling.outputs);
        const weights = Float32Array.from(source, (at) => (at === zero ? 0 : (parameters[at] ?? 0)));
        const rows = schedule(grid);
        await arena.allocate("weights", weights.byteLength, weights);
        await arena.allocate("schedule", rows.byteLength, rows);
        await arena.allocate("state", x.byteLength, x);
        await arena.allocate("integral", 4 * counted * capacity, new Float32Array(counted * capacity));
        await arena.allocate("probes", vectors.byteLength, vectors);
        const dispatches = planIntegrate({
          field: { kind: "mlp", ...mlp, texts: narrowTexts },
          integrator: integrateKernel,
          tiling,
          stages: grid.tableau.b.length,
          freeStages: grid.tableau.b.includes(0),
          divergence,
          capacity,
          // two dispatches, so that a step begins where another dispatch has ended
          maxFlops: 2 * capacity,
          flopsPerStep: 1,
          probes: counted,
          branches: oneBranch,
          firstStep: 0,
          lastStep: steps,
          names: { weights: "weights", schedule: "schedule", state: "state", integral: "integral", probes: "probes" },
        });
        expect(dispatches.length).toBe(2);
        await arena.submit(dispatches);
        const read = async (name: string, floats: number) =>
          new Float32Array(await readBack(gpu.current, arena.buffer(name), 4 * floats));
        return { state: await read("state", dim * capacity), integral: await read("integral", counted * capacity) };
      } finally {
        arena.release();
      }
    }

    const fixed = await run(plain);
    const net = network(velocity, unflatten(networkOf(velocity).tensors, parameters));
    const column = (all: Float32Array, start: number, i: number) =>
      Float64Array.from({ length: dim }, (_, k) => all[(start + k) * capacity + i] ?? Number.NaN);
    for (let i = 0; i < n; i += 4) {
      const zs = Array.from({ length: probes }, (_, k) => column(vectors, k * dim, i));
      const field = networkField(net, divergence.mode === "probes" ? zs : "exact");
      const wanted = oraclePush(field, column(x, 0, i), method, timesOf(0.1, 0.9, steps), 0);
      expectClose(column(fixed.state, 0, i), wanted.x, { relative: 1e-5, absolute: 1e-5 });
      if (divergence.mode === "none") continue;
      let sum = 0;
      for (let k = 0; k < counted; k++) sum += fixed.integral[k * capacity + i] ?? Number.NaN;
      expectClose([sum / counted], [wanted.logProb], { relative: 1e-5, absolute: 1e-5 });
    }
    for (const [name, part] of Object.entries(tilings)) {
      const got = await run({ ...plain, ...part });
      for (const key of ["state", "integral"] as const) {
        const bits = (values: Float32Array) => new Uint32Array(values.buffer);
        const other = bits(got[key]).findIndex((word, i) => word !== bits(fixed[key])[i]);
        if (other >= 0) throw new Error(`${name}: ${key}[${other}] is ${got[key][other]}, not ${fixed[key][other]}`);
      }
    }
  });
}

type SolveOptions = Omit<pf.SampleOptions, "output">;

const tiers: Record<
  string,
  { velocity: pf.MlpVelocity | pf.NetworkVelocity; solve: SolveOptions; given?: (n: number) => SolveOptions }
> = {
  "exact divergence": { velocity: pf.mlp({ dim: 2, hidden: [16, 15] }), solve: {} },
  "exact divergence in passes, Fourier time": {
    velocity: pf.mlp({ dim: 5, hidden: [16], time: { fourier: 2 } }),
    solve: {},
  },
  "a probe": {
    velocity: pf.mlp({ dim: 3, hidden: [15, 16] }),
    solve: { divergence: { probe: "rademacher", probes: 1 } },
  },
  "four probes, no stage without a weight": {
    velocity: pf.mlp({ dim: 3, hidden: [16] }),
    solve: { divergence: { probe: "gaussian", probes: 4 }, solver: { method: "heun2", steps: 40 } },
  },
  "a residual network": { velocity: pf.residualMlp({ dim: 2, width: 16, blocks: 1 }), solve: {} },
  "a residual network, two probes": {
    velocity: pf.residualMlp({ dim: 2, width: 16, blocks: 1 }),
    solve: { divergence: { probe: "rademacher", probes: 2 } },
  },
  "the steps themselves": { velocity: pf.mlp({ dim: 2, hidden: [16, 16] }), solve: { objective: "discrete" } },
  "guided classes": {
    velocity: pf.mlp({ dim: 2, hidden: [16, 16], classes: 3 }),
    solve: { guidance: 1.5 },
    given: (n) => ({ labels: Uint32Array.from({ length: n }, (_, i) => i % 3) }),
  },
};

for (const [what, { velocity, solve, given = () => ({}) }] of Object.entries(tiers))
  test(`log p has the same bits where its kernel is worth a longer compilation: ${what}`, async () => {
    // a device of its own, on which nothing is compiled and no work is counted
    const gpu = await pf.openGpu({ tune: false });
    const labels: string[] = [];
    const { device } = gpu;
    const make = device.createShaderModule;
    device.createShaderModule = (descriptor) => {
      labels.push(descriptor.label ?? "");
      return make.call(device, descriptor);
    };
    const flow = pf.Flow.create(gpu, { velocity, seed: 3 });
    try {
      const weights = await flow.weights();
      for (const [name, values] of Object.entries(weights))
        weights[name] = values.map((value, i) => value + 0.3 * Math.sin(i));
      flow.setWeights(weights);
      const isLavapipe = /llvmpipe/i.test(gpu.info.description);
      const [few, many] = [61, 1_000_000];
      const own = { solver: { method: "midpoint", steps: 60 }, ...solve, logProb: true, seed: 7 } as const;
      const first = await flow.sample(few, { ...own, ...given(few) });
      let begun: pf.Samples | undefined;
      for await (const chunk of flow.sampleStream(many, { ...own, ...given(many), chunkSize: 64 })) {
        begun = chunk;
        break;
      }
      const isTurns = (label: string) => label.startsWith("integrate") && label.endsWith(" turns");
      const others = labels.filter((label) => label.startsWith("integrate") && !isTurns(label));
      expect([labels.filter(isTurns).length, others.length]).toEqual(isLavapipe ? [1, 1] : [0, 1]);
      for (const key of ["x", "logProb"] as const) {
        const bits = (samples: pf.Samples | undefined) => [
          ...new Uint32Array(must(samples?.[key], key).slice(0, must(first[key], key).length).buffer),
        ];
        expect(bits(begun)).toEqual(bits(first));
      }
    } finally {
      flow.dispose();
      gpu.dispose();
    }
  });

/** A store in memory, and a promise for the first text that is kept in it. */
function memoryStore() {
  const texts = new Map<string, string>();
  let keep: () => void = () => {};
  const kept = new Promise<void>((resolve) => {
    keep = resolve;
  });
  const store = {
    get: async (key: string) => texts.get(key),
    set: async (key: string, value: string) => {
      texts.set(key, value);
      keep();
    },
  };
  return { texts, store, kept };
}

const small = pf.mlp({ dim: 1, hidden: [8], activation: "relu" });
const solver = { method: "euler", steps: 3 } as const;

for (const [how, isGpu] of [
  ["in invocations of their own", false],
  ["on a GPU's tiles", true],
] as const)
  test(
    `tuning happens behind the calls: the same bits before and after, no buffer left, the choice kept in the caller's store: ${how}`,
    async ({ gpu }) => {
      const { store, texts, kept } = memoryStore();
      const open = async (tune: pf.GpuOptions["tune"]) => {
        const opened = await pf.openGpu({ device: gpu.device, ...(tune !== undefined && { tune }) });
        if (isGpu) Object.assign(opened.info, { software: false });
        return opened;
      };
      const guest = await open({ store });
      const flow = pf.Flow.create(guest, { velocity: small, seed: 1 });
      const before = await flow.sample(1001, { solver, seed: 2 });
      const live = guest.liveBufferCount;
      await kept;
      expect(texts.size).toBe(1);
      const after = await flow.sample(1001, { solver, seed: 2 });
      expect([...after.x]).toEqual([...before.x]);
      expect(guest.liveBufferCount).toBe(live);
      flow.dispose();
      guest.dispose();

      // another program finds what was kept, one that does not tune gives the same bits
      for (const tune of [{ store }, false] as const) {
        const other = await open(tune);
        const same = pf.Flow.create(other, { velocity: small, seed: 1 });
        expect([...(await same.sample(1001, { solver, seed: 2 })).x]).toEqual([...before.x]);
        same.dispose();
        other.dispose();
      }
    },
    { timeoutSeconds: 300 },
  );

test("a device that is disposed or lost while tilings are timed ends quietly", async () => {
  for (const end of ["dispose", "lose"] as const) {
    const { store } = memoryStore();
    let looked: () => void = () => {};
    const begun = new Promise<void>((resolve) => {
      looked = resolve;
    });
    const own = await pf.openGpu({
      tune: {
        store: {
          ...store,
          get: async () => {
            looked();
            return undefined;
          },
        },
      },
    });
    const flow = pf.Flow.create(own, { velocity: small });
    await flow.sample(65, { solver });
    await begun;
    const running = flow.sample(5003, { solver, chunkSize: 640 }).catch((error: unknown) => error);
    if (end === "lose") own.device.destroy();
    else own.dispose();
    const outcome = await running;
    if (outcome instanceof Error) expect(outcome).toBeInstanceOf(pf.PushforwardError);
    own.dispose();
    expect(own.liveBufferCount).toBe(0);
  }
});

test("openGpu rejects a tune that is neither a boolean nor a store", async ({ gpu }) => {
  for (const tune of ["yes", 1, {}, { store: {} }, { store: { get: async () => undefined } }, null]) {
    const error = await pf.openGpu({ device: gpu.device, tune: tune as never }).catch((cause: unknown) => cause);
    if (!(error instanceof pf.PushforwardError)) throw new Error(`${JSON.stringify(tune)} was accepted`);
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain("tune");
  }
});
