// Devices lost at random moments of streams: every particle once, in order, with the bits of an undisturbed stream.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { openGpu } from "pushforward";
import { cheap, network, solver } from "./fields.mjs";
import { median, milliseconds } from "./meters.mjs";

/** Particles of a stream: a second or so of work, with a loss in the middle of it. */
const works = {
  "`sampleStream`, rotation": { flow: cheap, count: 1_000_001, options: {} },
  "`sampleStream` with log p, mlp 64³": { flow: network, count: 20_001, options: { logProb: true, chunkSize: 2048 } },
};

/** Loses the device after that many milliseconds, unless the stream has ended before. */
function loseAfter(gpu, wait) {
  const losses = { count: 0, at: 0 };
  const lose = () => {
    losses.count++;
    losses.at = performance.now();
    gpu.device.destroy();
  };
  const timer = setTimeout(lose, wait);
  return { losses, stop: () => clearTimeout(timer) };
}

async function digestOf(flow, { count, options }, onChunk) {
  const hash = createHash("sha256");
  const likelihoods = createHash("sha256");
  let next = 0;
  for await (const { start, x, logProb } of flow.sampleStream(count, { solver, seed: 1, ...options })) {
    assert.equal(start, next, "particles are lost or come twice");
    next += x.length / 2;
    hash.update(x);
    if (logProb) likelihoods.update(logProb);
    onChunk();
  }
  assert.equal(next, count, "particles are lost");
  return hash.digest("hex") + likelihoods.digest("hex");
}

export async function losses({ quick, print, random }) {
  const wanted = quick ? 10 : 100;
  print(`## Device losses: ${wanted} in streams of each kind, at random moments, each behind the library's back\n`);
  print(
    "| stream | losses | streams with other bits, lost or doubled particles | from the loss to the next chunk, ms: median, worst |",
  );
  print("| --- | --- | --- | --- |");
  for (const [name, work] of Object.entries(works)) {
    const gpu = await openGpu();
    const flow = work.flow(gpu);
    const started = performance.now();
    const undisturbed = await digestOf(flow, work, () => undefined);
    const seconds = (performance.now() - started) / 1000;
    const base = gpu.liveBufferCount;
    const waits = [];
    let count = 0;
    while (count < wanted) {
      const { losses: lost, stop } = loseAfter(gpu, 1000 * seconds * random());
      const digest = await digestOf(flow, work, () => {
        if (lost.at > 0) waits.push(performance.now() - lost.at);
        lost.at = 0;
      });
      stop();
      assert.equal(digest, undisturbed, `${name}: other bits after a loss`);
      assert.equal(gpu.liveBufferCount, base, "buffers are left over");
      count += lost.count;
    }
    flow.dispose();
    assert.equal(gpu.liveBufferCount, 0, "buffers are left over");
    gpu.dispose();
    print(`| ${name} | ${count} | 0 | ${milliseconds(median(waits))}, ${milliseconds(Math.max(...waits))} |`);
  }
}
