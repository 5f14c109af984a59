import { describe, expect, test } from "vitest";
import { derivativesOf } from "../../src/dual/derivatives.ts";
import { PushforwardError } from "../../src/errors.ts";
import { checkCells } from "../../src/flow/cells.ts";
import { loadFlow } from "../../src/flow/file.ts";
import type { Flow } from "../../src/flow/flow.ts";
import { histogramSummary } from "../../src/flow/reductions.ts";
import { sampleRequest } from "../../src/flow/requests.ts";
import * as pf from "../../src/index.ts";
import { findTensors } from "../../src/io/tensor-names.ts";
import { convertPrediction, polynomialPath } from "../../src/path/entry.ts";
import { pack, unpack } from "../../src/spread/parcel.ts";
import { checkTask } from "../../src/spread/range-task.ts";
import { optimizerSettings } from "../../src/train/optimizer-settings.ts";
import { flowMatchingPlan } from "../../src/train/plan.ts";
import { detached } from "../hostile.ts";
import { shapeOf, told } from "./refusals.ts";

// Values that TypeScript would refuse are passed as a JavaScript user could.
const loose = (value: unknown) => value as never;
const velocity = pf.mlp({ dim: 2, hidden: [2], classes: 2 });
const shape = shapeOf(velocity);

const self: unknown[] = [];
self.push(self);
const nonsense = [
  null,
  undefined,
  "a",
  Number.NaN,
  -1,
  1.5,
  {},
  [],
  self,
  () => 1,
  Symbol("s"),
  3n,
  new Date(Number.NaN),
  new DataView(new ArrayBuffer(4)),
  Object.create(null),
];

describe("what is no value of theirs is told by the functions that need no device", () => {
  const x = Float32Array.of(0.1, 0.2);
  const calls: Record<string, (value: unknown) => unknown> = {
    "bitsPerDim, logProb": (v) =>
      typeof v !== "number" && pf.bitsPerDim(loose(Array.isArray(v) && v.length === 0 ? null : v), 2),
    "bitsPerDim, dim": (v) => pf.bitsPerDim(1, loose(v)),
    "bitsPerDim, options": (v) =>
      pf.bitsPerDim(1, 2, loose(isEmpty(v) || v === undefined || typeof v === "function" ? null : v)),
    "fitNormalization, data": (v) => pf.fitNormalization(loose(v), 2),
    "fitNormalization, dim": (v) => pf.fitNormalization(x, loose(v)),
    "toyData, name": (v) => pf.toyData(loose(v), 2),
    "toyData, count": (v) => pf.toyData("moons", loose(v)),
    "decodeSafetensors, bytes": (v) => pf.decodeSafetensors(loose(v)),
    "encodeSafetensors, tensors": (v) => pf.encodeSafetensors(loose(isEmpty(v) ? null : v)),
    "encodeSafetensors, a tensor": (v) => pf.encodeSafetensors({ a: loose(v) }),
    "encodeSafetensors, data": (v) => pf.encodeSafetensors({ a: { shape: [1], data: loose(v) } }),
    "convertPrediction, values": (v) => convertPrediction(loose(v), x, 0.5, { from: "velocity", to: "x1" }),
    "convertPrediction, t": (v) => convertPrediction(x, x, loose(v), { from: "velocity", to: "x1" }),
    "convertPrediction, options": (v) => convertPrediction(x, x, 0.5, loose(v)),
    "convertPrediction, path": (v) =>
      v !== undefined && convertPrediction(x, x, 0.5, { from: "velocity", to: "x1", path: loose(v) }),
    polynomialPath: (v) => v !== 1.5 && polynomialPath(loose(v)),
    "mlp, options": (v) => pf.mlp(loose(v)),
    "mlp, hidden": (v) => !isEmpty(v) && pf.mlp({ dim: 2, hidden: loose(v) }),
    wgslVelocity: (v) => pf.wgslVelocity({ dim: 2, code: loose(v) }),
    "a job": (v) => checkTask(v, {}),
    "a job's arrays": (v) =>
      checkTask({ what: "sample", start: 0, count: 1, total: 1, options: {} }, isEmpty(v) ? null : v),
    "a parcel": (v) => unpack(loose(v), "a test"),
  };
  function isEmpty(value: unknown): boolean {
    return typeof value === "object" && value !== null && Object.keys(value).length === 0;
  }
  for (const [name, call] of Object.entries(calls)) {
    test(name, () => {
      for (const value of nonsense) {
        // where a value is left out or is good, nothing is asked
        try {
          const result = call(value);
          if (result === false) continue;
        } catch (error) {
          expect(error, `${name} of ${typeof value}`).toBeInstanceOf(PushforwardError);
          expect((error as Error).message).not.toMatch(/\[object|Cannot read|is not iterable|not a function/);
          continue;
        }
        throw new Error(
          `${name} took ${typeof value} ${Array.isArray(value) ? "array" : String(typeof value === "object" ? "object" : String(value))}`,
        );
      }
    });
  }
});

test("a damaged parcel says so", () => {
  const head = new TextEncoder().encode("nonsense");
  const bytes = new Uint8Array(16);
  bytes.set(pack({}).subarray(0, 4));
  bytes.set([8, 0, 0, 0], 4);
  bytes.set(head, 8);
  expect(told(() => unpack(bytes, "an input"))).toMatch(/no parcel of pushforward/);
});

test("numbers that f32 does not hold are refused where a device would make 0 or infinity of them", () => {
  const data = Float32Array.of(0, 1, 2, 3);
  const labels = Uint32Array.of(0, 1);
  const flow = { velocitySpec: velocity, dim: 2 } as Flow;
  const train = (o: object) => () => flowMatchingPlan(flow, data, { steps: 1, labels, ...o });
  for (const [name, ...calls] of [
    ["learningRate", train({ learningRate: 1e-50 }), train({ learningRate: 1e39 })],
    ["gradientClip", train({ gradientClip: 1e39 })],
    [
      "weightDecay",
      () =>
        optimizerSettings("test", {
          optimizer: { name: "adamw", weightDecay: 1e-50 },
        }),
    ],
    [
      "guidance",
      () => sampleRequest(shape, "sample", 2, { labels, guidance: 1e39 }),
      () => sampleRequest(shape, "sample", 2, { labels, guidance: -1e-50 }),
    ],
    ["solver.atol", () => sampleRequest(shape, "sample", 2, { labels, solver: { method: "dopri5", atol: 1e39 } })],
    [
      "range[0][1]",
      () =>
        histogramSummary(shape, 2, {
          bins: [2, 2],
          range: [
            [0, 1e39],
            [0, 1],
          ],
        }),
    ],
    [
      "box[1][0]",
      () =>
        checkCells(
          "densityGrid",
          shape,
          [
            [0, 1],
            [-1e39, 1],
          ],
          [2, 2],
        ),
    ],
  ] as [string, ...(() => unknown)[]][])
    for (const call of calls) expect(told(call)).toMatch(new RegExp(`${name.replace(/[[\].]/g, "\\$&")} is .*f32`));
});

test("bins and cells that are one in f32 are refused", () => {
  const range = [
    [1e8, 1e8 + 1],
    [0, 1],
  ] as [[number, number], [number, number]];
  expect(told(() => histogramSummary(shape, 2, { bins: [64, 2], range }))).toMatch(
    /range\[0\] .* 64 bins, but f32 numbers are 8\.00 apart/,
  );
  expect(told(() => checkCells("densityGrid", shape, range, [64, 2]))).toMatch(/box\[0\] .* 64 cells, but f32/);
  expect(
    told(() =>
      histogramSummary(shape, 2, {
        bins: [64, 2],
        range: [
          [0, 1e-37],
          [0, 1],
        ],
      }),
    ),
  ).toMatch(/f32 numbers are/);
  expect(told(() => histogramSummary(shape, 2, { bins: [2, 2], range: loose([5, [0, 1]]) }))).toMatch(
    /range\[0\] is 5, but it is \[low, high\]/,
  );
});

test("WGSL that calls itself, or nests too deeply, is told with its line before a derivative is made of it", () => {
  const V = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM>";
  const cases: [string, RegExp][] = [
    [`${V} { return velocity(t, x); }`, /line 1 .*fn velocity that calls itself/],
    [
      `fn a(s: f32) -> f32 { return b(s); }\nfn b(s: f32) -> f32 { return a(s); }\n${V} { return array<f32, DIM>(a(x[0]), x[1]); }`,
      /line 1 .*fn a that calls itself/,
    ],
    [
      `${V} {\n let a = ${"(".repeat(5000)}x[0]${")".repeat(5000)}; return array<f32, DIM>(a, a); }`,
      /line 2 .*more than 127 brackets/,
    ],
    [`${V} {\n let a = ${"- ".repeat(5000)}x[0]; return array<f32, DIM>(a, a); }`, /line 2 .*more than 127/],
    [`${V} {\n${"{".repeat(5000)}${"}".repeat(5000)} return x; }`, /line 2 .*more than 127/],
    [`${V} { let a = x${"[0".repeat(5000)}${"]".repeat(5000)}; return x; }`, /more than 127/],
    [`${V} { let a: ${"array<".repeat(5000)}f32${">".repeat(5000)} = x; return x; }`, /more than 127/],
    [`${V} { let a = ${"x[0] + ".repeat(40_000)}x[1]; return array<f32, DIM>(a, a); }`, /thousands of others/],
  ];
  for (const [code, message] of cases) expect(told(() => derivativesOf(code, 2))).toMatch(message);
  expect(
    derivativesOf(`${V} { let a = ${"(".repeat(60)}x[0]${")".repeat(60)}; return array<f32, DIM>(a, a); }`, 2),
  ).toContain("pf_trace");
});

test("values that have no text of their own are told in words", async () => {
  for (const value of [Symbol("s"), Object.create(null), 10n])
    await expect(pf.openGpu({ memoryBudget: loose(value) })).rejects.toThrow(/^memoryBudget is .*a number of bytes/);
  expect(
    told(() =>
      findTensors(
        [{ name: "a", shape: [1] }],
        {},
        loose(() => 3),
        () => undefined,
      ),
    ),
  ).toMatch(/tensors gives 3 for "a"/);
  const mine = new TypeError("mine");
  const throws = () => {
    throw mine;
  };
  const bytes = pf.encodeSafetensors({ a: { shape: [1], data: Float32Array.of(1) } });
  expect(() => loadFlow(bytes, { velocity: pf.mlp({ dim: 1, hidden: [] }), tensors: throws })).toThrow(mine);
  const options = { labels: new Uint32Array(8), bins: [2, 2], range: [detached(2), [0, 1]] };
  expect(told(() => histogramSummary(loose(shape), 8, loose(options)))).toMatch(/range\[0\].*memory is gone/);
});
