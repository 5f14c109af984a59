import { Flow, type Gpu, wgslVelocity } from "pushforward";
import { reference, shapeOf } from "../networks.ts";
import { flowOf } from "../ours.ts";
import { Replay } from "../replay.ts";
import { type Bench, seconds } from "../rounds.ts";
import { spread } from "../statistics.ts";

const rotation = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }`;
const solver = { method: "midpoint", steps: 10 } as const;

/** Bytes of this process, or of the page's scripts; undefined where nobody says. */
function hostBytes(): number | undefined {
  const page = performance as Performance & { memory?: { usedJSHeapSize: number } };
  const scope = globalThis as {
    process?: { memoryUsage?: () => { rss: number } };
    Deno?: { memoryUsage?: () => { rss: number } };
  };
  return scope.Deno?.memoryUsage?.().rss ?? scope.process?.memoryUsage?.().rss ?? page.memory?.usedJSHeapSize;
}

interface Streamed {
  readonly seconds: number;
  readonly chunks: number;
  /** Particles of the largest chunk. */
  readonly largest: number;
  readonly hostBytes: number;
}

/** One whole stream, beginning and end included. */
async function run(flow: Flow, count: number, seed: number): Promise<Streamed> {
  let done = 0;
  let chunks = 0;
  let largest = 0;
  let most = hostBytes() ?? 0;
  const time = await seconds(async () => {
    for await (const chunk of flow.sampleStream(count, { solver, seed })) {
      done = chunk.start + chunk.count;
      chunks++;
      largest = Math.max(largest, chunk.count);
      most = Math.max(most, hostBytes() ?? 0);
    }
  });
  if (done !== count) throw new Error(`${done} of ${count} particles came out of the stream: nothing is reported`);
  return { seconds: time, chunks, largest, hostBytes: most };
}

/** Brings as many bytes to the host as a stream does, chunk after chunk, with nothing computed. */
async function readBackAlone({ device }: Gpu, bytes: number, chunks: number): Promise<number> {
  const size = Math.ceil(bytes / chunks / 4) * 4;
  const source = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const time = await seconds(async () => {
    for (let i = 0; i < chunks; i++) {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(GPUMapMode.READ);
      staging.getMappedRange().slice(0);
      staging.unmap();
    }
  });
  source.destroy();
  staging.destroy();
  return time;
}

/** Particles through `sampleStream`, against a replay of its dispatches with nothing around them, in turn; and host memory. */
export async function stream(bench: Bench): Promise<void> {
  const { gpu, home, quick, emit } = bench;
  const network = reference();
  // bytes of x and x0 of a particle
  const cases = [
    { work: `${shapeOf(network)}, midpoint 10`, flow: flowOf(gpu, network), bytes: 2 * 3 * 4 },
    {
      work: "rotation in WGSL, midpoint 10",
      flow: Flow.create(gpu, { velocity: wgslVelocity({ dim: 2, code: rotation }) }),
      bytes: 2 * 2 * 4,
    },
  ];
  for (const { work, flow, bytes } of cases) {
    emit({ type: "progress", text: `stream: ${work}` });
    try {
      // Compiles, and finds out the speed, by which the length of a run is chosen.
      let trial = 10_000;
      let taken = 0;
      while (taken < 0.5) {
        trial *= 2;
        taken = (await run(flow, trial, 0)).seconds;
      }
      const count = Math.ceil((trial / taken) * (quick ? 1.5 : 5));
      const before = hostBytes() ?? 0;
      const chunk = (await run(flow, count, 0)).largest;
      const times = Math.ceil(count / chunk);
      const record = () =>
        Replay.of(gpu, home, async () => {
          for await (const _ of flow.sampleStream(chunk, { solver, chunkSize: chunk }));
        });
      // the first wait is not slept over, and takes a core from a software adapter
      let expected = 0.6 * (await (await record()).run(times, 0));
      const kernels: number[] = [];
      const streams: number[] = [];
      const shares: number[] = [];
      const reading: number[] = [];
      let most = 0;
      for (let round = 0; round < bench.rounds; round++) {
        const replay = await record();
        expected = await replay.run(times, expected);
        const alone = (times * chunk) / expected;
        const streamed = await run(flow, count, round);
        kernels.push(alone);
        streams.push(count / streamed.seconds);
        shares.push(count / streamed.seconds / alone);
        reading.push(((await readBackAlone(gpu, count * bytes, streamed.chunks)) * alone) / count);
        most = Math.max(most, streamed.hostBytes);
      }
      const figure = { suite: "stream", contender: "pushforward" };
      const tell = (name: string, unit: string, values: number[], remark?: string) =>
        emit({
          type: "figure",
          figure: { ...figure, work: name, unit, ...spread(values), ...(remark ? { remark } : {}) },
        });
      tell(work, "particles/s", streams, `host memory grew by ${((most - before) / 2 ** 20).toFixed(0)} MiB`);
      tell(`${work}: kernels alone`, "particles/s", kernels);
      tell(`${work}: stream`, "× kernels alone", shares);
      tell(`${work}: read-back alone`, "× kernels' time", reading);
    } finally {
      flow.dispose();
    }
  }
}
