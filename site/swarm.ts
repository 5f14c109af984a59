// What is on the screen lives on the device: particles at all times of the solver, and densities at some times.
import type { Flow } from "pushforward";
import { likelihoodSolver } from "./learner.ts";
import type { View } from "./targets.ts";

/** Particles at frames + 1 equal times from 0 to 1. */
export interface Swarm {
  readonly device: GPUDevice;
  readonly count: number;
  readonly frames: number;
  /** [frames + 1, count, 2] in data units. */
  readonly saved: GPUBuffer;
  /** [count, 2], where they come from, in units of the source. */
  readonly origin: GPUBuffer;
}

const mostFrames = 32;
const swarmBytes = 2 ** 28;

/** Samples with all states on the way; nothing is read back. Particle i is the same in every swarm but for the weights. */
export async function swarmOf(flow: Flow, device: () => GPUDevice, count: number, isSoftware: boolean): Promise<Swarm> {
  const { maxBufferSize, maxStorageBufferBindingSize } = device().limits;
  const fitting = Math.floor(Math.min(swarmBytes, maxBufferSize, maxStorageBufferBindingSize) / (8 * count)) - 1;
  const frames = Math.max(8, Math.min(isSoftware ? mostFrames / 2 : mostFrames, fitting));
  const { saved, x, x0 } = await flow.sample(count, {
    solver: { method: "midpoint", steps: frames },
    saveAt: "steps",
    seed: 7,
    output: "gpu",
  });
  x.destroy();
  if (!saved || !x0) throw new Error("the samples came without their way");
  return { device: device(), count, frames, saved, origin: x0 };
}

export function destroySwarm(swarm: Swarm | undefined): void {
  swarm?.saved.destroy();
  swarm?.origin.destroy();
}

/** log p at the corners of a square grid over the view, rows from below, at `levels` + 1 times from 0 to 1. */
export class Densities {
  readonly side: number;
  readonly levels: number;
  readonly #isSoftware: boolean;
  readonly #corners: Float32Array;
  /** By level; of older weights until they are computed again. */
  readonly #kept = new Map<number, { device: GPUDevice; logProb: GPUBuffer; generation: number }>();
  #generation = 0;

  constructor(view: View, isSoftware: boolean) {
    this.#isSoftware = isSoftware;
    this.side = isSoftware ? 40 : 128;
    this.levels = isSoftware ? 8 : 24;
    const { centre, half } = view;
    const place = (k: number, middle: number) => middle + half * ((2 * k) / (this.side - 1) - 1);
    this.#corners = Float32Array.from({ length: 2 * this.side ** 2 }, (_, i) => {
      const corner = i >> 1;
      return i % 2 === 0 ? place(corner % this.side, centre[0]) : place(Math.floor(corner / this.side), centre[1]);
    });
  }

  levelOf(time: number): number {
    return Math.round(time * this.levels);
  }

  /** The weights are others: what there is stays to be seen until something newer comes. */
  outdate(): void {
    this.#generation++;
  }

  isCurrent(level: number): boolean {
    return this.#kept.get(level)?.generation === this.#generation;
  }

  /** The first level from `level` on, to and fro, that is to be computed again; undefined when none is. */
  next(level: number): number | undefined {
    for (let k = 0; k <= this.levels; k++)
      for (const other of [level - k, level + k])
        if (other >= 0 && other <= this.levels && !this.isCurrent(other)) return other;
    return undefined;
  }

  async compute(flow: Flow, device: () => GPUDevice, level: number): Promise<void> {
    const generation = this.#generation;
    const at = level / this.levels;
    const { method, steps } = likelihoodSolver(this.#isSoftware);
    const solver = { method, steps: Math.max(2, Math.ceil(at * steps)) };
    const { logProb, x0 } = await flow.logProb(this.#corners, { at, solver, output: "gpu" });
    x0.destroy();
    this.#kept.get(level)?.logProb.destroy();
    this.#kept.set(level, { device: device(), logProb, generation });
  }

  /** The one that is nearest in time, newer ones first, on this device. */
  shown(time: number, device: GPUDevice): GPUBuffer | undefined {
    const exact = time * this.levels;
    const usable = [...this.#kept].filter(([, kept]) => kept.device === device);
    const newest = Math.max(...usable.map(([, { generation }]) => generation));
    const distance = ([level, { generation }]: (typeof usable)[number]) =>
      Math.abs(level - exact) + (generation < newest - 1 && this.#generation > 1 ? 0.75 : 0);
    return usable.sort((a, b) => distance(a) - distance(b))[0]?.[1].logProb;
  }

  dispose(): void {
    for (const { logProb } of this.#kept.values()) logProb.destroy();
    this.#kept.clear();
  }
}
