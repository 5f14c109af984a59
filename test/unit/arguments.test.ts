import { expect, test } from "vitest";
import { PushforwardError } from "../../src/errors.ts";
import { pushFields, runFields } from "../../src/flow/fields.ts";
import type { Flow } from "../../src/flow/flow.ts";
import { chunksOf } from "../../src/flow/streams.ts";
import * as pf from "../../src/index.ts";
import { networkOf } from "../../src/network/of.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { checked } from "../../src/options/schema.ts";
import { flatten } from "../../src/velocity/parameters.ts";

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

async function told(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(PushforwardError);
    expect((error as PushforwardError).code).toBe("invalid-argument");
    return (error as Error).message;
  }
  throw new Error("the call was expected to fail");
}

test("trainers say what they were given in place of a flow", async () => {
  const x = Float32Array.of(1, 2);
  for (const wrong of [null, undefined, "flow", Number.NaN, {}, Symbol("a"), Promise.resolve()]) {
    expect(await told(() => pf.trainFlowMatching(loose(wrong), x, { steps: 1 }))).toContain("Flow.create");
    expect(await told(() => pf.trainMaximumLikelihood(loose(wrong), x, { steps: 1 }))).toContain("Flow.create");
    expect(await told(() => pf.flowMatchingGradients(loose(wrong), { x0: x, x1: x, t: x }))).toContain("Flow.create");
    expect(await told(() => pf.likelihoodGradients(loose(wrong), x))).toContain("Flow.create");
    expect(await told(() => pf.logProbGradient(loose(wrong), x))).toContain("Flow.create");
  }
});

test("a signal is an AbortSignal, for single calls and for streams", async () => {
  for (const signal of [null, "stop", Symbol("a"), {}, { throwIfAborted: () => undefined }]) {
    expect(await told(() => checked("sample", runFields, { signal } as pf.RunOptions))).toContain("AbortSignal");
    expect(await told(() => checked("pushStream", pushFields, { signal } as pf.PushOptions))).toContain("AbortSignal");
  }
});

test("a text is no stream of chunks", async () => {
  const flow = { dim: 2 } as Flow;
  expect(await told(() => chunksOf(flow, "logProbStream", "rows.csv"))).toMatch(/chunks is "rows\.csv".*\[n, 2\]/);
});

test("times of a grid are numbers, not what could be made into one", async () => {
  for (const time of ["1", Symbol("1"), 1n, null, {}, Object.create(null)]) {
    const solver = { method: "euler", times: [0, time] };
    expect(await told(() => timeGrid("push", loose(solver), 0, 1, undefined))).toContain("solver.times[1]");
  }
});

test("a tensor's shape is a list of sizes", async () => {
  const tensors = networkOf(pf.mlp({ dim: 1, hidden: [] })).tensors;
  const data = new Float32Array(2);
  for (const shape of [null, undefined, "1,2", 2, {}, [Symbol("1"), 2], ["1,2"], [2, 1]]) {
    const weights = { "net.0.weight": { shape, data }, "net.0.bias": Float32Array.of(0) };
    expect(await told(() => flatten(tensors, loose(weights)))).toMatch(/"net\.0\.weight" has the shape .* \[1, 2\]/);
  }
});

test("metadata that JSON cannot hold are refused as what they are", async () => {
  const self: Record<string, unknown> = {};
  self.self = self;
  for (const value of [3n, self, Symbol("a")])
    expect(await told(() => pf.encodeSafetensors({}, loose({ made: value })))).toContain('metadata "made" is ');
  expect(await told(() => pf.encodeSafetensors({ a: { shape: loose([3n]), data: new Float32Array(3) } }))).toMatch(
    /shape of tensor "a"/,
  );
});
