import fc from "fast-check";
import { expect, test } from "vitest";
import * as diagnostics from "../../src/diagnostics/entry.ts";
import * as pf from "../../src/index.ts";
import { checkSizes, compileNetwork } from "../../src/network/network.ts";
import { checkedPicture } from "../../src/view/picture.ts";
import { endsInWords, fuzz, fuzzing, type Template } from "../hostile.ts";

// biome-ignore lint/suspicious/noExplicitAny: arguments are wrong on purpose
type Any = any;

const small = {
  "a.weight": { shape: [2, 2], data: new Float32Array(4) },
  "a.bias": { shape: [2], data: new Float32Array(2) },
};
const templates: Record<string, Template> = {
  mlp: {
    args: [
      { dim: 2, hidden: [8, 8], activation: "silu", time: { fourier: 2 }, classes: 2, context: 1, inputOrder: "t,x" },
    ],
    call: ([o]) => pf.mlp(o as Any),
  },
  "mlp with features": {
    args: [{ dim: 2, hidden: [8], features: { fourier: { count: 4, scale: 2, seed: 1 } } }],
    call: ([o]) => pf.mlp(o as Any),
  },
  residualMlp: {
    args: [{ dim: 2, width: 8, blocks: 2, activation: "gelu", time: { fourier: 2 }, classes: 2, context: 1 }],
    call: ([o]) => pf.residualMlp(o as Any),
  },
  concatSquash: {
    args: [{ dim: 2, hidden: [8], activation: "tanh" }],
    call: ([o]) => pf.concatSquash(o as Any),
  },
  "network and its operations": {
    args: [
      { dim: 2, classes: 2, context: 1 },
      { width: 8, name: "in", linear: { bias: true, initial: "zero" } },
      { frequencies: [[1, 2]] },
      { start: 0, end: 4, by: 0.5, activation: "selu", eps: 1e-5 },
    ],
    call: ([sizes, l, f, o]: readonly Any[]) =>
      pf.network(sizes, ({ x, t, label, context }) => {
        const h = pf.linear(pf.concat(x, t, label, context), l?.width, l?.name, l?.linear);
        const part = pf.activate(pf.scale(pf.slice(h, o?.start, o?.end), o?.by), o?.activation);
        const n = pf.rmsNorm(pf.layerNorm(pf.concat(part, pf.fourier(x, f)), "norm", { eps: o?.eps }), "rms");
        return pf.linear(n, 2, "out");
      }),
  },
  "a list of operations": {
    args: [
      { dim: 2, classes: 0, context: 0 },
      JSON.parse(
        JSON.stringify(pf.residualMlp({ dim: 2, width: 4, blocks: 1, features: { fourier: { count: 2 } } }).operations),
      ),
    ],
    call: ([sizes, operations]: readonly Any[]) => compileNetwork("network", checkSizes("network", sizes), operations),
  },
  wgslVelocity: {
    args: [{ dim: 2, code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return x; }" }],
    call: ([o]) => pf.wgslVelocity(o as Any),
  },
  toyData: { args: ["moons", 16, 7], call: ([a, b, c]) => pf.toyData(a as Any, b as Any, c as Any) },
  fitNormalization: {
    args: [Float32Array.of(1, 2, 3, 4, 5, 7), 2],
    call: ([a, b]) => pf.fitNormalization(a as Any, b as Any),
  },
  "bitsPerDim of rows": {
    args: [[-3, -4], 2, { bits: 8 }],
    call: ([a, b, c]) => pf.bitsPerDim(a as Any, b as Any, c as Any),
  },
  bitsPerDim: { args: [-3, 2, { bits: 8 }], call: ([a, b, c]) => pf.bitsPerDim(a as Any, b as Any, c as Any) },
  encodeSafetensors: {
    args: [small, { key: "value" }],
    call: ([a, b]) => pf.encodeSafetensors(a as Any, b as Any),
  },
  decodeSafetensors: { args: [pf.encodeSafetensors(small as Any, {})], call: ([a]) => pf.decodeSafetensors(a as Any) },
  "a picture of particles": {
    args: [
      {
        centre: [0, 1],
        half: 4,
        background: [1, 1, 1],
        density: { side: 3, reference: -1 },
        particles: [{ count: 3, dim: 3, axes: [0, 2], frames: 2, time: 0.5, colour: [0, 0, 0, 1] }],
      },
    ],
    call: ([picture]) => checkedPicture(picture as Any),
  },
  optimalPairs: {
    args: [Float32Array.of(1, 2, 3, 4), Float64Array.of(0, 1, 2, 3), 2],
    call: ([a, b, c]) => diagnostics.optimalPairs(a as Any, b as Any, c as Any),
  },
  wasserstein2: {
    args: [Float32Array.of(1, 2, 3, 4), Float64Array.of(0, 1, 2, 3), 2],
    call: ([a, b, c]) => diagnostics.wasserstein2(a as Any, b as Any, c as Any),
  },
  slicedWasserstein: {
    args: [Float32Array.of(1, 2, 3, 4), Float64Array.of(0, 1, 2, 3), 2, { projections: 4, seed: 1 }],
    call: ([a, b, c, d]) => diagnostics.slicedWasserstein(a as Any, b as Any, c as Any, d as Any),
  },
  "energyDistance and mmd": {
    args: [Float32Array.of(1, 2, 3, 4), Float64Array.of(0, 1, 2, 3), 2, { bandwidths: [1, 2] }],
    call: ([a, b, c, d]: readonly Any[]) => diagnostics.energyDistance(a, b, c) + diagnostics.mmd(a, b, c, d),
  },
  c2st: {
    args: [Float32Array.of(1, 2, 3, 4), Float32Array.of(0, 1, 2, 3), 1, { folds: 2, width: 2, epochs: 1, seed: 1 }],
    call: ([a, b, c, d]) => diagnostics.c2st(a as Any, b as Any, c as Any, d as Any),
  },
  "uniformity and coverage": {
    args: [Float64Array.of(0.1, 0.7), { bins: 2 }, [0.5]],
    call: ([a, b, c]: readonly Any[]) => [diagnostics.uniformity(a, b), diagnostics.coverage(a, c)],
  },
  "calibration of posteriors": {
    args: [
      Float32Array.of(1, 2, 3, 4),
      Float64Array.of(0, 1, 2, 3, 4, 5, 6, 7),
      2,
      { levels: 4, bins: 2, seed: 1, references: Float32Array.of(1, 2, 3, 4) },
    ],
    call: ([a, b, c, d]: readonly Any[]) => [
      diagnostics.tarp(a, b, c, d),
      diagnostics.simulationBasedCalibration(a, b, c, { seed: d?.seed, bins: d?.bins }),
      diagnostics.expectedCoverage(a, b, { levels: d?.levels }),
    ],
  },
  openGpu: {
    args: [{ software: "allow", memoryBudget: 1e6, tune: false, adapter: {} }],
    // a device is opened by the GPU suites
    call: ([o]) => (isOpened(o) ? undefined : pf.openGpu(o as Any)),
  },
};

/** Whether openGpu would look for an adapter by itself. */
function isOpened(o: unknown): boolean {
  return o === undefined || (typeof o === "object" && o !== null && (o as { adapter?: unknown }).adapter === undefined);
}

for (const [name, template] of Object.entries(templates))
  test(`whatever ${name} is given, it ends with a result or in words`, () => fuzz(name, template, 300));

test("damaged files end in words", async () => {
  const file = pf.encodeSafetensors(small as Any, { pushforward: "{}" });
  const damage = fc.array(fc.record({ at: fc.nat(file.length - 1), byte: fc.nat(255) }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(damage, fc.nat(file.length), async (bytes, end) => {
      const damaged = file.slice(0, end === 0 ? file.length : end);
      for (const { at, byte } of bytes) if (at < damaged.length) damaged[at] = byte;
      await endsInWords(() => pf.decodeSafetensors(damaged), "decodeSafetensors");
    }),
    fuzzing(500),
  );
});

test("the check itself notices raw errors", async () => {
  await expect(endsInWords(() => (null as Any).x, "a call")).rejects.toThrow(/a call: ended with TypeError/);
  await expect(
    endsInWords(() => Promise.reject(new pf.PushforwardError("format", "x is [object Object]")), "a call"),
  ).rejects.toThrow(/object Object/);
});
