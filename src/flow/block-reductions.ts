import type { PlannedBuffer } from "../gpu/kernel.ts";
import type { Session } from "../gpu/session.ts";
import { type Bins, blockMoments, histogram, markFinite, momentFloats } from "../kernels/reductions.ts";
import type { Job, RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import type { Flow } from "./flow.ts";
import { solveJob } from "./solve-job.ts";
import { outputs, type Reduce, type TrajectoryRequest } from "./trajectory.ts";

/** Particles of a block: the device reduces each to one row of figures, in an order that does not depend on the chunks. */
const particlesPerBlock = 1024;

/** What a reduction plans for each chunk, and what it makes of the figures that come back. Chunks come in order. */
export interface Reduction {
  /** Device bytes per particle. */
  readonly bytesPerParticle: number;
  plan(block: number): Reduce;
  take(figures: ReadonlyMap<string, ArrayBuffer>): void;
}

/** Runs a solve of which only figures come back to the host, and gives the number of particles that ended with a NaN or an infinity. */
export async function reduceSolve(
  flow: Flow,
  request: TrajectoryRequest,
  reduction: Reduction,
  options: RunOptions,
): Promise<number> {
  const { gpu } = flow;
  const makeJob = async (session: Session): Promise<Job> => {
    let reduce: Reduce | undefined;
    const planned: Reduce = (...chunk) => reduce?.(...chunk) ?? { buffers: [], dispatches: [], outputs: [] };
    const job = await solveJob(flow, session, { ...request, reduce: planned });
    const bytesPerParticle = job.bytesPerParticle + reduction.bytesPerParticle;
    // Blocks are whole where memory allows it, also with the shortest chunks.
    const largest = Math.max(1, Math.min(job.largestChunk, gpu.memoryBudget / 4 / bytesPerParticle));
    const block = Math.min(particlesPerBlock, 2 ** Math.floor(Math.log2(largest)));
    reduce = reduction.plan(block);
    return { ...job, bytesPerParticle, multiple: block };
  };
  let nonFinite = 0;
  for await (const chunk of runJob(gpu, makeJob, options)) {
    nonFinite += new Uint32Array(chunk.outputs.get(outputs.nonFinite) ?? new ArrayBuffer(4))[0] ?? 0;
    reduction.take(chunk.outputs);
  }
  return nonFinite;
}

/** Counts of particles in bins of two axes, [y.bins, x.bins], summed over the chunks, and those outside. */
export class HistogramSum implements Reduction {
  readonly counts: Uint32Array<ArrayBuffer>;
  outside = 0;
  readonly bytesPerParticle = 0;
  readonly #dim: number;
  readonly #x: Bins;
  readonly #y: Bins;

  constructor(dim: number, x: Bins, y: Bins) {
    this.#dim = dim;
    this.#x = x;
    this.#y = y;
    this.counts = new Uint32Array(x.bins * y.bins);
  }

  plan(): Reduce {
    const length = this.counts.length + 1;
    return (_first, count) => ({
      buffers: [{ name: "counts", bytes: length * 4, data: new Uint32Array(length) }],
      dispatches: [histogram({ count, dim: this.#dim, x: this.#x, y: this.#y, rows: outputs.x, counts: "counts" })],
      outputs: [{ name: "counts", bytes: length * 4 }],
    });
  }

  take(figures: ReadonlyMap<string, ArrayBuffer>): void {
    const part = new Uint32Array(figures.get("counts") ?? new ArrayBuffer(0));
    const { counts } = this;
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] ?? 0) + (part[i] ?? 0);
    this.outside += part[counts.length] ?? 0;
  }
}

/**
 * Mean and centred products of the rows of an output, summed over blocks in f64: the means of two sets of rows and their
 * products about them are merged by Chan, Golub & LeVeque (1983), eq. 2.1. Rows with a NaN or an infinity are left out.
 */
export class MomentSum implements Reduction {
  readonly mean: Float64Array<ArrayBuffer>;
  /** Σ (x − mean)(x − mean)ᵀ, [dim, dim]. */
  readonly products: Float64Array<ArrayBuffer>;
  /** Finite rows. */
  count = 0;
  readonly bytesPerParticle: number;
  readonly #dim: number;
  readonly #output: string;

  constructor(dim: number, output: string) {
    this.#dim = dim;
    this.#output = output;
    this.mean = new Float64Array(dim);
    this.products = new Float64Array(dim * dim);
    this.bytesPerParticle = 4 + Math.ceil((momentFloats(dim) * 8) / particlesPerBlock);
  }

  plan(block: number): Reduce {
    const dim = this.#dim;
    const rows = this.#output;
    const finite = `${rows} finite`;
    const moments = `${rows} moments`;
    return (first, count, maxFlops) => {
      const lead = first % block;
      const blocks = Math.ceil((lead + count) / block);
      const bytes = blocks * momentFloats(dim) * 4;
      const buffers: PlannedBuffer[] = [
        { name: finite, bytes: count * 4 },
        { name: moments, bytes },
      ];
      return {
        buffers,
        dispatches: [
          markFinite({ count, dim, rows, finite }),
          ...blockMoments({ count, dim, lead, block, blocks, rows, finite, moments, maxFlops }),
        ],
        outputs: [{ name: moments, bytes }],
      };
    };
  }

  take(figures: ReadonlyMap<string, ArrayBuffer>): void {
    const all = new Float32Array(figures.get(`${this.#output} moments`) ?? new ArrayBuffer(0));
    const stride = momentFloats(this.#dim);
    for (let at = 0; at < all.length; at += stride) this.#merge(all.subarray(at, at + stride));
  }

  #merge(figures: Float32Array): void {
    const dim = this.#dim;
    const n = figures[0] ?? 0;
    if (n === 0) return;
    const shift = figures.subarray(1, 1 + dim);
    const residuals = figures.subarray(1 + dim, 1 + 2 * dim);
    const products = figures.subarray(1 + 2 * dim);
    const total = this.count + n;
    const { mean } = this;
    // The block's own mean is its shift and what rounding left: x̄ = shift + Σ(x − shift)/n.
    const correction = Float64Array.from(residuals, (residual) => residual / n);
    const difference = Float64Array.from(shift, (s, i) => s + (correction[i] ?? 0) - (mean[i] ?? 0));
    const weight = (this.count * n) / total;
    for (let d = 0; d <= Math.floor(dim / 2); d++) {
      for (let i = 0; i < dim; i++) {
        const j = (i + d) % dim;
        const own = (products[d * dim + i] ?? 0) - n * (correction[i] ?? 0) * (correction[j] ?? 0);
        const sum = (this.products[i * dim + j] ?? 0) + own + weight * (difference[i] ?? 0) * (difference[j] ?? 0);
        // For an even dim the pairs half way round come twice: from either end, with the same value.
        if (2 * d === dim && j < i) continue;
        this.products[i * dim + j] = sum;
        this.products[j * dim + i] = sum;
      }
    }
    for (let i = 0; i < dim; i++) mean[i] = (mean[i] ?? 0) + ((difference[i] ?? 0) * n) / total;
    this.count = total;
  }

  /** Σ (x − mean)(x − mean)ᵀ / (count − 1), [dim, dim]. */
  get covariance(): Float64Array<ArrayBuffer> {
    return this.products.map((value) => (this.count > 1 ? value / (this.count - 1) : Number.NaN));
  }
}

/** Several reductions of the same solve. */
export function together(parts: readonly Reduction[]): Reduction {
  return {
    bytesPerParticle: parts.reduce((sum, { bytesPerParticle }) => sum + bytesPerParticle, 0),
    plan(block) {
      const plans = parts.map((part) => part.plan(block));
      return (first, count, maxFlops) => {
        const all = plans.map((plan) => plan(first, count, maxFlops));
        return {
          buffers: all.flatMap(({ buffers }) => buffers),
          dispatches: all.flatMap(({ dispatches }) => dispatches),
          outputs: all.flatMap((plan) => plan.outputs),
        };
      };
    },
    take(figures) {
      for (const part of parts) part.take(figures);
    },
  };
}
