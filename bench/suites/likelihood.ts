import type { Divergence } from "../contender.ts";
import { makeNetwork, shapeOf, works } from "../networks.ts";
import { type Bench, compare, reportRatio } from "../rounds.ts";

/** Log-likelihoods by the backward ODE, and what they cost as a multiple of plain sampling with the same steps. */
export async function likelihood(bench: Bench): Promise<void> {
  const cases: [dim: number, divergence: Divergence, n: number][] = [
    [2, "exact", bench.quick ? 4096 : 1 << 16],
    [3, "exact", bench.quick ? 2048 : 1 << 14],
    [8, "exact", bench.quick ? 1024 : 1 << 13],
    [16, "exact", bench.quick ? 512 : 1 << 12],
    [16, { probe: "rademacher", probes: 1 }, bench.quick ? 2048 : 1 << 14],
    [16, { probe: "rademacher", probes: 4 }, bench.quick ? 1024 : 1 << 13],
    [64, { probe: "rademacher", probes: 1 }, bench.quick ? 1024 : 1 << 13],
    [64, { probe: "rademacher", probes: 4 }, bench.quick ? 512 : 1 << 12],
  ];
  const steps = bench.quick ? 5 : 10;
  for (const [dim, divergence, n] of cases) {
    const network = makeNetwork(dim, [64, 64, 64]);
    const how = divergence === "exact" ? "exact" : `${divergence.probes} probe${divergence.probes > 1 ? "s" : ""}`;
    const name = `${shapeOf(network)}, midpoint ${steps}, n = ${n}`;
    const times = await compare(bench, {
      suite: "likelihood",
      name: `${name}, ${how}`,
      work: works.likelihood(network, n, divergence, steps),
    });
    const plain = await compare(
      { ...bench, contenders: bench.contenders.slice(0, 1) },
      { suite: "likelihood", name: `${name}, sampling only`, work: works.sample(network, n, "midpoint", steps) },
    );
    reportRatio(bench, {
      suite: "likelihood",
      work: `${name}, ${how}: cost`,
      unit: "× sampling",
      times,
      base: plain,
    });
  }
}
