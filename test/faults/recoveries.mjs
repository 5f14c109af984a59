import { expectLosses, expectSame } from "./workbench.mjs";

/** @typedef {import("./page/program.mjs").Moment} Moment @typedef {import("./workbench.mjs").Workbench} Workbench */

/**
 * When the GPU process crashes: that takes some 50 ms, in which a call that does not wait for it goes on. The streams of the field
 * are cheap: they try every moment.
 * @type {Record<string, Record<string, Moment[]>>}
 */
const moments = {
  "sampleStream of a WGSL field": {
    "as the call begins": [{ at: 0 }],
    "at the first chunk": [{ at: 0.01 }],
    "in the middle": [{ at: 0.4 }],
    "in the middle, while the consumer works on a chunk": [{ at: 0.5, waits: true }],
    "before the last chunks": [{ at: 0.85, waits: true }],
    "twice in one call": [{ at: 0.1 }, { at: 0.4 }],
    "again while the device is being opened anew": [{ at: 0.4, twice: true }],
    "between two calls": [{ at: 0, waits: true }],
  },
  "sampleStream of an mlp": {
    "in the middle": [{ at: 0.4 }],
    "between two calls and again in the second one": [{ at: 0, waits: true }, { at: 0.4 }],
  },
  logProb: {
    "as the call begins": [{ at: 0 }],
    "in the middle": [{ at: 0.4 }],
  },
  trainFlowMatching: {
    "as the call begins": [{ at: 0 }],
    "in the middle": [{ at: 0.3 }],
    "after the last step, before the weights are read": [{ at: 2, waits: true }],
  },
};

/** Calls that run through crashes of the GPU process. @param {Workbench} bench */
export async function recoveries(bench, check) {
  for (const [call, cases] of Object.entries(moments)) {
    await check(`${call}: an undisturbed call gives its result`, async () => {
      await bench.undisturbed(call);
    });
    for (const [when, disturbed] of Object.entries(cases)) {
      await check(`${call}: the GPU process crashes ${when}`, () =>
        bench.on(call, async (page, undisturbed) => {
          const outcome = await page.perform(disturbed);
          const isNested = disturbed.some(({ twice }) => twice);
          // Whether the device that is asked for during the second crash is refused or is lost from the start is Chrome's.
          expectLosses(outcome, disturbed.length, disturbed.length + (isNested ? 1 : 0));
          // Weights that came to the host with the last step need no device.
          expectSame(outcome, undisturbed, { needsDevice: disturbed.every(({ at }) => at <= 1) });
        }),
      );
    }
    await check(`${call}: a call after the crashes`, () =>
      bench.on(call, async (page, undisturbed) => {
        const outcome = await page.perform();
        expectLosses(outcome, 0);
        expectSame(outcome, undisturbed);
      }),
    );
    await bench.closePages();
  }

  const field = "sampleStream of a WGSL field";
  for (const [call, then, end] of [
    [field, "leave", "was left"],
    [field, "abort", "was aborted"],
    ["trainFlowMatching", "abort", "was aborted"],
  ]) {
    await check(`${call}: it ${end} when the device is lost, and leaves nothing behind`, () =>
      bench.on(call, async (page, undisturbed) => {
        const outcome = await page.perform([{ at: 0.3, then }]);
        if (outcome.end !== end) throw new Error(`the call should end as "${end}", but: ${outcome.end}`);
        expectLosses(outcome, 1);
        expectSame(await page.perform(), undisturbed);
      }),
    );
  }
  await bench.closePages();
}
