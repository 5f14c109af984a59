import * as pf from "pushforward";
import { Arena } from "../../src/gpu/arena.ts";
import { readBack } from "../../src/gpu/read.ts";
import { type GroupPlan, groupBuffers, planGroup, pointWidth, regularizations } from "../../src/kernels/sinkhorn.ts";
import { normals, philox, randomIndex, streams, uniform01 } from "../../src/random/philox.ts";
import { shuffledRow } from "../../src/random/shuffle.ts";
import { columnError, plan, sinkhorn } from "../oracle/sinkhorn.ts";
import { squaredDistances } from "../oracle/transport.ts";
import { expect, expectClose, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const key = [123, 456] as const;
const rows = 37;
/** The group's samples cross the word boundary of the counter. */
const first = 2 ** 32 - 40;
const n = 96;

const wordOf = (i: number, stream: number): number => {
  const words = new Uint32Array(4);
  philox((first + i) >>> 0, Math.floor((first + i) / 2 ** 32), 0, stream, key, words);
  return words[0] ?? 0;
};

const cases: [string, { dim: number; context: number; labels: boolean }, Partial<GroupPlan>][] = [
  ["a plane", { dim: 2, context: 0, labels: false }, {}],
  ["shuffled rows", { dim: 2, context: 0, labels: false }, { shuffled: true, iterations: 8 }],
  ["labels and context, in many dispatches", { dim: 3, context: 2, labels: true }, { maxFlops: 1, iterations: 31 }],
  ["more dimensions than are unrolled", { dim: 18, context: 0, labels: false }, { regularization: 0.1, iterations: 8 }],
];

for (const [name, { dim, context, labels: hasLabels }, own] of cases) {
  test(`Sinkhorn's algorithm agrees with f64, and pairs are drawn from its plan: ${name}`, async ({ gpu }) => {
    const data = uniformArray(rows * dim, -2, 2, 1);
    const contexts = uniformArray(rows * Math.max(1, context), -1, 1, 2);
    const labels = Uint32Array.from({ length: rows }, (_, i) => (i % 5 === 0 ? 0xffffffff : i % 3));
    const factors = [1.5, 0.5].slice(0, context);
    const names = {
      labels: hasLabels ? "labels" : undefined,
      context: context > 0 ? "context" : undefined,
      draws: undefined,
    };
    const o: GroupPlan = {
      velocity: { dim, context },
      source: { kind: "gaussian", parts: 1 },
      ...{ count: n, rows, first, key, names, meanCost: dim * 2.3, regularization: 0.02, iterations: 60 },
      ...{ pairsAt: n, figuresAt: 4, factorsAt: 5 * dim, maxFlops: 1e9 },
      ...own,
    };
    const width = pointWidth(o);
    const arena = new Arena(gpu.current);
    const read = async (buffer: string, count: number) => readBack(gpu.current, arena.buffer(buffer), count * 4);
    try {
      await arena.allocate("data", data.byteLength, data);
      const zeros = new Array<number>(dim).fill(0);
      const ones = new Array<number>(dim).fill(1);
      const constants = Float32Array.of(...zeros, ...ones, ...zeros, ...zeros, ...ones, ...factors);
      await arena.allocate("constants", constants.byteLength, constants);
      await arena.allocate("labels", labels.byteLength, labels);
      await arena.allocate("context", contexts.byteLength, contexts);
      await arena.allocate("pairs", 3 * n * 4);
      await arena.allocate("figures", 12 * 4);
      for (const { name: buffer, bytes, data: filled } of groupBuffers(width, n))
        await arena.allocate(buffer, bytes, filled);
      const dispatches = planGroup(o);
      await arena.submit(dispatches);

      // points: source samples by their numbers, rows as drawn, then contexts and classes on both sides
      const points = async (buffer: string) => {
        const columns = new Float32Array(await read(buffer, width * n));
        return columns.map((_, k) => columns[(k % width) * n + Math.floor(k / width)] ?? 0);
      };
      const [starts, ends] = [await points("plan.starts"), await points("plan.ends")];
      const drawn = Array.from({ length: n }, (_, i) =>
        o.shuffled
          ? shuffledRow((first + i) % rows, Math.floor((first + i) / rows), rows, key)
          : randomIndex(wordOf(i, streams.batchIndex), rows),
      );
      expect([...new Uint32Array(await read("plan.rows", n))]).toEqual(drawn);
      const draws = normals(key, streams.batchSource, first, n, dim);
      const spread = Math.sqrt(1e6 * o.meanCost);
      const beside = (row: number, k: number) => {
        if (k < context) return (contexts[row * context + k] ?? 0) * (factors[k] ?? 0);
        return spread * (labels[row] === 0xffffffff ? -1 : (labels[row] ?? 0));
      };
      const point = (i: number, k: number, state: (i: number, k: number) => number) =>
        k < dim ? state(i, k) : beside(drawn[i] ?? 0, k - dim);
      const wanted = (state: (i: number, k: number) => number) =>
        starts.map((_, at) => point(Math.floor(at / width), at % width, state));
      expectClose(
        starts,
        wanted((i, k) => draws[i * dim + k] ?? 0),
        { relative: 1e-6, absolute: 1e-6 },
      );
      expectClose(
        ends,
        wanted((i, k) => data[(drawn[i] ?? 0) * dim + k] ?? 0),
        { relative: 1e-6, absolute: 1e-6 },
      );

      // potentials are in units of cost
      const cost = squaredDistances(starts, ends, width);
      const epsilons = regularizations(o.meanCost, o.regularization, o.iterations);
      const epsilon = epsilons.at(-1) ?? Number.NaN;
      expect(epsilon).toBeCloseTo(o.meanCost * o.regularization, 12);
      const exact = sinkhorn(cost, n, epsilons);
      const tolerance = { relative: 1e-5, absolute: 1e-5 * o.meanCost };
      expectClose(new Float32Array(await read("plan.g", n)), exact.g, tolerance);
      expectClose(new Float32Array(await read("plan.f", n)), exact.f, tolerance);

      // each pair lies where its uniform number falls among the columns, which are in the order of the lanes
      const p = plan(cost, n, exact, epsilon);
      const lane = (j: number) => Math.floor(j / 4) % 8;
      const order = Array.from({ length: n }, (_, j) => j).sort((a, b) => lane(a) - lane(b) || a - b);
      const pairs = new Uint32Array(await read("pairs", 3 * n)).slice(n, 2 * n);
      for (let i = 0; i < n; i++) {
        const u = uniform01(wordOf(i, streams.plan));
        const nearby = new Set<number>();
        let sum = 0;
        for (const j of order) {
          const before = sum;
          sum += n * (p[i * n + j] ?? 0);
          if (u >= before - 1e-4 && u <= sum + 1e-4) nearby.add(drawn[j] ?? -1);
        }
        expect(nearby.has(pairs[i] ?? -1)).toBe(true);
        if (hasLabels) expect(labels[pairs[i] ?? 0]).toBe(labels[drawn[i] ?? 0]);
      }

      const states = (x: Float32Array) => x.filter((_, k) => k % width < dim);
      const distances = squaredDistances(states(starts), states(ends), dim);
      const independent = Array.from({ length: n }, (_, i) => distances[i * n + i] ?? 0);
      const coupled = Array.from(pairs, (row, i) => distances[i * n + drawn.indexOf(row)] ?? 0);
      const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / n;
      const figures = new Float32Array(await read("figures", 12)).slice(4, 7);
      expectClose(figures.slice(0, 2), [mean(coupled), mean(independent)], { relative: 1e-5 });
      // of numbers near 1 in f32, whose exponents are differences of costs
      expectClose(figures.slice(2), [columnError(p, n)], { absolute: 2e-4 });
      expect(mean(coupled)).toBeLessThan(mean(independent));
    } finally {
      arena.release();
    }
  });
}

test("pairs by Sinkhorn's algorithm train to the same bits, resumed or not, and shorten the paths", async ({ gpu }) => {
  const data = pf.toyData("moons", 400);
  const labels = Uint32Array.from({ length: 400 }, (_, i) => i % 2);
  const context = Float32Array.from({ length: 400 }, (_, i) => Math.cos(i));
  const velocity = pf.mlp({ dim: 2, hidden: [4], classes: 2, context: 1 });
  const coupling = { method: "sinkhorn", group: 128, reuse: 2, pool: 256, iterations: 20, contextWeight: 1 } as const;
  const run = async (own: Partial<pf.FlowMatchingOptions>) => {
    const flow = pf.Flow.create(gpu, { velocity, seed: own.resume ? 9 : 1 });
    const saved = new Map<number, Uint8Array>();
    const checkpoint = { every: 4, save: (bytes: Uint8Array, step: number) => void saved.set(step, bytes) };
    const o = { steps: 7, batchSize: 65, logEvery: 3, labels, context, coupling, checkpoint, ...own };
    const validation = { data: data.slice(0, 200), labels: labels.slice(0, 100), context: context.slice(0, 100) };
    const told: object[] = [];
    for await (const { samplesPerSecond, ...step } of pf.trainFlowMatching(flow, data, { ...o, validation })) {
      told.push(step);
      const { coupled = 1, independent = 0, marginalError = 1 } = step.transportCost ?? {};
      expect(coupled).toBeLessThan(0.8 * independent);
      expect(marginalError).toBeLessThan(0.2);
    }
    const weights = await flow.weights();
    flow.dispose();
    return { told, saved, weights };
  };
  const whole = await run({});
  const resumed = await run({ resume: whole.saved.get(4) as Uint8Array });
  expect(resumed.weights).toEqual(whole.weights);
  expect(resumed.told).toEqual(whole.told.slice(1));
});
