// Draws a frame with the library's device, straight from the library's buffers.

import type { Origin } from "./origin.ts";
import { densityShader, particleShader } from "./shaders.ts";
import type { Swarm } from "./swarm.ts";
import type { View } from "./targets.ts";

export type Colour = readonly [r: number, g: number, b: number, a: number];

export interface Theme {
  readonly paper: Colour;
  readonly shade: Colour;
  readonly line: Colour;
  readonly points: Colour;
  /** Of colours by origin, in OKLCH. */
  readonly lightness: number;
}

export interface Scene {
  readonly view: View;
  readonly time: number;
  readonly theme: Theme;
  readonly swarm?: Swarm | undefined;
  readonly origin: Origin;
  /** Whether a streak shows where each particle was a moment ago. */
  readonly hasTrails: boolean;
  readonly density?: { logProb: GPUBuffer; corners: number; reference: number } | undefined;
  /** The points to learn. */
  readonly points?: { buffer: GPUBuffer; count: number } | undefined;
}

/** Floats of the struct Frame of the shaders, and room for it at the offsets that bindings may have. */
const frameFloats = 32;
const frameBytes = 256;
/** Streaks behind each particle, and the time that each of them spans. */
const streaks = 5;
const streakTime = 0.025;
const slots = streaks + 3;

export class Renderer {
  readonly device: GPUDevice;
  readonly #context: GPUCanvasContext;
  readonly #frames: GPUBuffer;
  readonly #numbers = new Float32Array((slots * frameBytes) / 4);
  readonly #particles: GPURenderPipeline;
  readonly #density: GPURenderPipeline;
  readonly #slots: readonly GPUBindGroup[];

  /** Throws, or rejects, where the device cannot draw. */
  static async on(device: GPUDevice, canvas: HTMLCanvasElement): Promise<Renderer> {
    const format = navigator.gpu.getPreferredCanvasFormat();
    const state = (shaderLocation: number): GPUVertexBufferLayout => ({
      arrayStride: 8,
      stepMode: "instance",
      attributes: [{ shaderLocation, offset: 0, format: "float32x2" }],
    });
    const over: GPUBlendComponent = { srcFactor: "one", dstFactor: "one-minus-src-alpha", operation: "add" };
    const particle = device.createShaderModule({ label: "site: particles", code: particleShader });
    const density = device.createShaderModule({ label: "site: density", code: densityShader });
    const [particles, shades] = await Promise.all([
      device.createRenderPipelineAsync({
        label: "site: particles",
        layout: "auto",
        vertex: { module: particle, buffers: [0, 1, 2, 3, 4].map(state) },
        fragment: { module: particle, targets: [{ format, blend: { color: over, alpha: over } }] },
        primitive: { topology: "triangle-strip" },
      }),
      device.createRenderPipelineAsync({
        label: "site: density",
        layout: "auto",
        vertex: { module: density },
        fragment: { module: density, targets: [{ format }] },
      }),
    ]);
    return new Renderer(device, canvas, format, particles, shades);
  }

  private constructor(
    device: GPUDevice,
    canvas: HTMLCanvasElement,
    format: GPUTextureFormat,
    particles: GPURenderPipeline,
    density: GPURenderPipeline,
  ) {
    this.device = device;
    this.#particles = particles;
    this.#density = density;
    const context = canvas.getContext("webgpu");
    if (!context) throw new Error("this browser gives a canvas no WebGPU context");
    this.#context = context;
    context.configure({ device, format, alphaMode: "opaque" });
    this.#frames = device.createBuffer({
      label: "site: frames",
      size: slots * frameBytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    this.#slots = Array.from({ length: slots }, (_, slot) =>
      device.createBindGroup({ layout: particles.getBindGroupLayout(0), entries: [this.#frame(slot)] }),
    );
  }

  #frame(slot: number): GPUBindGroupEntry {
    return { binding: 0, resource: { buffer: this.#frames, offset: slot * frameBytes, size: frameFloats * 4 } };
  }

  draw(scene: Scene): void {
    const { device } = this;
    const canvas = this.#context.canvas;
    const { theme, swarm, points, density } = scene;
    const pixel = 2 / canvas.width;
    const pixels = canvas.width / 600;
    const size = swarm ? Math.max(0.7, 2.3 * (4000 / swarm.count) ** 0.2) : 1;
    const radius = Math.max(0.75, size * pixels) * pixel;
    const alpha = swarm ? Math.min(0.85, Math.max(0.12, 0.85 * (10_000 / swarm.count) ** 0.35)) : 1;
    const write = (slot: number, own: { head: number; tail: number; alpha: number; radius: number; ink?: Colour }) => {
      const { paper, line, shade, lightness } = theme;
      const first = [...scene.view.centre, scene.view.half, own.radius, own.head, own.tail, own.alpha, pixel];
      const last = [
        lightness,
        density?.corners ?? 2,
        density?.reference ?? 0,
        scene.origin.scale,
        ...scene.origin.centre,
        0,
        0,
      ];
      this.#numbers.set(
        [...first, ...(own.ink ?? [0, 0, 0, 0]), ...paper, ...line, ...shade, ...last],
        (slot * frameBytes) / 4,
      );
    };
    const encoder = device.createCommandEncoder();
    const [r, g, b] = theme.paper;
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
    const still = { head: 0, tail: 0, alpha: 1, radius };
    write(0, still);
    if (density) {
      pass.setPipeline(this.#density);
      pass.setBindGroup(
        0,
        device.createBindGroup({
          layout: this.#density.getBindGroupLayout(0),
          entries: [this.#frame(0), { binding: 1, resource: { buffer: density.logProb } }],
        }),
      );
      pass.draw(3);
    }
    pass.setPipeline(this.#particles);
    if (points) {
      write(1, { ...still, radius: Math.max(0.9 * pixels, 0.8) * pixel, ink: theme.points });
      pass.setBindGroup(0, this.#slots[1]);
      for (const location of [0, 1, 2, 3, 4]) pass.setVertexBuffer(location, points.buffer);
      pass.draw(4, points.count);
    }
    if (swarm) {
      const stateBytes = swarm.count * 8;
      const place = (time: number) => {
        const exact = Math.max(0, Math.min(1, time)) * swarm.frames;
        const before = Math.min(Math.floor(exact), swarm.frames - 1);
        return { before, share: exact - before };
      };
      for (let k = scene.hasTrails ? streaks : 0; k >= 0; k--) {
        const head = place(scene.time - Math.max(0, k - 1) * streakTime);
        const tail = place(scene.time - k * streakTime);
        const slot = 2 + k;
        const fade = k === 0 ? 1 : 0.3 * (1 - k / (streaks + 1));
        write(slot, {
          head: head.share,
          tail: tail.share,
          alpha: alpha * fade,
          radius: k === 0 ? radius : Math.max(0.6 * radius, 0.5 * pixel),
        });
        pass.setBindGroup(0, this.#slots[slot]);
        for (const [location, state] of [head.before, head.before + 1, tail.before, tail.before + 1].entries())
          pass.setVertexBuffer(location, swarm.saved, state * stateBytes, stateBytes);
        pass.setVertexBuffer(4, swarm.origin);
        pass.draw(4, swarm.count);
      }
    }
    pass.end();
    device.queue.writeBuffer(this.#frames, 0, this.#numbers);
    device.queue.submit([encoder.finish()]);
  }

  dispose(): void {
    this.#frames.destroy();
  }
}
