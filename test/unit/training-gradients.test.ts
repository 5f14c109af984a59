import { expect, test } from "vitest";
import type { Flow } from "../../src/flow/flow.ts";
import { type MlpOptions, mlp } from "../../src/network/mlp.ts";
import { flowMatchingGradients } from "../../src/train/entry.ts";
import type { FlowMatchingBatch } from "../../src/train/flow-matching-options.ts";
import { largestBatch } from "../../src/train/largest-batch.ts";

const plain: MlpOptions = { dim: 2, hidden: [8] };
const batch: FlowMatchingBatch = { x0: new Float32Array(6), x1: new Float32Array(6), t: new Float32Array(3) };
const bad = (length: number, at: number) => new Float32Array(length).fill(Number.NaN, at, at + 1);
// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;

const faults: [string, MlpOptions, Partial<FlowMatchingBatch>, RegExp][] = [
  ["x0 that is no whole number of rows", plain, { x0: new Float32Array(5) }, /x0.*5.*dim 2/],
  ["x0 of another type", plain, { x0: loose([0, 0]) }, /x0/],
  ["no rows", plain, { x0: new Float32Array(0), x1: new Float32Array(0), t: new Float32Array(0) }, /x0 is empty/],
  ["starts without ends", plain, { x1: new Float32Array(4) }, /x1 has 4 values, but x0 has 6/],
  ["too few times", plain, { t: new Float32Array(2) }, /3 pairs need a Float32Array of 3 times/],
  ["one time for all", plain, { t: loose(0.5) }, /t is 0\.5, but 3 pairs need/],
  ["NaN in x0", plain, { x0: bad(6, 3) }, /x0 holds NaN at row 1, column 1/],
  ["NaN in x1", plain, { x1: bad(6, 4) }, /x1 holds NaN at row 2, column 0/],
  ["NaN in t", plain, { t: bad(3, 2) }, /t holds NaN at row 2/],
  ["labels without classes", plain, { labels: new Uint32Array(3) }, /labels/],
  ["context of a wrong length", { ...plain, context: 2 }, { context: new Float32Array(3) }, /context/],
  ["an unknown key", plain, loose({ label: new Uint32Array(3) }), /did you mean "labels"\?/],
];

for (const [name, velocity, part, message] of faults) {
  test(`flowMatchingGradients refuses ${name}`, async () => {
    // Refused before the device is asked for anything, so a velocity is all that is read of the flow.
    const flow = { velocitySpec: mlp(velocity) } as Flow;
    const refused = expect(flowMatchingGradients(flow, { ...batch, ...part })).rejects;
    await refused.toThrow(
      expect.objectContaining({ code: "invalid-argument", message: expect.stringMatching(message) }),
    );
  });
}

test("flowMatchingGradients refuses more rows than one dispatch takes", async () => {
  const flow = { velocitySpec: mlp({ dim: 1, hidden: [] }) } as Flow;
  const many = new Float32Array(largestBatch + 1);
  await expect(flowMatchingGradients(flow, { x0: many, x1: many, t: many })).rejects.toThrow(
    /at most 4194240: average the gradients/,
  );
});
