import { readable } from "../arrays.ts";
import { rowsInFlow } from "../data/transform-maps.ts";
import type { DataRows } from "../data/units.ts";
import { invalid } from "../errors.ts";
import type { Flow } from "../flow/flow.ts";
import { checkAllFinite, isBuffer } from "../flow/rows.ts";
import { type SourceSpec, samplesSpec } from "../flow/source.ts";
import { readSamples } from "../flow/source-buffer.ts";
import type { Arena } from "../gpu/arena.ts";
import { show } from "../options.ts";
import { unlessAborted } from "../schedule/unless.ts";
import type { SourceBatches } from "./flow-matching-options.ts";
import { isGiven } from "./given-pairs.ts";
import { checkRows, type FlowMatchingPlan } from "./plan.ts";
import { checkResolved } from "./resolved.ts";

/** A source whose rows are made as they are needed, in the flow's own space. */
export interface BroughtSource {
  /** Of the samples with the numbers `first`, `first + 1`, …, [count, dim]. */
  rows(first: number, count: number, validation: boolean): Promise<Float32Array>;
  /** The first rows, which have been checked. */
  readonly begin: Float32Array;
  /** What a checkpoint remembers. */
  made(): Promise<unknown>;
}

/** Rows that are looked at before the first step. */
const lookedAt = 1024;

/**
 * The plan with the option `source` as it is drawn from: rows of a buffer are read, rows in a transform's space leave it, and of a function
 * the first rows are checked.
 *
 * @throws PushforwardError `invalid-argument` for rows that are not finite, or of which f32 has lost too much.
 */
export async function withSource(
  what: string,
  flow: Flow,
  plan: FlowMatchingPlan,
): Promise<FlowMatchingPlan & { readonly brought?: BroughtSource }> {
  const { source, signal, coupling } = plan.options;
  await plan.source.settled;
  if (source === undefined) return { ...plan, ...startsOf(plan.source) };
  if (typeof source === "function") {
    if (isGiven(coupling))
      throw invalid(
        `${what}: source is a function, but with coupling "paired" row i of the source belongs to row i of the data: pass the rows`,
      );
    return { ...plan, brought: await broughtSource(what, flow, source, plan) };
  }
  let rows: DataRows;
  if (isBuffer(source)) {
    rows = new Float32Array(source.size / 4);
    await unlessAborted(signal, readSamples(flow.gpu, source, rows));
    checkRows(what, "source", flow, rows);
  } else rows = readable(`${what}: source`, source);
  checkResolved(what, "source", flow, rows);
  const own = samplesSpec(rowsInFlow(what, "source", rows, flow), flow.dim);
  return { ...plan, options: { ...plan.options, source: rows }, source: own, ...startsOf(own) };
}

const startsOf = ({ kind, parts }: SourceSpec) => (kind === "samples" ? { starts: parts } : {});

async function broughtSource(
  what: string,
  flow: Flow,
  source: SourceBatches,
  { options: { seed, signal }, batchSize }: FlowMatchingPlan,
): Promise<BroughtSource> {
  const { dim } = flow;
  const given = async (first: number, count: number, validation: boolean) => {
    const made = await unlessAborted(signal, Promise.resolve(source(count, { first, seed, validation })));
    const rows = readable(`${what}: what source gave`, made);
    if (!(rows instanceof Float32Array || rows instanceof Float64Array) || rows.length !== count * dim)
      throw invalid(
        `${what}: source gave ${show(rows)} for ${count} samples, but a flow of dim ${dim} needs a row-major [${count}, ${dim}] Float32Array or Float64Array of them, or a promise of one`,
      );
    checkAllFinite(what, "source", rows, dim);
    return rows;
  };
  const rows = async (...of: Parameters<typeof given>) => rowsInFlow(what, "source", await given(...of), flow);
  const count = Math.min(batchSize, lookedAt);
  const first = await given(0, count, false);
  checkResolved(what, "source", flow, first);
  const begin = rowsInFlow(what, "source", first, flow);
  return {
    rows,
    begin,
    async made() {
      const again = await rows(0, count, false);
      if (again.some((value, i) => value !== begin[i]))
        throw invalid(
          `${what}: source gave other rows for the same samples, so that a training which goes on from a checkpoint would be another one: make them of their numbers and the seed alone (first and seed of its second argument), or leave checkpoint and resume out`,
        );
      return { first: begin };
    },
  };
}

/** Puts rows of the source behind those of the data, at the place of the first one. */
export function placeStarts(arena: Arena, dataRows: number, dim: number, place: number, rows: Float32Array): void {
  const at = (dataRows + place) * dim * 4;
  arena.session.device.queue.writeBuffer(arena.buffer("data"), at, rows as Float32Array<ArrayBuffer>);
}
