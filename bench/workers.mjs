// One device beside threads and devices that share a call, in interleaved rounds of one run: `npm run bench:workers`.
// Every result has to have the bytes of the one device.
import process from "node:process";
import { parseArgs } from "node:util";
import { Flow, mlp, openGpu } from "pushforward";
import { openWorkers } from "pushforward/workers";

const { values } = parseArgs({
  options: {
    workers: { type: "string", default: "2" },
    count: { type: "string", default: "65536" },
    rounds: { type: "string", default: "5" },
  },
});
const [most, count, rounds] = [values.workers, values.count, values.rounds].map(Number);
const options = { seed: 1, solver: { method: "midpoint", steps: 10 } };

const devices = await Promise.all(Array.from({ length: most }, () => openGpu()));
const [gpu] = devices;
const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64] }), seed: 1 });
const crews = {
  "1 thread": await openWorkers({ workers: 1 }),
  [`${most} threads`]: await openWorkers({ workers: most }),
  [`${most} devices`]: await openWorkers({ workers: devices }),
};
const ways = { "one device": flow, ...crews };
const sample = (way) => (way === flow ? flow.sample(count, options) : way.sample(flow, count, options));

const seconds = new Map(Object.keys(ways).map((name) => [name, []]));
const wanted = Buffer.from((await sample(flow)).x.buffer);
// the first round compiles
for (let round = 0; round <= rounds; round++) {
  for (const [name, way] of Object.entries(ways)) {
    const start = performance.now();
    const { x } = await sample(way);
    if (round > 0) seconds.get(name).push((performance.now() - start) / 1000);
    if (!Buffer.from(x.buffer).equals(wanted)) throw new Error(`${name} gave other bytes`);
  }
}
console.log(`3→64→64→64→2 silu, midpoint 10, n = ${count}, ${gpu.info.description || gpu.info.vendor}`);
for (const [name, list] of seconds) {
  const rates = list.map((time) => count / time / 1000).sort((a, b) => a - b);
  const at = (part) => rates[Math.round(part * (rates.length - 1))].toFixed(1);
  console.log(`${name}: ${at(0.5)} k particles/s (quartiles ${at(0.25)} – ${at(0.75)})`);
}
for (const crew of Object.values(crews)) await crew.close();
flow.dispose();
for (const device of devices) device.dispose();
process.exit(0);
