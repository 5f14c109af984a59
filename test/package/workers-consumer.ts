/** Somebody else's use of several workers: the same program in Node, in Deno and in a page. */
import { Flow, openGpu, PushforwardError, wgslVelocity } from "pushforward";
import { openWorkers, type Workers, type WorkersOptions } from "pushforward/workers";

export interface Spread {
  readonly starts: readonly number[];
  readonly threads: number;
  readonly isSame: boolean;
  /** What a call after `close` says. */
  readonly late: string;
}

const rotation = wgslVelocity({
  dim: 2,
  code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }",
});

/** Samples on two threads and compares them with those of one device. */
export async function spread(options: Partial<WorkersOptions> = {}): Promise<Spread> {
  const gpu = await openGpu();
  const flow = Flow.create(gpu, { velocity: rotation });
  const workers: Workers = await openWorkers({ workers: 2, sameAdapter: true, ...options });
  const wanted = await flow.sample(3000, { seed: 1 });
  const starts: number[] = [];
  let isSame = true;
  for await (const { start, x } of workers.sampleStream(flow, 3000, { seed: 1, rangeSize: 1024 })) {
    starts.push(start);
    isSame &&= x.every((value, i) => value === wanted.x[2 * start + i]);
  }
  const threads = await workers.workerCount();
  await workers.close();
  const error: unknown = await workers.sample(flow, 1).catch((thrown: unknown) => thrown);
  const late = error instanceof PushforwardError ? error.message : String(error);
  flow.dispose();
  gpu.dispose();
  return { starts, threads, isSame, late };
}
