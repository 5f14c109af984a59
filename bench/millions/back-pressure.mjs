// A consumer that takes its time: what is computed ahead of it, and what that holds in memory.
import assert from "node:assert/strict";
import process from "node:process";
import { toyData } from "pushforward";
import { cheap, network, solver } from "./fields.mjs";
import { mebibytes, pause } from "./meters.mjs";

const waits = 200;
const chunkSize = 16_384;

export async function backPressure({ gpu, device, quick, print }) {
  const chunks = quick ? 12 : 60;
  print(
    `## Back-pressure: a consumer that waits ${waits} ms after each of ${chunks} chunks of ${chunkSize} particles\n`,
  );
  print(
    "| call | chunks ahead of the consumer, most | resident memory, MiB: first third, last third | bytes on the device: first third, last third |",
  );
  print("| --- | --- | --- | --- |");
  const flow = cheap(gpu);
  const learned = network(gpu);
  try {
    const copiesOf = async (call) => {
      const before = device.copies;
      await call();
      return device.copies - before;
    };
    const run = async (n) => {
      for await (const _ of flow.sampleStream(n, { solver, chunkSize }));
    };
    await run(40 * chunkSize);
    // every chunk ends with as many copies of its results
    const perChunk = ((await copiesOf(() => run(8 * chunkSize))) - (await copiesOf(() => run(4 * chunkSize)))) / 4;
    await paced("`sampleStream`, rotation", async (received) => {
      const before = device.copies;
      for await (const { count } of flow.sampleStream(chunks * chunkSize, { solver, chunkSize })) {
        assert.equal(count, chunkSize);
        await received(() => Math.round((device.copies - before) / perChunk));
      }
    });
    const rows = toyData("8gaussians", 1024, 1);
    await paced("`logProbStream`, mlp 64³, chunks of 1024", async (received) => {
      let taken = 0;
      function* producer() {
        for (let i = 0; i < chunks; i++) {
          taken++;
          yield rows;
        }
      }
      for await (const { logProb } of learned.logProbStream(producer(), { solver })) {
        assert.equal(logProb.length, 1024);
        await received(() => taken);
      }
    });
  } finally {
    flow.dispose();
    learned.dispose();
  }

  async function paced(name, stream) {
    let received = 0;
    let ahead = 0;
    const thirds = [[], [], []];
    await stream(async (computed) => {
      received++;
      await pause(waits);
      ahead = Math.max(ahead, computed() - received);
      thirds[Math.min(2, Math.floor((3 * (received - 1)) / chunks))].push({
        resident: process.memoryUsage.rss(),
        device: device.bytes,
      });
    });
    assert.equal(received, chunks);
    const most = (third, what) => mebibytes(Math.max(...thirds[third].map((entry) => entry[what])));
    print(
      `| ${name} | ${ahead} | ${most(0, "resident")}, ${most(2, "resident")} | ${most(0, "device")}, ${most(2, "device")} MiB |`,
    );
  }
}
