import {
  type Drawing,
  drawingPipeline,
  drawStruct,
  type ParticleShape,
  particleDrawing,
  reliefDrawing,
  reliefStruct,
} from "../../shaders/view.ts";
import { invalid, PushforwardError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { show } from "../options.ts";
import { type ParticleDraw, particleDraws, reliefNumbers } from "./draws.ts";
import {
  type CheckedParticles,
  type CheckedRelief,
  checkedPicture,
  isColour,
  type ParticlePicture,
  storageUsage,
} from "./picture.ts";

/** A `<canvas>` of a page or an OffscreenCanvas. */
export interface ViewCanvas {
  getContext(kind: "webgpu"): object | null;
}

/** A canvas on which particles are drawn. Made by {@link createParticleView}. */
export interface ParticleView {
  /** The device that draws. When it is lost `gpu.device` is another one, for which it takes another view. */
  readonly device: GPUDevice;
  /**
   * Draws at once, into the frame that the browser shows next: call it in `requestAnimationFrame`. The canvas' `width` and `height` are
   * the pixels that are drawn.
   *
   * @throws PushforwardError `invalid-argument` for buffers without the usage VERTEX or too small, and for numbers that cannot be;
   * `device-lost` when the device of this view is lost.
   */
  draw(picture: ParticlePicture): void;
  /** Frees what the view has on the device; buffers of pictures are the caller's. What was drawn last stays to be seen. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/**
 * Draws particles on a canvas with the library's device, from the buffers that `output: "gpu"` gives: nothing is read back. The canvas
 * shows what was drawn last; its context is configured with the device, so it must have no other kind of context.
 *
 * @throws PushforwardError `invalid-argument` for what is no canvas or no Gpu; `unsupported` where a canvas has no WebGPU, as outside of
 * browsers; `device-lost` when the device is lost.
 * @example
 * import { Flow, openGpu, wgslVelocity } from "pushforward";
 * import { createParticleView } from "pushforward/view";
 * const code = "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }";
 * if (typeof document === "object") {
 *   const gpu = await openGpu();
 *   const canvas = document.createElement("canvas");
 *   const view = await createParticleView(canvas, gpu);
 *   const flow = Flow.create(gpu, { velocity: wgslVelocity({ dim: 2, code }) });
 *   const { x, x0, count } = await flow.sample(10_000, { output: "gpu" });
 *   view.draw({ particles: [{ states: x, count, ...(x0 && { colour: { origin: x0 } }) }] });
 *   view.dispose();
 *   gpu.dispose();
 * }
 */
export async function createParticleView(canvas: ViewCanvas, gpu: Gpu): Promise<ParticleView> {
  const what = "createParticleView";
  if (typeof gpu?.device?.createShaderModule !== "function")
    throw invalid(`${what}: gpu is ${show(gpu)}, but it is a Gpu: pass what openGpu() gave`);
  if (typeof canvas?.getContext !== "function")
    throw invalid(
      `${what}: canvas is ${show(canvas)}, but it is a canvas: pass a <canvas> of the page or an OffscreenCanvas`,
    );
  const { device } = gpu;
  if (gpu.isLost) throw lost();
  const context = canvas.getContext("webgpu") as GPUCanvasContext | null;
  if (!context)
    throw new PushforwardError(
      "unsupported",
      `${what}: this canvas gives no WebGPU context: take a canvas that has no other context, in a browser that has WebGPU`,
    );
  const format = navigator.gpu.getPreferredCanvasFormat();
  context.configure({ device, format, alphaMode: "opaque" });
  return new CanvasView(gpu, device, context, await pipelinesOf(device, format, gpu.info.software));
}

const lost = () =>
  new PushforwardError(
    "device-lost",
    "the device of this view is lost: make another view with createParticleView, on a fresh canvas, when gpu.device is another",
  );

type Pipelines = Awaited<ReturnType<typeof pipelinesOf>>;

/** A drawing's pipeline, and how what it reads is bound. */
interface Drawn {
  readonly layout: GPUBindGroupLayout;
  readonly pipeline: GPURenderPipeline;
}

const plane = { dim: 2, axes: [0, 1] } as const;

async function pipelinesOf(device: GPUDevice, format: GPUTextureFormat, pulled: boolean) {
  const made = async (drawing: Drawing): Promise<Drawn> => {
    const { layout, descriptor } = drawingPipeline(device, drawing, format);
    return { layout, pipeline: await device.createRenderPipelineAsync(descriptor) };
  };
  const usual = { ...plane, pulled };
  const [particles, relief] = await Promise.all([made(particleDrawing(usual)), made(reliefDrawing())]);
  return { format, particles: new Map([[keyOf(usual), particles]]), relief };
}

const keyOf = ({ dim, axes, pulled }: ParticleShape) => `${dim} ${axes} ${pulled}`;

/** In the struct Draw their number is an f32. */
const mostPulled = 2 ** 24;

/** Offsets of bindings are multiples of this on every device. */
const slotBytes = 256;

class CanvasView implements ParticleView {
  readonly device: GPUDevice;
  readonly #gpu: Gpu;
  readonly #context: GPUCanvasContext;
  readonly #pipelines: Pipelines;
  readonly #relief: GPUBuffer;
  /** Numbers of draws, a slot each. */
  #slots: { buffer: GPUBuffer; numbers: Float32Array<ArrayBuffer> } | undefined;
  #isDisposed = false;

  constructor(gpu: Gpu, device: GPUDevice, context: GPUCanvasContext, pipelines: Pipelines) {
    this.device = device;
    this.#gpu = gpu;
    this.#context = context;
    this.#pipelines = pipelines;
    this.#relief = device.createBuffer({
      label: "view: density",
      size: 4 * reliefStruct.words,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  draw(picture: ParticlePicture): void {
    if (this.#isDisposed) throw invalid("draw: this view has been disposed: make another with createParticleView");
    const { device } = this;
    if (this.#gpu.device !== device || this.#gpu.isLost) throw lost();
    const own = checkedPicture(picture);
    const size = this.#context.canvas;
    const draws = own.particles.flatMap((particles) =>
      particles.count === 0 ? [] : particleDraws(own, particles, size),
    );
    const numbers = this.#write(draws);
    const [r, g, b] = own.background;
    const encoder = device.createCommandEncoder({ label: "view" });
    const pass = encoder.beginRenderPass({
      colorAttachments: [
        {
          view: this.#context.getCurrentTexture().createView(),
          clearValue: { r, g, b, a: 1 },
          loadOp: "clear",
          storeOp: "store",
        },
      ],
    });
    if (own.density) {
      device.queue.writeBuffer(this.#relief, 0, Float32Array.from(reliefNumbers(own, own.density, size)));
      pass.setPipeline(this.#pipelines.relief.pipeline);
      pass.setBindGroup(0, this.#reliefGroup(own.density));
      pass.draw(3);
    }
    let [drawn, group]: [CheckedParticles?, GPUBindGroup?] = [];
    for (const [slot, { particles, frames }] of draws.entries()) {
      const { states, count, dim, colour } = particles;
      const origin = isColour(colour) ? states : colour.origin;
      const pulled = this.#isPulled(particles, origin);
      const { pipeline, layout } = this.#pipelineOf({ ...particles, pulled });
      // the streaks of a trail are draws of the same particles
      if (!group || drawn !== particles) group = this.#group(layout, [numbers, ...(pulled ? [states, origin] : [])]);
      drawn = particles;
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group, [slot * slotBytes]);
      if (pulled) {
        pass.draw(6 * count);
        continue;
      }
      const bytes = 4 * count * dim;
      for (const [k, frame] of frames.entries()) pass.setVertexBuffer(k, states, frame * bytes, bytes);
      pass.setVertexBuffer(4, origin, 0, bytes);
      pass.draw(4, count);
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
  }

  /** Has the numbers of all draws on the device. */
  #write(draws: readonly ParticleDraw[]): GPUBuffer {
    const bytes = slotBytes * Math.max(8, draws.length);
    if (!this.#slots || this.#slots.buffer.size < bytes) {
      this.#slots?.buffer.destroy();
      const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
      const buffer = this.device.createBuffer({ label: "view: draws", size: bytes, usage });
      this.#slots = { buffer, numbers: new Float32Array(bytes / 4) };
    }
    const { buffer, numbers } = this.#slots;
    for (const [slot, { numbers: own }] of draws.entries()) numbers.set(own, (slot * slotBytes) / 4);
    this.device.queue.writeBuffer(buffer, 0, numbers);
    return buffer;
  }

  /** Of the numbers of a draw and, where they are read from storage, states and origins. */
  #group(layout: GPUBindGroupLayout, [numbers, ...others]: readonly [GPUBuffer, ...GPUBuffer[]]): GPUBindGroup {
    const resources = [{ buffer: numbers, size: 4 * drawStruct.words }, ...others.map((buffer) => ({ buffer }))];
    return this.device.createBindGroup({
      layout,
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
  }

  /** In software, where the buffers can be read from storage as a whole. */
  #isPulled({ states, count }: CheckedParticles, origin: GPUBuffer): boolean {
    const most = this.device.limits.maxStorageBufferBindingSize;
    const isReadable = ({ usage, size }: GPUBuffer) => (usage & storageUsage) !== 0 && size <= most && size % 4 === 0;
    return this.#gpu.info.software && count <= mostPulled && isReadable(states) && isReadable(origin);
  }

  #reliefGroup({ logProb }: CheckedRelief): GPUBindGroup {
    return this.device.createBindGroup({
      layout: this.#pipelines.relief.layout,
      entries: [
        { binding: 0, resource: { buffer: this.#relief } },
        { binding: 1, resource: { buffer: logProb } },
      ],
    });
  }

  #pipelineOf(shape: ParticleShape): Drawn {
    const { format, particles } = this.#pipelines;
    const key = keyOf(shape);
    let drawn = particles.get(key);
    if (!drawn) {
      const { layout, descriptor } = drawingPipeline(this.device, particleDrawing(shape), format);
      drawn = { layout, pipeline: this.device.createRenderPipeline(descriptor) };
      particles.set(key, drawn);
    }
    return drawn;
  }

  dispose(): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.#slots?.buffer.destroy();
    this.#relief.destroy();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
