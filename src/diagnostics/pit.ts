import { circularAxes } from "../data/transform.ts";
import type { Flow } from "../flow/flow.ts";
import { noFlow } from "../flow/given-flow.ts";
import type { LogProbOptions } from "../flow/options.ts";
import { turn } from "../network/circle.ts";
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

/**
 * The probability-integral transforms of data under a flow (Rosenblatt 1952): rows are taken back to the source, whose coordinates are
 * independent, and each of them goes through its distribution function. {@link uniformity} and {@link coverage} judge what comes of it.
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
  const { x0, logProb, status } = await flow.logProb(x, options);
  const { dim, source } = flow;
  const { kind, rows } = source;
  const circular = circularAxes(flow.transform);
  const coordinates = new Float64Array(x0.length);
  const radius = new Float64Array(logProb.length);
  let failed = 0;
  for (let i = 0; i < radius.length; i++) {
    const isDone = status === undefined || status[i] === 0;
    let squares = 0;
    for (let k = 0; k < dim; k++) {
      const value = isDone ? (x0[i * dim + k] as number) : Number.NaN;
      const [first, second] = [rows[k] as number, rows[dim + k] as number];
      const z = kind === "gaussian" ? (value - first) / second : (value - first) / (second - first);
      // Math.max and Math.min keep NaN
      const turns = value / turn + 0.5;
      coordinates[i * dim + k] = circular.includes(k)
        ? turns - Math.floor(turns)
        : kind === "gaussian"
          ? normalCdf(z)
          : Math.min(1, Math.max(0, z));
      squares += z * z;
    }
    radius[i] = 1 - chiSquareTail(squares, dim);
    if (Number.isNaN(squares)) failed++;
  }
  return { coordinates, ...(kind === "gaussian" && circular.length === 0 && { radius }), logProb, failed };
}
