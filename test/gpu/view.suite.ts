import { drawingPipeline, drawStruct, particleDrawing } from "../../shaders/view.ts";
import { type ParticleDraw, particleDraws } from "../../src/view/draws.ts";
import { type CheckedParticles, checkedPicture } from "../../src/view/picture.ts";
import { expect, test } from "../suite.ts";
import { uniformArray } from "./inputs.ts";

/** A row of the picture is as many bytes as a copy wants. */
const side = 64;
const format = "rgba8unorm";
const [count, dim, frames] = [131, 3, 5];

function bufferOf(device: GPUDevice, values: ArrayLike<number>, usage: number): GPUBuffer {
  const buffer = device.createBuffer({ size: 4 * values.length, usage, mappedAtCreation: true });
  new Float32Array(buffer.getMappedRange()).set(values);
  buffer.unmap();
  return buffer;
}

/** The pixels of draws, of states in vertex buffers or in storage. */
async function pixels(device: GPUDevice, draws: readonly ParticleDraw[], pulled: boolean): Promise<Uint8Array> {
  const { GPUBufferUsage, GPUTextureUsage, GPUMapMode } = globalThis;
  const texture = device.createTexture({
    size: [side, side],
    format,
    usage: GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_SRC,
  });
  const result = device.createBuffer({
    size: 4 * side * side,
    usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
  });
  const uniforms: GPUBuffer[] = [];
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginRenderPass({
    colorAttachments: [{ view: texture.createView(), loadOp: "clear", storeOp: "store", clearValue: [1, 1, 1, 1] }],
  });
  for (const { particles, frames: at, numbers } of draws) {
    const { states, axes, colour } = particles;
    const origin = "origin" in colour ? colour.origin : states;
    const { layout, descriptor } = drawingPipeline(device, particleDrawing({ dim, axes, pulled }), format);
    const uniform = bufferOf(device, numbers, GPUBufferUsage.UNIFORM);
    uniforms.push(uniform);
    const buffers = [uniform, ...(pulled ? [states, origin] : [])];
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setPipeline(device.createRenderPipeline(descriptor));
    pass.setBindGroup(0, device.createBindGroup({ layout, entries }), [0]);
    if (pulled) pass.draw(6 * count);
    else {
      const bytes = 4 * count * dim;
      for (const [k, frame] of at.entries()) pass.setVertexBuffer(k, states, frame * bytes, bytes);
      pass.setVertexBuffer(4, origin, 0, bytes);
      pass.draw(4, count);
    }
  }
  pass.end();
  encoder.copyTextureToBuffer({ texture }, { buffer: result, bytesPerRow: 4 * side }, [side, side]);
  device.queue.submit([encoder.finish()]);
  await result.mapAsync(GPUMapMode.READ);
  const bytes = new Uint8Array(result.getMappedRange().slice(0));
  for (const buffer of [result, ...uniforms]) buffer.destroy();
  texture.destroy();
  return bytes;
}

test("particles are drawn alike from vertex buffers and from storage: streaks behind them, coloured by where they came from", async ({
  gpu,
}) => {
  const { device } = gpu;
  const usage = GPUBufferUsage.VERTEX | GPUBufferUsage.STORAGE;
  const states = bufferOf(device, uniformArray(frames * count * dim, -1, 1, 1), usage);
  const origin = bufferOf(device, uniformArray(count * dim, -2, 2, 2), usage);
  try {
    const own: CheckedParticles = {
      ...{ states, count, dim, frames, time: 0.55, trail: 0.3, radius: 3, axes: [2, 0] },
      colour: { origin, centre: [0, 0], scale: 1, lightness: 0.6 },
    };
    const draws = particleDraws(checkedPicture({ half: 1.2 }), own, { width: side, height: side });
    expect(draws.length > 1 && draws.every(({ numbers }) => numbers.length === drawStruct.words)).toBe(true);
    const [instanced, pulled] = [await pixels(device, draws, false), await pixels(device, draws, true)];
    const inked = instanced.filter((value) => value < 235).length;
    expect(inked > 0.2 * instanced.length).toBe(true);
    // colours are blended in bytes, where a step may be rounded the other way
    const most = instanced.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (pulled[i] as number))), 0);
    expect(most <= 2).toBe(true);
  } finally {
    states.destroy();
    origin.destroy();
  }
});
