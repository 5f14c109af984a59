import { Flow, mlp, residualMlp } from "pushforward";
import { type NetworkSpec, networkDerivatives } from "../../test/oracle/network.ts";
import { uniform } from "../networks.ts";
import { type Bench, reportRatio, seconds } from "../rounds.ts";

/** Blocks of the residual network; each has two products of width × width. */
const blocks = 2;

/**
 * A residual network that time modulates (FiLM), beside a plain MLP with as many multiply-adds per particle, in the same rounds: the share
 * of the MLP's rate that it has. What depends on the time alone is no work of a particle.
 */
export async function networks(bench: Bench): Promise<void> {
  for (const width of bench.quick ? [64] : [64, 160]) {
    const n = (bench.quick ? 1 << 12 : 1 << 14) / (width > 64 ? 4 : 1);
    const residual = Flow.create(bench.gpu, { velocity: residualMlp({ dim: 2, width, blocks }), seed: 1 });
    const hidden = Array.from({ length: 2 * blocks + 1 }, () => width);
    const plain = Flow.create(bench.gpu, { velocity: mlp({ dim: 2, hidden }), seed: 1 });
    const weights = await residual.weights();
    // the blocks begin as zeros
    for (const [i, values] of Object.values(weights).entries())
      for (const [k, noise] of uniform(values.length, 0.1, i).entries()) values[k] = (values[k] ?? Number.NaN) + noise;
    residual.setWeights(weights);
    const x = uniform(2 * n, 1.5, 3);
    const name = `residual of ${blocks} blocks of ${width}`;
    bench.emit({ type: "progress", text: `networks: ${name}` });
    await check(residual, weights, x);
    const solver = { method: "midpoint", steps: 10 } as const;
    const works: Record<string, (flow: Flow) => Promise<unknown>> = {
      "sample, midpoint 10": async (flow) => (await flow.push(x, { solver, output: "gpu" })).x.destroy(),
      "log p, midpoint 10, exact": (flow) => flow.logProb(x, { solver }),
    };
    for (const [work, run] of Object.entries(works)) {
      const times: number[] = [];
      const base: number[] = [];
      for (const flow of [plain, residual, plain, residual]) await run(flow);
      for (let round = 0; round < bench.rounds; round++) {
        base.push(await seconds(() => run(plain)));
        times.push(await seconds(() => run(residual)));
      }
      reportRatio(bench, {
        suite: "networks",
        work: `${name}, ${work}, n = ${n}`,
        unit: "× the rate of an mlp",
        times: base,
        base: times,
      });
    }
    residual.dispose();
    plain.dispose();
  }
}

/** Throws when the velocity of a few particles is not that of f64. */
async function check(flow: Flow, weights: Record<string, Float32Array>, x: Float32Array): Promise<void> {
  const spec = flow.velocitySpec as unknown as NetworkSpec;
  const some = x.subarray(0, 8);
  const got = await flow.velocity(some, 0.4);
  for (let i = 0; i < 4; i++) {
    const { velocity } = networkDerivatives(spec, weights, 0.4, some.subarray(2 * i, 2 * i + 2), [0, 0], {});
    for (const [k, wanted] of [...velocity].entries()) {
      const value = got[2 * i + k] ?? Number.NaN;
      if (!(Math.abs(value - wanted) <= 1e-4 * (1 + Math.abs(wanted))))
        throw new Error(`networks: particle ${i} has ${value}, but f64 gives ${wanted}: nothing is reported`);
    }
  }
}
