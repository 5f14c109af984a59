import { expectDeviceLost, expectLosses, expectSame } from "./workbench.mjs";

const stream = "sampleStream of an mlp";

/** Workers, reloads, and calls that are to be told of the loss. @param {import("./workbench.mjs").Workbench} bench */
export async function surroundings(bench, check) {
  await check(`${stream} in a dedicated worker: the GPU process crashes in the middle`, () =>
    bench.alone(stream, { inWorker: true }, async (page, undisturbed) => {
      const outcome = await page.perform([{ at: 0.4 }]);
      expectLosses(outcome, 1);
      expectSame(outcome, undisturbed);
      expectSame(await page.perform(), undisturbed);
    }),
  );

  for (const [what, crashes] of [
    ["the page is reloaded in the middle", false],
    ["the page is reloaded as the device is lost", true],
  ]) {
    await check(`${stream}: ${what}, and computes the same again`, () =>
      bench.alone(stream, {}, async (page, undisturbed) => {
        const crash = page.act;
        page.act = async () => {
          if (crashes) await crash();
          page.act = crash;
          await page.reload();
        };
        await page.performUntilGone([{ at: 0.4 }]);
        await page.loaded();
        await page.open(stream);
        const outcome = await page.perform();
        expectLosses(outcome, 0);
        expectSame(outcome, undisturbed);
      }),
    );
  }

  for (const call of ["sampleStream of a WGSL field", "logProb", "trainFlowMatching"]) {
    await check(`${call} with recover: false rejects with "device-lost" within seconds, and so do later calls`, () =>
      bench.alone(call, { recover: false }, async (page, undisturbed) => {
        // a fault that comes when the call has ended tests nothing: then it comes earlier, on a device of its own
        let outcome = await page.perform([{ at: 0.1 }]);
        for (const at of [0.02, 0]) {
          if (outcome.losses > 0) continue;
          await page.reload();
          await page.open(call, { recover: false });
          outcome = await page.perform([{ at }]);
        }
        expectLosses(outcome, 1);
        expectDeviceLost(outcome, 5);
        const { liveBuffers } = outcome;
        if (liveBuffers > undisturbed.liveBuffers) throw new Error(`${liveBuffers} buffers live on after the call`);
        const later = await page.perform();
        expectDeviceLost({ ...later, secondsSinceFault: later.seconds }, 5);
      }),
    );
  }
}
