import { expectDeviceLost, expectLosses, expectSame } from "./workbench.mjs";

/** Chrome as users have it: the second crash within two minutes leaves a host name without an adapter until it is reloaded. @param {import("./workbench.mjs").Workbench} bench */
export async function limits(bench, check) {
  const call = "sampleStream of a WGSL field";
  await check(`${call}: where Chrome gives no adapter after a second crash, the call rejects with "device-lost"`, () =>
    bench.alone(call, {}, async (page, undisturbed) => {
      // Chrome counts a crash that comes when the call has ended, too; only the second one must find it running
      const first = await page.perform([{ at: 0.1 }]);
      expectLosses(first, 0, 1);
      expectSame(first, undisturbed);
      const second = await page.perform([{ at: 0.02 }]);
      expectLosses(second, 1);
      expectDeviceLost(second, 20);
      await page.reload();
      await page.open(call);
      expectSame(await page.perform(), undisturbed);
    }),
  );
}
