import * as pf from "pushforward";
import { unconstrain } from "pushforward/transforms";
import { linear } from "../oracle/fields.ts";
import { logLikelihoodRows, pushRows, timesOf } from "../oracle/ode.ts";
import { toData, toFree } from "../oracle/transforms.ts";
import { expect, expectClose, test } from "../suite.ts";
import { forRows, rowOf, uniformArray } from "./inputs.ts";
import { savedAndSpread } from "./saved-and-spread.ts";

/*
 * A sphere is a circle of longitudes and an axis of latitudes, by the logit of the area south of them. log p is per degree of either; the
 * density per steradian is p (180/π)²/cos φ.
 */
const n = 131;
const solver = { method: "midpoint", steps: 4 } as const;
const field = linear(2, 0.4);
const height = [null, { kind: "latitude" }] as const;
const normalization = { mean: [3, 0.4], scale: [2, 1.5] };
const freeOf = (row: ArrayLike<number>, spaces: Parameters<typeof toFree>[1]) => {
  const { y, logDet } = toFree(row, spaces);
  return { own: y.map((v, k) => (v - (normalization.mean[k] ?? 0)) / (normalization.scale[k] ?? 1)), logDet };
};
const logScale = -Math.log(2) - Math.log(1.5);

test("log p of latitudes is that of the data, up to the poles: from arrays, in f64 and from buffers", async ({
  gpu,
}) => {
  const velocity = pf.wgslVelocity({ dim: 2, code: field.wgsl ?? "" });
  using flow = pf.Flow.create(gpu, { velocity, normalization, transform: height });
  const latitudes = [-89.9, -89, 0, 1e-3, 20, 45, 89, 89.9, -0.2];
  const random = uniformArray(n, -88, 88, 3);
  const data = Float32Array.from({ length: 2 * n }, (_, i) =>
    i % 2 === 0 ? Math.sin(i) : (latitudes[(i - 1) / 2] ?? random[(i - 1) / 2] ?? 0),
  );
  const free = forRows(n, (i) => freeOf(rowOf(data, 2, i), height).own);
  const { logProb: own } = logLikelihoodRows(field, Float64Array.from(free), "midpoint", timesOf(1, 0, 4));
  const wanted = Array.from(own, (value, i) => value + logScale + freeOf(rowOf(data, 2, i), height).logDet);
  const tolerance = { relative: 1e-5, absolute: 1e-5 };
  expectClose((await flow.logProb(data, { solver, chunkSize: 50 })).logProb, wanted, tolerance);
  expectClose((await flow.logProb(Float64Array.from(data), { solver })).logProb, wanted, tolerance);
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC;
  const buffer = gpu.device.createBuffer({ size: data.byteLength, usage, mappedAtCreation: true });
  const rows = data.slice();
  [rows[2 * 20 + 1], rows[2 * 21 + 1], rows[2 * 22 + 1]] = [90, -90, 90.5];
  new Float32Array(buffer.getMappedRange()).set(rows);
  buffer.unmap();
  const { logProb, nonFinite } = await flow.logProb(buffer, { solver });
  expect([nonFinite, ...logProb.subarray(20, 23)]).toEqual([3, Number.NaN, Number.NaN, Number.NaN]);
  const kept = [...Array(n).keys()].filter((row) => row < 20 || row > 22);
  expectClose(
    kept.map((row) => logProb[row] ?? Number.NaN),
    kept.map((row) => wanted[row] ?? Number.NaN),
    { relative: 2e-5, absolute: 2e-5 },
  );
  buffer.destroy();
  await expect(flow.logProb(rows, { solver })).rejects.toThrow(
    /x holds 90 at row 20, column 1, but transform has it between -90 and 90 degrees, without the poles/,
  );
});

test("samples have latitudes as f64 has them, never a pole, and their velocities are those of the data", async ({
  gpu,
}) => {
  const velocity = pf.wgslVelocity({ dim: 2, code: field.wgsl ?? "" });
  using flow = pf.Flow.create(gpu, { velocity, normalization, transform: height });
  const { x, x0 = new Float32Array() } = await flow.sample(n, { solver, seed: 3 });
  const ends = pushRows(field, Float64Array.from(x0), "midpoint", timesOf(0, 1, 4));
  const bound = (row: ArrayLike<number>) =>
    toData(
      Array.from(row, (v, k) => (normalization.mean[k] ?? 0) + (normalization.scale[k] ?? 1) * v),
      height,
    );
  const wanted = forRows(n, (i) => bound(rowOf(Float32Array.from(ends.x), 2, i)));
  // a rounding of 90 degrees, and one of y, which moves a latitude by at most half of it in radians
  expectClose(x, wanted, { absolute: 6e-5, relative: 1e-6 });
  expectClose((await flow.sample(n, { solver, seed: 3, output: "float64" })).x, wanted, {
    absolute: 6e-5,
    relative: 1e-6,
  });
  using wide = pf.Flow.create(gpu, { velocity, normalization: { mean: [0, 0], scale: [1, 90] }, transform: height });
  const far = (await wide.sample(400, { solver })).x.filter((_, i) => i % 2 === 1);
  expect(far.every((latitude) => Math.abs(latitude) < 90)).toBe(true);
  expect(far.some((latitude) => Math.abs(latitude) > 89.999)).toBe(true);
  const rows = Float64Array.of(0.3, 60, 1.9, -89);
  const { velocity: u } = await flow.flux(rows, 0.6, { solver });
  const free = unconstrain(rows, height);
  const own = Float32Array.from(
    free,
    (v, i) => (v - (normalization.mean[i % 2] ?? 0)) / (normalization.scale[i % 2] ?? 1),
  );
  const v = await flow.velocity(own, 0.6);
  const at = (h: number) =>
    forRows(2, (i) =>
      toData(
        Array.from(
          free.subarray(2 * i, 2 * i + 2),
          (y, k) => y + h * (v[2 * i + k] ?? 0) * (normalization.scale[k] ?? 1),
        ),
        height,
      ),
    );
  const [more, less] = [at(1e-5), at(-1e-5)];
  expectClose(
    u,
    more.map((value, i) => (value - (less[i] ?? 0)) / 2e-5),
    { relative: 1e-4, absolute: 1e-5 },
  );
});

const sphere = [{ kind: "circular", period: 360, low: -180 }, { kind: "latitude" }] as const;

/** Points of von Mises and Fisher's distribution around a place, [count, 2] in degrees. */
function aroundPlace(count: number, kappa: number, [longitude, latitude]: readonly [number, number], seed: number) {
  const radians = Math.PI / 180;
  const uniform = uniformArray(2 * count, 0, 1, seed);
  return Float32Array.from(
    forRows(count, (i) => {
      const [u = 0, v = 0] = rowOf(uniform, 2, i);
      // w, the cosine of the distance, has the density ∝ e^{κw}
      const w = 1 + Math.log(u + (1 - u) * Math.exp(-2 * kappa)) / kappa;
      const [s, angle] = [Math.sqrt(1 - w * w), 2 * Math.PI * v];
      // around the pole, which is then turned to the place
      const [a, b, tilt] = [s * Math.cos(angle), s * Math.sin(angle), (90 - latitude) * radians];
      const [x, z] = [a * Math.cos(tilt) + w * Math.sin(tilt), w * Math.cos(tilt) - a * Math.sin(tilt)];
      const turned = Math.atan2(b, x) / radians + longitude;
      return [turned - 360 * Math.round(turned / 360), Math.asin(z) / radians];
    }),
  );
}

test("a flow learns von Mises and Fisher's distribution around a place at the date line: its density is one of the sphere", async ({
  gpu,
}) => {
  const [kappa, place] = [6, [175, 40]] as const;
  const data = aroundPlace(4000, kappa, place, 1);
  const units = pf.fitNormalization(unconstrain(data, sphere), 2);
  const velocity = pf.mlp({ dim: 2, hidden: [48, 48], circular: { axes: [0] } });
  using flow = pf.Flow.create(gpu, { velocity, transform: sphere, normalization: units, seed: 1 });
  const training = { steps: 600, batchSize: 256, learningRate: { peak: 5e-3, schedule: "cosine" }, ema: 0.99 } as const;
  for await (const _ of pf.trainFlowMatching(flow, data, training)) void _;
  const fine = { method: "midpoint", steps: 20 } as const;
  const others = aroundPlace(1500, kappa, place, 2);
  const { logProb } = await flow.logProb(others, { solver: fine });
  const radians = Math.PI / 180;
  const divergences = Array.from(logProb, (value, i) => {
    const [longitude = 0, latitude = 0] = others.subarray(2 * i, 2 * i + 2);
    const [rise, from] = [latitude * radians, place[1] * radians];
    const turned = Math.cos((longitude - place[0]) * radians);
    const cosine = Math.sin(rise) * Math.sin(from) + Math.cos(rise) * Math.cos(from) * turned;
    const perSteradian = value + 2 * Math.log(180 / Math.PI) - Math.log(Math.cos(rise));
    return Math.log(kappa / (4 * Math.PI * Math.sinh(kappa))) + kappa * cosine - perSteradian;
  });
  const divergence = divergences.reduce((sum, value) => sum + value, 0) / divergences.length;
  // 0 is a perfect flow; of so many rows the mean has an error of about 0.01
  expect(divergence).toBeLessThan(0.05);
  expect(divergence).toBeGreaterThan(-0.02);
  const box: [number, number][] = [
    [-180, 180],
    [-90, 90],
  ];
  const { mass } = await flow.densityGrid({ box, cells: [120, 60], solver: fine });
  expectClose([mass], [1], { absolute: 5e-3 });
  const { x, logProb: own = new Float32Array() } = await savedAndSpread(gpu, flow, 200, {
    solver: fine,
    seed: 5,
    logProb: true,
  });
  const again = await flow.logProb(x, { solver: fine });
  expectClose(again.logProb, own, { absolute: 2e-3 });
});
