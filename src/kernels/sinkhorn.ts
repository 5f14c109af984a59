import { type Dispatch, dispatchOf } from "../../shaders/dispatch.ts";
import { drawNumbers } from "../../shaders/random.ts";
import { choiceNumbers } from "../../shaders/row-draws.ts";
import {
  drawPairsKernel,
  groupPointsKernel,
  planFiguresKernel,
  pointsPerWorkgroup,
  sinkhornKernel,
  sinkhornWorkgroup,
} from "../../shaders/sinkhorn.ts";
import { hasParts, type SourceKind } from "../../shaders/source-kinds.ts";
import { type Key, streams } from "../random/philox.ts";

/** ε of each step: over the first half of them it falls from the mean cost to what is wanted, by equal factors. */
export function regularizations(meanCost: number, regularization: number, iterations: number): number[] {
  const half = Math.max(1, Math.floor(iterations / 2));
  return Array.from({ length: iterations }, (_, k) => meanCost * regularization ** Math.min(1, k / half));
}

/** What the pairs of a group are made of, and where they go. */
export interface GroupPlan {
  readonly velocity: { readonly dim: number; readonly context: number };
  readonly source: { readonly kind: SourceKind; readonly parts: number };
  readonly count: number;
  /** Rows of the data. */
  readonly rows: number;
  /** Whether each pass over the data has every row once. */
  readonly shuffled?: boolean;
  /** Number of the group's first pair. */
  readonly first: number;
  readonly key: Key;
  /** The mean of |x_1 − x_0|², contexts included, over independent pairs: the unit of `regularization`. */
  readonly meanCost: number;
  readonly regularization: number;
  readonly iterations: number;
  /** Place of the group's first pair in "pairs", and of its figures in "figures". */
  readonly pairsAt: number;
  readonly figuresAt: number;
  /** Whether the samples of the source lie in the order of the pairs, behind the rows of the data. */
  readonly placed?: boolean;
  /** Place of the factors of the context in "constants". */
  readonly factorsAt: number;
  readonly names: {
    readonly labels: string | undefined;
    readonly context: string | undefined;
    readonly draws: string | undefined;
  };
  readonly maxFlops: number;
}

/** Coordinates of a point. */
export const pointWidth = ({
  velocity,
  names,
}: Pick<GroupPlan, "velocity"> & { readonly names: Omit<GroupPlan["names"], "draws"> }): number =>
  velocity.dim + (names.context === undefined ? 0 : velocity.context) + (names.labels === undefined ? 0 : 1);

/** Buffers of a group while its pairs are made, besides those of a batch: "pairs" and "figures" are the caller's. */
export function groupBuffers(width: number, count: number): { name: string; bytes: number; data?: Float32Array }[] {
  return [
    { name: "plan.starts", bytes: width * count * 4 },
    { name: "plan.ends", bytes: width * count * 4 },
    { name: "plan.rows", bytes: count * 4 },
    { name: "plan.f", bytes: count * 4 },
    { name: "plan.g", bytes: count * 4 },
    { name: "plan.next", bytes: count * 4 },
    { name: "plan.zero", bytes: count * 4, data: new Float32Array(count) },
    { name: "plan.costs", bytes: 2 * count * 4 },
  ];
}

/** The pairs of a group by entropic optimal transport. */
export function planGroup(o: GroupPlan): Dispatch[] {
  const { velocity, count, rows, shuffled = false, placed = false, key, names } = o;
  const { dim } = velocity;
  const { kind: source, parts } = o.source;
  const has = {
    labels: names.labels !== undefined,
    context: names.context !== undefined,
    draws: names.draws !== undefined,
    shuffled,
  };
  const width = pointWidth(o);
  const slices = slicesOf(count, width, o.maxFlops);
  const steps = regularizations(o.meanCost, o.regularization, o.iterations);
  const half = (own: "starts" | "ends", from: string, to: string, epsilon: number) =>
    slices.map(({ from_row, workgroups, flops }) =>
      dispatchOf(sinkhornKernel({ width }), {
        params: { count, from_row, scale: Math.LOG2E / epsilon, log2_count: Math.log2(count) },
        buffers: {
          own: `plan.${own}`,
          other: own === "starts" ? "plan.ends" : "plan.starts",
          other_potential: from,
          potential: to,
        },
        workgroups,
        flops,
      }),
    );
  const last = o.meanCost * o.regularization;
  const scale = Math.LOG2E / last;
  return [
    dispatchOf(groupPointsKernel({ source, ...has, placed }), {
      params: {
        count,
        dim,
        rows,
        ...drawNumbers(o.first, key),
        ...choiceNumbers(has, o.first, rows),
        stream_index: streams.batchIndex,
        stream_source: streams.batchSource,
        parts: hasParts(source) ? parts : undefined,
        starts_at: placed ? o.pairsAt : undefined,
        context: velocity.context,
        factors: has.context ? o.factorsAt : undefined,
        class_scale: Math.sqrt(classDistance * o.meanCost),
      },
      buffers: {
        data: "data",
        constants: "constants",
        starts: "plan.starts",
        ends: "plan.ends",
        drawn: "plan.rows",
        labels: names.labels,
        context_rows: names.context,
        row_draws: names.draws,
      },
      workgroups: [Math.ceil(count / sinkhornWorkgroup)],
      flops: count * (60 * dim + 100),
    }),
    // rows come last, so that theirs are the marginals that are met
    ...steps.flatMap((epsilon, k) => [
      ...half("ends", k === 0 ? "plan.zero" : "plan.f", "plan.g", epsilon),
      ...half("starts", "plan.g", "plan.f", epsilon),
    ]),
    ...half("ends", "plan.f", "plan.next", last),
    ...slices.map(({ from_row, workgroups, flops }) =>
      dispatchOf(drawPairsKernel({ width, dim }), {
        params: { count, from_row, scale, at: o.pairsAt, ...drawNumbers(o.first, key), stream: streams.plan },
        buffers: {
          own: "plan.starts",
          other: "plan.ends",
          potential: "plan.f",
          other_potential: "plan.g",
          drawn: "plan.rows",
          pair_rows: "pairs",
          costs: "plan.costs",
        },
        workgroups,
        flops,
      }),
    ),
    dispatchOf(planFiguresKernel({}), {
      params: { count, at: o.figuresAt, scale },
      buffers: { costs: "plan.costs", potential: "plan.g", next_potential: "plan.next", figures: "figures" },
      workgroups: [1],
      flops: 10 * count,
    }),
  ];
}

/** Squared distance of two classes in mean costs: exp(−1e6) is 0 whatever ε is. */
const classDistance = 1e6;

/** Cuts the points of half a step, so that no dispatch has more than `most` operations. */
function slicesOf(count: number, width: number, most: number) {
  const flopsOf = (own: number) => own * count * (3 * width + 12);
  const size = Math.min(count, Math.max(1, Math.floor(most / flopsOf(pointsPerWorkgroup))) * pointsPerWorkgroup);
  return Array.from({ length: Math.ceil(count / size) }, (_, k) => {
    const own = Math.min(size, count - k * size);
    return { from_row: k * size, workgroups: [own / pointsPerWorkgroup] as [number], flops: flopsOf(own) };
  });
}
