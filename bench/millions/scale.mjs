// Time and memory against the number of particles.
import assert from "node:assert/strict";
import { cheap, solver, solverName } from "./fields.mjs";
import { mebibytes, millions, secondsOf, withResidentMemory } from "./meters.mjs";

const range = [
  [-3, 3],
  [-3, 3],
];

/** Each runs `n` particles and looks at what came out: N(0, I) is what the field keeps. */
const works = {
  async sampleStream(flow, n) {
    let done = 0;
    let sum = 0;
    for await (const { x, start, count } of flow.sampleStream(n, { solver })) {
      assert.equal(start, done, "chunks come in order");
      assert.equal(x.length, 2 * count);
      for (let i = 0; i < x.length; i += 1009)
        sum += ((x[i] ?? Number.NaN) ** 2 / Math.ceil(x.length / 1009) / n) * count;
      done += count;
    }
    assert.equal(done, n, "particles came out of the stream");
    assert.ok(Math.abs(sum - 1) < 0.3, `the mean of x² is ${sum}, not 1`);
  },
  async moments(flow, n) {
    const { mean, covariance, count, nonFinite } = await flow.moments(n, { solver });
    assert.deepEqual([count, nonFinite], [n, 0]);
    const bound = 6 / Math.sqrt(n);
    // ten midpoint steps of 0.1 lengthen a radius by the eighth power of the step: 2e-4 in all
    for (const m of mean) assert.ok(Math.abs(m) < bound, `a mean is ${m}, not within ${bound} of 0`);
    for (const [i, c] of covariance.entries())
      assert.ok(Math.abs(c - (i % 3 === 0 ? 1 : 0)) < 2 * bound + 1e-3, `covariance[${i}] is ${c}`);
  },
  async histogram(flow, n) {
    const { counts, outside } = await flow.histogram(n, { solver, bins: [64, 64], range });
    assert.equal(
      counts.reduce((sum, c) => sum + c, outside),
      n,
      "every particle is counted once",
    );
  },
};
export const workNames = Object.keys(works);

export async function scale({ gpu, device, counts, names, print }) {
  print(`## Scale: a rotation written in WGSL, ${solverName}\n`);
  print("| call | particles | seconds | 10⁶ particles/s | resident memory, most | bytes on the device, most |");
  print("| --- | --- | --- | --- | --- | --- |");
  const flow = cheap(gpu);
  try {
    for (const name of names) await works[name](flow, 400_000); // compiles, and finds out the speed
    for (const name of names) {
      let least = Number.POSITIVE_INFINITY;
      for (const n of counts) {
        device.most = device.bytes;
        let seconds = 0;
        const { most } = await withResidentMemory(async () => {
          seconds = await secondsOf(() => works[name](flow, n));
        });
        print(
          `| \`${name}\` | ${n.toExponential(0).replace("e+", "e")} | ${seconds.toFixed(2)} | ${millions(n / seconds)} | ${mebibytes(most)} MiB | ${mebibytes(device.most)} MiB |`,
        );
        least = Math.min(least, most);
        // 1.6 GB come out of a stream of 10⁸
        if (n >= 1e8) assert.ok(most - least < 0.25 * 16 * n, "the process grows with the particles");
      }
    }
  } finally {
    flow.dispose();
  }
}
