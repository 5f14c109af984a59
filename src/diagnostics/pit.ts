import { circularAxes } from "../data/transform.ts";
import { logProbFields } from "../flow/fields.ts";
import type { Flow } from "../flow/flow.ts";
import { noFlow } from "../flow/given-flow.ts";
import type { LogProbOptions } from "../flow/options.ts";
import { item } from "../must.ts";
import { turn } from "../network/circle.ts";
import { without } from "../options/part.ts";
import { checkKeys } from "../options.ts";
import { chiSquareTail, normalCdf } from "./distributions.ts";
import type { SampleRows } from "./rows.ts";

/** Probability-integral transforms of n rows, each uniform on (0, 1) where the model is right. */
export interface Pit {
  /** Of each coordinate of the source that a row comes from, [n, dim]. */
  coordinates: Float64Array;
  /** Of the distance to the source's mean, in its standard deviations (χ²_dim), [n]: for a source that is Gaussian. */
  radius?: Float64Array;
  /** log p, nats, [n]. */
  logProb: Float32Array;
  /** Rows whose solve did not end, or ended in NaN: their transforms are NaN. */
  failed: number;
}

const known = Object.keys(without(logProbFields, "output", "at"));

/**
 * The probability-integral transforms of data under a flow (Rosenblatt 1952): rows are taken back to the source, and each of their
 * coordinates goes through its distribution function; of a mixture, through that given the coordinates before it. {@link uniformity} and {@link coverage} judge what comes of it.
 *
 * @param x row-major [n, dim], in data units
 * @param options those of `Flow.logProb`: the solver, labels, context, …
 * @throws PushforwardError as `Flow.logProb`.
 * @example
 * import { Flow, mlp, openGpu, toyData } from "pushforward";
 * import { coverage, pit, uniformity } from "pushforward/diagnostics";
 * const gpu = await openGpu();
 * const flow = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [16] }) });
 * const { radius } = await pit(flow, toyData("moons", 100), { solver: { method: "midpoint", steps: 10 } });
 * if (radius) console.log(uniformity(radius).ks.pValue, coverage(radius, [0.5, 0.9]));
 * gpu.dispose();
 */
export async function pit(
  flow: Flow,
  x: SampleRows,
  options: Omit<LogProbOptions, "output" | "at"> = {},
): Promise<Pit> {
  if (!flow?.source) throw noFlow("pit");
  checkKeys("pit", options, known);
  const { x0, logProb, status } = await flow.logProb(x, options);
  const { dim, source } = flow;
  const circular = circularAxes(flow.transform);
  const parts = partsOf(source, dim);
  const isBox = source.kind === "uniform";
  const coordinates = new Float64Array(x0.length);
  const radius = new Float64Array(logProb.length);
  let failed = 0;
  for (let i = 0; i < radius.length; i++) {
    const isDone = status === undefined || status[i] === 0;
    let squares = 0;
    // of the parts, given the coordinates before
    let logs = parts.map(({ weight }) => Math.log(weight));
    for (let k = 0; k < dim; k++) {
      const value = isDone ? (x0[i * dim + k] as number) : Number.NaN;
      const z = parts.map(({ from, width }) => (value - item(from, k)) / item(width, k));
      // Math.max and Math.min keep NaN
      const turns = value / turn + 0.5;
      const shares = sharesOf(logs);
      coordinates[i * dim + k] = circular.includes(k)
        ? turns - Math.floor(turns)
        : isBox
          ? Math.min(1, Math.max(0, item(z, 0)))
          : Math.min(
              1,
              z.reduce((sum, own, part) => sum + item(shares, part) * normalCdf(own), 0),
            );
      if (!circular.includes(k))
        logs = logs.map((log, part) => log - item(z, part) ** 2 / 2 - Math.log(item(item(parts, part).width, k)));
      squares += item(z, 0) ** 2;
    }
    radius[i] = 1 - chiSquareTail(squares, dim);
    if (Number.isNaN(squares)) failed++;
  }
  return { coordinates, ...(source.kind === "gaussian" && circular.length === 0 && { radius }), logProb, failed };
}

/** A Gaussian of a source, or its box: where it lies, and how wide it is. */
interface Part {
  readonly weight: number;
  readonly from: readonly number[];
  readonly width: readonly number[];
}

function partsOf({ options, kind, parts, rows }: Flow["source"], dim: number): Part[] {
  return Array.from({ length: parts }, (_, part) => {
    const numbers = (first: number) => Array.from(rows.subarray(first, first + dim));
    const from = numbers(part * dim);
    const second = numbers((parts + part) * dim);
    return {
      weight: "weights" in options && options.weights ? item(options.weights, part) : 1,
      from,
      width: kind === "uniform" ? second.map((high, k) => high - item(from, k)) : second,
    };
  });
}

/** e^log, so that they sum to 1. */
function sharesOf(logs: readonly number[]): number[] {
  const most = logs.reduce((a, b) => Math.max(a, b));
  const shares = logs.map((log) => Math.exp(log - most));
  const sum = shares.reduce((a, b) => a + b, 0);
  return shares.map((share) => share / sum);
}
