import { divergence as divergenceF64, network } from "../../test/oracle/mlp.ts";
import { row } from "../../test/oracle/vectors.ts";
import type { Divergence } from "../contender.ts";
import { makeNetwork, shapeOf, uniform } from "../networks.ts";
import { flowOf } from "../ours.ts";
import { type Bench, reportRatio, seconds } from "../rounds.ts";
import { spread } from "../statistics.ts";

/** One evaluation of div u, and what it costs as a multiple of one of u. */
export async function divergence(bench: Bench): Promise<void> {
  const cases: [dim: number, how: Divergence][] = [
    ...[2, 3, 8, 16].map((dim): [number, Divergence] => [dim, "exact"]),
    ...[16, 64].flatMap((dim) => [1, 4].map((probes): [number, Divergence] => [dim, { probe: "rademacher", probes }])),
  ];
  const n = bench.quick ? 1 << 12 : 1 << 16;
  for (const [dim, how] of cases) {
    const shape = makeNetwork(dim, [64, 64, 64]);
    const flow = flowOf(bench.gpu, shape);
    const x = uniform(n * dim, 1.5, 3);
    const name = `${shapeOf(shape)}, ${how === "exact" ? how : `${how.probes} probes`}, n = ${n}`;
    bench.emit({ type: "progress", text: `divergence: ${name}` });
    const got = await flow.divergence(x, 0.4, { divergence: how });
    if (how === "exact") {
      const net = network({ dim, hidden: [...shape.hidden], activation: shape.activation }, shape.weights);
      for (const p of [0, 1, n - 1]) {
        const wanted = divergenceF64(net, 0.4, row(x, dim, p), "exact");
        if (!(Math.abs((got[p] ?? Number.NaN) - wanted) <= 1e-4 * (1 + Math.abs(wanted))))
          throw new Error(
            `divergence, ${name}: particle ${p} has ${got[p]}, but f64 gives ${wanted}: nothing is reported`,
          );
      }
    }
    const times: number[] = [];
    const base: number[] = [];
    await flow.velocity(x, 0.4);
    for (let round = 0; round < bench.rounds; round++) {
      base.push(await seconds(() => flow.velocity(x, 0.4)));
      times.push(await seconds(() => flow.divergence(x, 0.4, { divergence: how, seed: round })));
    }
    flow.dispose();
    bench.emit({
      type: "figure",
      figure: {
        suite: "divergence",
        work: name,
        contender: "pushforward",
        unit: "particles/s",
        n,
        width: 64,
        ...spread(times.map((time) => n / time)),
      },
    });
    reportRatio(bench, { suite: "divergence", work: `${name}: cost`, unit: "× velocity", times, base });
  }
}
