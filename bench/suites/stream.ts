import { Flow, wgslVelocity } from "pushforward";
import { reference, shapeOf } from "../networks.ts";
import { flowOf } from "../ours.ts";
import type { Bench } from "../rounds.ts";
import { spread } from "../statistics.ts";

const rotation = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }`;

/** Bytes of this process, or of the page's scripts; undefined where nobody says. */
function hostBytes(): number | undefined {
  const page = performance as Performance & { memory?: { usedJSHeapSize: number } };
  const scope = globalThis as {
    process?: { memoryUsage?: () => { rss: number } };
    Deno?: { memoryUsage?: () => { rss: number } };
  };
  return scope.Deno?.memoryUsage?.().rss ?? scope.process?.memoryUsage?.().rss ?? page.memory?.usedJSHeapSize;
}

/** Millions of particles through `sampleStream`: the whole stream, beginning and end included, against results that stay on the device, and memory. */
export async function stream(bench: Bench): Promise<void> {
  const network = reference();
  const cases = [
    {
      name: `${shapeOf(network)}, midpoint 10`,
      flow: flowOf(bench.gpu, network),
      count: bench.quick ? 40_000 : 1_000_000,
      solver: { method: "midpoint", steps: 10 } as const,
    },
    {
      name: "rotation in WGSL, midpoint 10",
      flow: Flow.create(bench.gpu, { velocity: wgslVelocity({ dim: 2, code: rotation }) }),
      count: bench.quick ? 1_000_000 : 10_000_000,
      solver: { method: "midpoint", steps: 10 } as const,
    },
  ];
  for (const { name, flow, count, solver } of cases) {
    const work = `${name}, ${count} particles`;
    bench.emit({ type: "progress", text: `stream: ${work}` });
    const kernelOnly: number[] = [];
    const resident = Math.min(count, 1 << 18);
    for (let round = 0; round <= bench.rounds; round++) {
      const start = performance.now();
      const { x, x0 } = await flow.sample(resident, { solver, output: "gpu", seed: round });
      if (round > 0) kernelOnly.push(resident / ((performance.now() - start) / 1000));
      x.destroy();
      x0?.destroy();
    }
    const before = hostBytes() ?? 0;
    let most = before;
    let done = 0;
    const start = performance.now();
    for await (const chunk of flow.sampleStream(count, { solver, seed: 1 })) {
      done = chunk.start + chunk.count;
      most = Math.max(most, hostBytes() ?? 0);
    }
    const rate = done / ((performance.now() - start) / 1000);
    if (done !== count) throw new Error(`${work}: ${done} particles came out of the stream: nothing is reported`);
    flow.dispose();
    const kernels = spread(kernelOnly);
    const figure = { suite: "stream", contender: "pushforward" };
    bench.emit({
      type: "figure",
      figure: {
        ...figure,
        work,
        unit: "particles/s",
        n: count,
        median: rate,
        low: rate,
        high: rate,
        rounds: 1,
        remark: `host memory grew by ${((most - before) / 2 ** 20).toFixed(0)} MiB`,
      },
    });
    bench.emit({
      type: "figure",
      figure: { ...figure, work: `${work}: output on the device`, unit: "particles/s", ...kernels },
    });
    const share = rate / kernels.median;
    bench.emit({
      type: "figure",
      figure: {
        ...figure,
        work: `${work}: stream`,
        unit: "× output on the device",
        median: share,
        low: share,
        high: share,
        rounds: 1,
      },
    });
  }
}
