import { judge } from "../../shaders/judge.ts";
import { type Bins, blockMoments, histogram, momentFloats } from "../../shaders/reductions.ts";
import type { Session } from "../gpu/session.ts";
import { item, must } from "../must.ts";
import type { ChunkPlan, Job, RunOptions } from "../schedule/job.ts";
import { runJob } from "../schedule/recovery.ts";
import { outputs } from "./outputs.ts";
import { joined } from "./part.ts";
import type { FlowOnDevice } from "./shape.ts";
import { solveJob } from "./solve-job.ts";
import { readTally, type Tally, tallyBuffer } from "./tally.ts";
import type { Reduce, TrajectoryRequest } from "./trajectory.ts";

/** Particles of a block: the device reduces each to one row of figures, in an order that does not depend on the chunks. */
const particlesPerBlock = 1024;

/** What a reduction plans for each chunk, and what it makes of the figures that come back. Chunks come in order. */
export interface Reduction {
  /** Device bytes per particle. */
  readonly bytesPerParticle: number;
  plan(block: number): Reduce;
  take(figures: ReadonlyMap<string, ArrayBuffer>): void;
}

/** Runs a solve of which only figures come back to the host. */
export async function reduceSolve(
  flow: FlowOnDevice,
  request: TrajectoryRequest,
  reduction: Reduction,
  options: RunOptions,
): Promise<void> {
  const { gpu } = flow;
  const makeJob = async (session: Session): Promise<Job> => {
    let reduce: Reduce | undefined;
    const planned: Reduce = (...chunk) => must(reduce, "the plan of a reduction")(...chunk);
    const job = await solveJob(flow, session, { ...request, reduce: planned });
    const bytesPerParticle = job.bytesPerParticle + reduction.bytesPerParticle;
    // Blocks are whole where memory allows it, also with the shortest chunks.
    const largest = Math.max(1, Math.min(job.largestChunk, gpu.memoryBudget / 4 / bytesPerParticle));
    const block = Math.min(particlesPerBlock, 2 ** Math.floor(Math.log2(largest)));
    reduce = reduction.plan(block);
    return { ...job, bytesPerParticle, multiple: block };
  };
  for await (const chunk of runJob(gpu, request.count, makeJob, options)) reduction.take(chunk.outputs);
}

/** The part of a reduction that finds the particles that it is about, and counts the others. */
class Judgement {
  readonly tally: Tally = { nonFinite: 0, unfinished: 0 };
  /** Of each particle, 1 or 0: whether it counts. */
  readonly marks: string;
  readonly #dim: number;
  readonly #rows: string;

  constructor(dim: number, rows: string) {
    this.#dim = dim;
    this.#rows = rows;
    this.marks = `${rows} marks`;
  }

  /** Has the marks made; its outputs have the counts. */
  plan(count: number, status: string | undefined): ChunkPlan {
    const name = this.#name;
    const { buffer, output } = tallyBuffer(name);
    return {
      buffers: [buffer, { name: this.marks, bytes: count * 4 }],
      dispatches: [judge({ count, dim: this.#dim, rows: this.#rows, status, tally: name, marks: this.marks })],
      outputs: [output],
    };
  }

  take(figures: ReadonlyMap<string, ArrayBuffer>): void {
    const { nonFinite, unfinished } = readTally(figures.get(this.#name));
    this.tally.nonFinite += nonFinite;
    this.tally.unfinished += unfinished;
  }

  get #name(): string {
    return `${this.#rows} tally`;
  }
}

/** Counts of particles in bins of two axes, [y.bins, x.bins], summed over the chunks, and those in none. */
export class HistogramSum implements Reduction {
  readonly counts: Uint32Array<ArrayBuffer>;
  outside = 0;
  readonly bytesPerParticle = 4;
  readonly #judgement: Judgement;
  readonly #dim: number;
  readonly #x: Bins;
  readonly #y: Bins;

  constructor(dim: number, x: Bins, y: Bins) {
    this.#dim = dim;
    this.#x = x;
    this.#y = y;
    this.#judgement = new Judgement(dim, outputs.x);
    this.counts = new Uint32Array(x.bins * y.bins);
  }

  get tally(): Tally {
    return this.#judgement.tally;
  }

  plan(): Reduce {
    const length = this.counts.length + 1;
    const { marks } = this.#judgement;
    const bins = { dim: this.#dim, x: this.#x, y: this.#y, rows: outputs.x, marks, counts: "counts" };
    return (_first, count, _maxFlops, status) =>
      joined([
        this.#judgement.plan(count, status),
        {
          buffers: [{ name: "counts", bytes: length * 4, data: new Uint32Array(length) }],
          dispatches: [histogram({ ...bins, count })],
          outputs: [{ name: "counts", bytes: length * 4 }],
        },
      ]);
  }

  take(figures: ReadonlyMap<string, ArrayBuffer>): void {
    const part = new Uint32Array(must(figures.get("counts"), "the histogram of a chunk"));
    const { counts } = this;
    this.outside += item(part, counts.length);
    for (let i = 0; i < counts.length; i++) counts[i] = (counts[i] as number) + (part[i] as number);
    this.#judgement.take(figures);
  }
}

/**
 * Mean and centred products of the rows of an output, summed over blocks in f64: the means of two sets of rows and their
 * products about them are merged by Chan, Golub & LeVeque (1983), eq. 2.1. Rows with a NaN or an infinity, and those of particles
 * whose solve did not end, are left out and counted.
 */
export class MomentSum implements Reduction {
  readonly mean: Float64Array<ArrayBuffer>;
  /** Σ (x − mean)(x − mean)ᵀ, [dim, dim]. */
  readonly products: Float64Array<ArrayBuffer>;
  /** Rows that it is about. */
  count = 0;
  readonly bytesPerParticle: number;
  readonly #dim: number;
  readonly #output: string;
  readonly #judgement: Judgement;

  constructor(dim: number, output: string) {
    this.#dim = dim;
    this.#output = output;
    this.#judgement = new Judgement(dim, output);
    this.mean = new Float64Array(dim);
    this.products = new Float64Array(dim * dim);
    this.bytesPerParticle = 4 + Math.ceil((momentFloats(dim) * 8) / particlesPerBlock);
  }

  plan(block: number): Reduce {
    const dim = this.#dim;
    const rows = this.#output;
    const { marks } = this.#judgement;
    const moments = `${rows} moments`;
    return (first, count, maxFlops, status) => {
      const lead = first % block;
      const blocks = Math.ceil((lead + count) / block);
      const bytes = blocks * momentFloats(dim) * 4;
      return joined([
        this.#judgement.plan(count, status),
        {
          buffers: [{ name: moments, bytes }],
          dispatches: blockMoments({ count, dim, lead, block, blocks, rows, marks, moments, maxFlops }),
          outputs: [{ name: moments, bytes }],
        },
      ]);
    };
  }

  get tally(): Tally {
    return this.#judgement.tally;
  }

  take(figures: ReadonlyMap<string, ArrayBuffer>): void {
    const all = new Float32Array(must(figures.get(`${this.#output} moments`), "the sums of a chunk"));
    const stride = momentFloats(this.#dim);
    for (let at = 0; at < all.length; at += stride) this.#merge(all.subarray(at, at + stride));
    this.#judgement.take(figures);
  }

  #merge(figures: Float32Array): void {
    const dim = this.#dim;
    const n = item(figures, 0);
    if (n === 0) return;
    const shift = figures.subarray(1, 1 + dim);
    const residuals = figures.subarray(1 + dim, 1 + 2 * dim);
    const products = figures.subarray(1 + 2 * dim);
    const total = this.count + n;
    const { mean } = this;
    // Each of these has dim or dim² elements: a block's figures are momentFloats(dim) numbers.
    // The block's own mean is its shift and what rounding left: x̄ = shift + Σ(x − shift)/n.
    const correction = Float64Array.from(residuals, (residual) => residual / n);
    const difference = Float64Array.from(shift, (s, i) => s + (correction[i] as number) - (mean[i] as number));
    const weight = (this.count * n) / total;
    for (let d = 0; d <= Math.floor(dim / 2); d++) {
      for (let i = 0; i < dim; i++) {
        const j = (i + d) % dim;
        const own = (products[d * dim + i] as number) - n * (correction[i] as number) * (correction[j] as number);
        const between = weight * (difference[i] as number) * (difference[j] as number);
        const sum = (this.products[i * dim + j] as number) + own + between;
        // For an even dim the pairs half way round come twice: from either end, with the same value.
        if (2 * d === dim && j < i) continue;
        this.products[i * dim + j] = sum;
        this.products[j * dim + i] = sum;
      }
    }
    for (let i = 0; i < dim; i++) mean[i] = (mean[i] as number) + ((difference[i] as number) * n) / total;
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
      return (...chunk) => joined(plans.map((plan) => plan(...chunk)));
    },
    take(figures) {
      for (const part of parts) part.take(figures);
    },
  };
}
