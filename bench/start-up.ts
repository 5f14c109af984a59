import type { BenchEvent } from "./figure.ts";

/** What a fresh process takes: import, device, first and second result. Nothing of the library is loaded before. */
export async function main(
  _args: object,
  emit: (event: BenchEvent | { type: "start-up"; seconds: Record<string, number> }) => void,
) {
  const seconds: Record<string, number> = {};
  let last = performance.now();
  const mark = (name: string) => {
    const now = performance.now();
    seconds[name] = (now - last) / 1000;
    last = now;
  };
  const { Flow, mlp, openGpu, trainFlowMatching, trainMaximumLikelihood } = await import("pushforward");
  mark("import");
  const gpu = await openGpu();
  mark("openGpu");
  const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64] }), seed: 1 });
  const solver = { method: "midpoint", steps: 10 } as const;
  await flow.sample(1024, { solver });
  mark("first sample of 1,024 (pipelines compiled)");
  await flow.sample(1024, { solver });
  mark("second sample of 1,024");
  await flow.logProb(new Float32Array(2048), { solver });
  mark("first logProb of 1,024 (pipelines compiled)");
  const data = Float32Array.from({ length: 2048 }, (_, i) => Math.sin(i));
  for await (const _ of trainFlowMatching(flow, data, { steps: 1, batchSize: 512, seed: 1 }));
  mark("first step of flow matching, 512 samples (kernels compiled)");
  for await (const _ of trainMaximumLikelihood(flow, data, { steps: 1, batchSize: 512, seed: 1, solver }));
  mark("first step by likelihood, 512 samples (kernels compiled)");
  emit({ type: "start-up", seconds });
  flow.dispose();
  gpu.dispose();
}
