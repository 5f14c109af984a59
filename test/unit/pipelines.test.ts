import { expect, test } from "vitest";
import type { Kernel } from "../../shaders/kernel.ts";
import { PipelineCache } from "../../src/gpu/pipelines.ts";
import { hold } from "../../src/tune/hold.ts";

const kernel: Kernel = { label: "nothing", code: "", entryPoint: "nothing", params: {}, buffers: {} };

/** A device that compiles anything; `lose` loses it. */
function imaginaryDevice() {
  let lose: (info: GPUDeviceLostInfo) => void = () => {};
  const lost = new Promise<GPUDeviceLostInfo>((resolve) => {
    lose = resolve;
  });
  const device = {
    lost,
    queue: { onSubmittedWorkDone: async () => {} },
    pushErrorScope: () => {},
    popErrorScope: async () => null,
    createShaderModule: () => ({}),
    createBindGroupLayout: () => ({}),
    createPipelineLayout: () => ({}),
    createComputePipelineAsync: async () => ({}),
  };
  // only what a cache of pipelines uses
  return {
    device: device as unknown as GPUDevice,
    lose: () => lose({ reason: "unknown", message: "gone" } as GPUDeviceLostInfo),
  };
}

test("while the device is held, submits wait for their pipelines, and their time does not count as the kernel's", async () => {
  const { device } = imaginaryDevice();
  const pipelines = new PipelineCache(device);
  (await pipelines.get(kernel)).fresh = false;
  const order: string[] = [];
  let finish = () => {};
  const held = hold(device, pipelines, async () => {
    order.push("work begins");
    await new Promise<void>((resolve) => {
      finish = resolve;
    });
    order.push("work ends");
  });
  const asked = pipelines.get(kernel).then((pipeline) => {
    order.push("pipeline");
    return pipeline;
  });
  for (let i = 0; i < 50; i++) await Promise.resolve();
  expect(order).toEqual(["work begins"]);
  finish();
  await held;
  expect((await asked).fresh).toBe(true);
  expect(order).toEqual(["work begins", "work ends", "pipeline"]);
});

test("holds come one after the other, and one that fails lets the next in", async () => {
  const { device } = imaginaryDevice();
  const pipelines = new PipelineCache(device);
  let inside = 0;
  let most = 0;
  const work = async () => {
    most = Math.max(most, ++inside);
    await Promise.resolve();
    inside--;
    throw new Error("failed");
  };
  const outcomes = await Promise.allSettled([1, 2, 3].map(() => hold(device, pipelines, work)));
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(most).toBe(1);
  await pipelines.get(kernel);
});

test("a device that is lost while it is held keeps nobody waiting", async () => {
  const { device, lose } = imaginaryDevice();
  const pipelines = new PipelineCache(device);
  const held = hold(device, pipelines, () => new Promise<never>(() => {}));
  const asked = pipelines.get(kernel);
  lose();
  await expect(held).rejects.toThrow("gone");
  await asked;
});

test("asking for a pipeline shows that somebody is at work; compiling one does not", async () => {
  const pipelines = new PipelineCache(imaginaryDevice().device);
  await pipelines.compile(kernel);
  expect(pipelines.requests).toBe(0);
  await pipelines.get(kernel);
  expect(pipelines.requests).toBe(1);
});
