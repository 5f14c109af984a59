import * as pf from "pushforward";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

const solver = { method: "midpoint", steps: 4 } as const;
const n = 131;

function buffer(
  device: GPUDevice,
  values: Float32Array | Uint32Array,
  usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC,
) {
  const made = device.createBuffer({ size: values.byteLength, usage, mappedAtCreation: true });
  if (values instanceof Uint32Array) new Uint32Array(made.getMappedRange()).set(values);
  else new Float32Array(made.getMappedRange()).set(values);
  made.unmap();
  return made;
}

async function message(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "no error",
    (error: unknown) => (error instanceof pf.PushforwardError ? `${error.code}: ${error.message}` : String(error)),
  );
}

test("particles in a buffer give the bits of particles in an array, in every call, and stay the caller's", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 3, hidden: [8] }), seed: 1 });
  const x = uniformArray(3 * n, -1, 1, 1);
  const v = uniformArray(3 * n, -1, 1, 2);
  const start = uniformArray(n, -1, 1, 3);
  const [xs, vs, starts] = [x, v, start].map((values) => buffer(gpu.device, values)) as [
    GPUBuffer,
    GPUBuffer,
    GPUBuffer,
  ];
  for (const chunkSize of [64, 1000]) {
    const o = { solver, chunkSize };
    expect(await flow.push(xs, { ...o, logProb: starts })).toEqual(await flow.push(x, { ...o, logProb: start }));
    expect(await flow.logProb(xs, o)).toEqual(await flow.logProb(x, o));
    expect(await flow.velocity(xs, 0.3, { chunkSize })).toEqual(await flow.velocity(x, 0.3, { chunkSize }));
    expect(await flow.divergence(xs, 0.3, { chunkSize })).toEqual(await flow.divergence(x, 0.3, { chunkSize }));
    expect(await flow.jvp(xs, 0.3, vs, { chunkSize })).toEqual(await flow.jvp(x, 0.3, v, { chunkSize }));
    expect(await flow.vjp(xs, 0.3, vs, { chunkSize })).toEqual(await flow.vjp(x, 0.3, v, { chunkSize }));
  }
  expect((await flow.push(xs, { solver, count: 50 })).x).toEqual((await flow.push(x.subarray(0, 150), { solver })).x);
  for (const made of [xs, vs, starts]) made.destroy();
  flow.dispose();
});

test("what stays on the device can be passed on as it is: sample, push and logProb without a read-back between", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 3, hidden: [8] }), seed: 1 });
  const samples = await flow.sample(n, { solver, seed: 3, output: "gpu" });
  const pushed = await flow.push(samples.x, { solver, from: 1, to: 0, output: "gpu" });
  const scored = await flow.logProb(pushed.x, { solver, output: "gpu" });
  expect([samples.x.size, pushed.x.size, scored.logProb.size, scored.x0.size]).toEqual([12 * n, 12 * n, 4 * n, 12 * n]);
  const got = await flow.push(scored.x0, { solver, logProb: scored.logProb });
  const host = await flow.logProb(
    (await flow.push((await flow.sample(n, { solver, seed: 3 })).x, { solver, from: 1, to: 0 })).x,
    { solver },
  );
  expect(got).toEqual(await flow.push(host.x0, { solver, logProb: host.logProb }));
  for (const made of [samples.x, samples.x0, pushed.x, scored.logProb, scored.x0]) made?.destroy();
  flow.dispose();
});

test("samples on the device are a vertex buffer: a render pipeline draws a point at each particle", async ({ gpu }) => {
  const { device } = gpu;
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden: [8] }), seed: 1 });
  const samples = await flow.sample(n, { solver, seed: 3, output: "gpu" });
  const { x } = await flow.sample(n, { solver, seed: 3 });
  // a row of the texture is 256 bytes, as a copy to a buffer wants it
  const side = 64;
  const format = "rgba8unorm";
  const target = device.createTexture({
    size: [side, side],
    format,
    usage: GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_SRC,
  });
  const module = device.createShaderModule({
    // in the middle of a pixel: adapters round places to parts of one
    code: `@vertex fn place(@location(0) x: vec2f) -> @builtin(position) vec4f {
             return vec4f((floor(x * 8.0) + 0.5) / 32.0, 0.0, 1.0);
           }
           @fragment fn white() -> @location(0) vec4f { return vec4f(1.0); }`,
  });
  const pipeline = await device.createRenderPipelineAsync({
    layout: "auto",
    vertex: {
      module,
      buffers: [{ arrayStride: 8, attributes: [{ shaderLocation: 0, offset: 0, format: "float32x2" }] }],
    },
    fragment: { module, targets: [{ format }] },
    primitive: { topology: "point-list" },
  });
  const pixels = device.createBuffer({
    size: side * side * 4,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginRenderPass({
    colorAttachments: [{ view: target.createView(), loadOp: "clear", storeOp: "store" }],
  });
  pass.setPipeline(pipeline);
  pass.setVertexBuffer(0, samples.x);
  pass.draw(n);
  pass.end();
  encoder.copyTextureToBuffer({ texture: target }, { buffer: pixels, bytesPerRow: side * 4 }, [side, side]);
  device.queue.submit([encoder.finish()]);
  await pixels.mapAsync(GPUMapMode.READ);
  const drawn = new Uint32Array(pixels.getMappedRange().slice(0));
  const wanted = new Set<number>();
  for (let i = 0; i < n; i++) {
    const [column, up] = [Math.floor(8 * (x[2 * i] as number)), Math.floor(8 * (x[2 * i + 1] as number))];
    wanted.add((side / 2 - 1 - up) * side + side / 2 + column);
  }
  expect(Array.from(drawn.keys()).filter((pixel) => drawn[pixel])).toEqual([...wanted].sort((a, b) => a - b));
  pixels.destroy();
  target.destroy();
  for (const made of [samples.x, samples.x0]) made?.destroy();
  flow.dispose();
});

test("a buffer that cannot be read is an error in words: destroyed, foreign, mapped, of a wrong usage or size", async ({
  gpu,
}) => {
  const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 3, hidden: [8] }), seed: 1 });
  const good = buffer(gpu.device, uniformArray(3 * n, -1, 1, 1));
  const destroyed = buffer(gpu.device, new Float32Array(9));
  destroyed.destroy();
  expect(await message(flow.push(destroyed, { solver }))).toMatch(/^invalid-argument: push: x .* destroyed/);
  expect(await message(flow.vjp(good, 0, destroyed, { count: 3 }))).toMatch(
    /^invalid-argument: vjp: cotangent .* dest/,
  );
  const other = await pf.openGpu({ tune: false });
  const foreign = buffer(other.device, new Float32Array(9));
  expect(await message(flow.logProb(foreign, { solver }))).toMatch(/^invalid-argument: logProb: x .* another device/);
  other.dispose();
  const mapped = gpu.device.createBuffer({ size: 12, usage: GPUBufferUsage.COPY_SRC, mappedAtCreation: true });
  expect(await message(flow.push(mapped, { solver }))).toMatch(/^invalid-argument: push: x .* is mapped/);
  mapped.destroy();
  const unreadable = buffer(gpu.device, new Float32Array(9), GPUBufferUsage.STORAGE);
  expect(await message(flow.velocity(unreadable, 0))).toMatch(/^invalid-argument: velocity: x .* COPY_SRC/);
  unreadable.destroy();
  const odd = buffer(gpu.device, new Float32Array(10));
  expect(await message(flow.push(odd, { solver }))).toMatch(/40 bytes, which is no multiple of 12/);
  expect(await message(flow.push(odd, { solver, count: 4 }))).toMatch(/40 bytes, but 4 rows of 3 f32 need 48/);
  expect((await flow.push(odd, { solver, count: 3 })).x.length).toBe(9);
  expect(await message(flow.push(good, { solver, logProb: odd }))).toMatch(/logProb is a GPUBuffer of 10 rows/);
  expect(await message(flow.push(new Float32Array(9), { solver, count: 2 }))).toMatch(/count is 2, but x has 3 rows/);
  odd.destroy();
  good.destroy();
  flow.dispose();
});

for (const [engine, hidden] of Object.entries({ fused: [5], layered: [136] })) {
  test(`labels and context in buffers give the bits of labels and context in arrays: ${engine}`, async ({ gpu }) => {
    const flow = pf.Flow.create(gpu, { velocity: pf.mlp({ dim: 2, hidden, classes: 3, context: 2 }), seed: 1 });
    const x = uniformArray(2 * n, -1, 1, 1);
    const context = uniformArray(2 * n, -1, 1, 2);
    // the null class among them, which a label of no class is, too
    const labels = Uint32Array.from({ length: n }, (_, i) => (i % 5 === 4 ? 0xffffffff : i % 3));
    const onDevice = { labels: buffer(gpu.device, labels), context: buffer(gpu.device, context) };
    const noClass = buffer(gpu.device, labels.map((label) => Math.min(label, 1000))); // biome-ignore format: one line
    for (const chunkSize of [64, 1000]) {
      for (const guidance of [1, 1.5]) {
        const o = { solver, chunkSize, guidance };
        const wanted = await flow.sample(n, { ...o, labels, context, seed: 4, logProb: true });
        expect(await flow.sample(n, { ...o, ...onDevice, seed: 4, logProb: true })).toEqual(wanted);
        expect(await flow.sample(n, { ...o, ...onDevice, labels: noClass, seed: 4, logProb: true })).toEqual(wanted);
      }
      const o = { solver, chunkSize };
      expect(await flow.logProb(x, { ...o, ...onDevice })).toEqual(await flow.logProb(x, { ...o, labels, context }));
      const evaluated = await flow.velocity(x, 0.3, { chunkSize, labels, context });
      expect(await flow.velocity(x, 0.3, { chunkSize, ...onDevice })).toEqual(evaluated);
    }
    const adaptive = { solver: { method: "dopri5" }, chunkSize: 64 } as const;
    expect(await flow.push(x, { ...adaptive, ...onDevice })).toEqual(
      await flow.push(x, { ...adaptive, labels, context }),
    );
    const chunks = [{ x, ...onDevice }];
    for await (const { logProb } of flow.logProbStream(chunks, { solver }))
      expect(logProb).toEqual((await flow.logProb(x, { solver, labels, context })).logProb);
    const short = await message(flow.sample(n + 1, { solver, ...onDevice }));
    expect(short).toMatch(
      /^invalid-argument: sample: labels is a GPUBuffer of 524 bytes, but 132 rows of 1 .* need 528/,
    );
    const training = pf.flowMatchingGradients(flow, { x0: x, x1: x, t: new Float32Array(n), ...(onDevice as object) });
    expect(await message(training)).toContain("labels is a GPUBuffer, but this call takes it from the host");
    onDevice.context.destroy();
    expect(await message(flow.sample(n, { solver, labels, context: onDevice.context }))).toContain(
      "context is a GPUBuffer that this device cannot read",
    );
    onDevice.labels.destroy();
    noClass.destroy();
    flow.dispose();
  });
}
