import { makeNetwork, reference, shapeOf, works } from "../networks.ts";
import { type Bench, compare } from "../rounds.ts";

/** Trajectories from t = 0 to 1: the states begin on the host and stay on the device. */
export async function sample(bench: Bench): Promise<void> {
  const run = (network = reference(), n = 1 << 14, method: "euler" | "midpoint" = "midpoint", steps = 10) =>
    compare(bench, {
      suite: "sample",
      name: `${shapeOf(network)}, ${method} ${steps}, n = ${n}`,
      work: works.sample(network, n, method, steps),
    });
  const powers = bench.quick ? [12, 14, 16] : [14, 16, 18, 20];
  for (const power of powers) await run(reference(), 1 << power);
  await run(reference(), 1 << 14, "euler");
  const wide: [dim: number, width: number, n: number, steps: number][] = bench.quick
    ? [
        [2, 128, 2048, 4],
        [64, 512, 512, 2],
      ]
    : [
        [2, 128, 1 << 14, 10],
        [2, 256, 1 << 13, 10],
        [2, 512, 1 << 12, 10],
        [64, 512, 1 << 12, 10],
      ];
  for (const [dim, width, n, steps] of wide) await run(makeNetwork(dim, [width, width, width]), n, "midpoint", steps);
}
