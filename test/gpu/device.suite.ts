import { Flow, type Gpu, openGpu, PushforwardError, wgslVelocity } from "pushforward";
import { expect, expectClose, test } from "../suite.ts";

const rotation = wgslVelocity({
  dim: 2,
  code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }
         fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
});

/** The error that a promise rejects with; fails when it resolves or rejects with anything else. */
async function rejection(promise: Promise<unknown>): Promise<PushforwardError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof PushforwardError)) throw new Error(`wanted a PushforwardError, got ${String(outcome)}`);
  return outcome;
}

test("openGpu tells which adapter it opened", ({ gpu }) => {
  expect(typeof gpu.info.software).toBe("boolean");
  expect(`${gpu.info.vendor}${gpu.info.description}`).not.toBe("");
  expect(gpu.info.features).toEqual([...gpu.info.features].sort());
});

test("openGpu takes as many bytes per workgroup as the adapter has", ({ gpu }) => {
  expect(gpu.device.limits.maxComputeWorkgroupStorageSize).toBeGreaterThanOrEqual(16384);
  expect(gpu.device.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(1 << 27);
});

test("openGpu rejects a memory budget that is not a number of bytes", async () => {
  for (const memoryBudget of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1000]) {
    const error = await rejection(openGpu({ memoryBudget }));
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain(`memoryBudget is ${memoryBudget}`);
  }
});

test("openGpu rejects an unknown word for software and names the known ones", async () => {
  const software = "never" as "forbid";
  const error = await rejection(openGpu({ software }));
  expect(error.code).toBe("invalid-argument");
  expect(error.message).toMatch(/"never".*"allow".*"forbid".*"require"/);
});

test("openGpu opens the kind of adapter that software asks for, or says that there is none", async () => {
  for (const software of ["forbid", "require"] as const) {
    const outcome = await openGpu({ software }).catch((error: unknown) => error);
    if (outcome instanceof PushforwardError) {
      expect(outcome.code).toBe("no-adapter");
      expect(outcome.message).toContain(
        software === "forbid" ? "no hardware WebGPU adapter" : "no software WebGPU adapter",
      );
      continue;
    }
    const own = outcome as Gpu;
    expect(own.info.software).toBe(software === "require");
    own.dispose();
  }
});

test("openGpu rejects an unknown option and names the nearest known one", async () => {
  const options = { powerPreferences: "low-power" } as object;
  const error = await rejection(openGpu(options));
  expect(error.code).toBe("invalid-argument");
  expect(error.message).toContain("powerPreference");
});

test("openGpu rejects a device, an adapter or any other option that is none, null included", async () => {
  const loose = (value: unknown) => value as never;
  for (const [options, message] of [
    [{ device: {} }, /device is an object.*adapter\.requestDevice\(\)/],
    [{ device: null }, /device is null.*leave it out/],
    [{ adapter: null }, /adapter is null, which is what requestAdapter\(\) resolves to where there is no such adapter/],
    [{ adapter: "gpu" }, /adapter is "gpu".*requestAdapter\(\)/],
    [{ powerPreference: null }, /powerPreference is null.*"low-power", "high-performance"/],
    [{ software: null }, /software is null.*"allow"/],
    [{ memoryBudget: null }, /memoryBudget is null/],
    [{ recover: null }, /recover is null, but it is true or false/],
    [{ tune: null }, /tune is null/],
    [null, /takes an options object, but got null/],
  ] as [object, RegExp][]) {
    const error = await rejection(openGpu(loose(options)));
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toMatch(message);
  }
});

test("a memory budget is kept as given", async ({ gpu }) => {
  const memoryBudget = 5 * (1 << 20) + 1;
  const opened = await openGpu({ device: gpu.device, memoryBudget });
  expect(opened.memoryBudget).toBe(memoryBudget);
  opened.dispose();
});

test("a device brought along computes and is not destroyed by dispose", async ({ gpu }) => {
  const guest = await openGpu({ device: gpu.device });
  const flow = Flow.create(guest, { velocity: rotation });
  expectClose(await flow.velocity(Float32Array.of(1, 2), 0), [-2, 1], {});
  flow.dispose();
  guest.dispose();
  using host = Flow.create(gpu, { velocity: rotation });
  expectClose(await host.velocity(Float32Array.of(3, 5), 0), [-5, 3], {});
});

test("dispose may be called twice, and destroys a device that openGpu made", async () => {
  const own = await openGpu();
  own.dispose();
  own.dispose();
  own[Symbol.dispose]();
  expect((await own.lost).reason).toBe("destroyed");
});

test("a call on a disposed Gpu is rejected and says to open a new one", async () => {
  const own = await openGpu();
  const flow = Flow.create(own, { velocity: rotation });
  own.dispose();
  const error = await rejection(flow.velocity(Float32Array.of(1, 2), 0));
  expect(error.code).toBe("invalid-argument");
  expect(error.message).toContain("openGpu()");
});

test("WGSL that does not compile is an error with the kernel's label and the place in the code", async ({ gpu }) => {
  const velocity = wgslVelocity({
    dim: 3,
    code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return missing_function(x); }",
  });
  using flow = Flow.create(gpu, { velocity });
  const error = await rejection(flow.velocity(new Float32Array(9), 0.5));
  expect(error.code).toBe("shader");
  expect(error.message).toMatch(/kernel ".+" does not compile/);
  expect(error.message).toContain("missing_function");
});

test("after a shader error the device goes on computing", async ({ gpu }) => {
  using broken = Flow.create(gpu, {
    velocity: wgslVelocity({ dim: 1, code: "fn velocity(t: f32, x: array<f32, DIM>) -> f32 { return t; }" }),
  });
  expect((await rejection(broken.velocity(Float32Array.of(1), 0))).code).toBe("shader");
  using flow = Flow.create(gpu, { velocity: rotation });
  expectClose(await flow.velocity(Float32Array.of(7, 11), 1), [-11, 7], {});
});

test("every call gives its buffers back, also one that fails", async ({ gpu }) => {
  const before = gpu.liveBufferCount;
  const flow = Flow.create(gpu, { velocity: rotation });
  const created = gpu.liveBufferCount;
  await flow.push(new Float32Array(2 * 1001), { solver: { method: "midpoint", steps: 3 }, saveAt: "steps" });
  expect(gpu.liveBufferCount).toBe(created);
  await rejection(flow.push(new Float32Array(3), { solver: { method: "midpoint", steps: 3 } }));
  expect(gpu.liveBufferCount).toBe(created);
  flow.dispose();
  expect(gpu.liveBufferCount).toBe(before);
});

test("a call on a lost device is rejected with code device-lost", async () => {
  const own = await openGpu({ recover: false });
  const flow = Flow.create(own, { velocity: rotation });
  own.device.destroy();
  await own.lost;
  const error = await rejection(flow.push(Float32Array.of(1, 2), { solver: { method: "rk4", steps: 2 } }));
  expect(error.code).toBe("device-lost");
  expect(error.message).toContain("openGpu()");
  own.dispose();
});

test("a device lost while a call runs rejects the call with code device-lost", async () => {
  const own = await openGpu({ recover: false });
  const flow = Flow.create(own, { velocity: rotation });
  const call = rejection(
    flow.push(new Float32Array(2 * 10007), {
      solver: { method: "rk4", steps: 1000 },
      chunkSize: 640,
      onProgress: () => own.device.destroy(),
    }),
  );
  expect((await call).code).toBe("device-lost");
  own.dispose();
});
