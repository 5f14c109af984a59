import { reference, shapeOf } from "../networks.ts";
import { flowOf } from "../ours.ts";
import { type Bench, reportRatio, seconds } from "../rounds.ts";

/**
 * The time of a particle against the number of particles, drawn and left on the device: 1 is linear; a step would be a border of chunks.
 * What is drawn is what the other suites compare with f64; here every result is counted, and its end must be finite.
 */
export async function scale(bench: Bench): Promise<void> {
  const network = reference();
  const steps = 1;
  const powers = bench.quick ? [14, 16, 18] : [16, 18, 20, 22];
  const flow = flowOf(bench.gpu, network);
  try {
    const run = async (power: number, seed: number) => {
      const solver = { method: "midpoint", steps } as const;
      const { x, x0, nonFinite } = await flow.sample(1 << power, { solver, seed, output: "gpu" });
      const bytes = x.size;
      x.destroy();
      x0?.destroy();
      if (nonFinite > 0 || bytes !== 4 * network.dim * 2 ** power)
        throw new Error(
          `scale: ${nonFinite} of 2^${power} particles are not finite, in ${bytes} bytes: nothing is reported`,
        );
    };
    const perParticle = new Map(powers.map((power) => [power, [] as number[]]));
    for (const power of powers) await run(power, 0);
    for (let round = 1; round <= bench.rounds; round++) {
      for (const [power, times] of perParticle) {
        // small counts as often as it takes to run as long as the largest: short runs would be all noise
        const repeats = 2 ** Math.max(0, (powers.at(-1) ?? power) - power - 2);
        const taken = await seconds(async () => {
          for (let i = 0; i < repeats; i++) await run(power, round);
        });
        times.push(taken / repeats / 2 ** power);
      }
    }
    const [first = 0] = powers;
    for (const [power, times] of perParticle) {
      reportRatio(bench, {
        suite: "scale",
        work: `${shapeOf(network)}, midpoint ${steps}, n = 2^${power}`,
        unit: `× the time of a particle at 2^${first}`,
        times,
        base: perParticle.get(first) ?? times,
      });
    }
  } finally {
    flow.dispose();
  }
}
