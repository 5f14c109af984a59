import { prepareBandwidth } from "../ceiling.ts";
import type { Bench } from "../rounds.ts";
import { spread } from "../statistics.ts";

/** What the adapter can do at all: multiply-adds in registers, and bytes through memory. */
export async function ceiling(bench: Bench): Promise<void> {
  const bandwidth = await prepareBandwidth(bench.gpu.device, bench.home);
  const rates = { flops: [] as number[], bytes: [] as number[] };
  for (let round = 0; round < 2 * bench.rounds; round++) {
    rates.flops.push(await bench.ceiling.measure());
    rates.bytes.push(await bandwidth.measure());
  }
  const report = (work: string, unit: string, values: readonly number[], remark: string) =>
    bench.emit({
      type: "figure",
      figure: { suite: "ceiling", work, contender: "adapter", unit, ...spread(values), remark },
    });
  report("multiply-add ceiling", "FLOP/s", rates.flops, bench.ceiling.shape);
  report("memory bandwidth, read + write", "B/s", rates.bytes, bandwidth.shape);
  bandwidth.dispose();
}
