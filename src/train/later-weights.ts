import { currently } from "../../shaders/interface.ts";
import type { Dispatch } from "../gpu/kernel.ts";
import { item } from "../must.ts";
import { networkOf } from "../network/of.ts";
import { stageRow } from "../solvers/stage-row.ts";
import { inputRows } from "../velocity/run.ts";
import type { Batch, KeptPasses, LaterWeights } from "./backward.ts";
import {
  isDiscrete,
  type LikelihoodWork,
  likelihoodTangents,
  matrix,
  rowsOf,
  tangentTotal,
} from "./likelihood-work.ts";

/**
 * Bytes up to which the values of passes are kept, so that the last steps are not solved again for their gradients, and those by the
 * weights are found together.
 */
const mostKept = 128 << 20;

/** Passes whose gradients by the weights are found together. */
interface Group {
  /** Of the parts of their buffers, those of passes with tangents come first, then those without. */
  readonly tangents: number;
  readonly none: number;
  readonly begin: boolean;
}

/** How gradients by the weights are put off: the part of each pass, in their order, and the groups that end with some of them. */
export interface Later {
  readonly weights: LaterWeights;
  /** Bytes of a pass's part of each buffer, and of how many passes a buffer has parts at most. */
  readonly parts: ReadonlyMap<string, number>;
  readonly most: number;
  /** The passes as they follow each other. */
  readonly passes: readonly { readonly part: number; readonly ends: Group | undefined }[];
  /** The first of the steps whose passes are all of the first group: the forward solve fills what these read, and nothing is found twice. */
  readonly keptFrom: number;
}

/** Undefined where they are found pass by pass: neither penalties nor further groups of tangents are put off. */
export function laterOf(work: LikelihoodWork, capacity: number): Later | undefined {
  const { velocity, backward, grid, integration, regularization, isSum } = work;
  const { later } = backward;
  const total = tangentTotal(work);
  if (!later || isSum || regularization || (!isDiscrete(work) && total > backward.mostTangents)) return undefined;
  const parts = new Map(
    [
      ...later.buffers(capacity, likelihoodTangents(work)),
      { name: "h0", bytes: 4 * inputRows(networkOf(velocity)) * capacity },
      { name: "kappa", bytes: 4 * rowsOf(work) * capacity },
      ...(isDiscrete(work) ? [{ name: matrix, bytes: 4 * velocity.dim ** 2 * capacity }] : []),
    ].map(({ name, bytes }) => [name, bytes]),
  );
  const bytes = [...parts.values()].reduce((sum, part) => sum + part, 0);
  const { stages, schedule, isLive } = integration;
  const steps = grid.times.length - 1;
  const count = steps * stages;
  const fitting = Math.min(count, Math.floor(mostKept / bytes));
  if (fitting < 2) return undefined;
  const most = Math.ceil(count / Math.ceil(count / fitting));
  const hasTangents = Array.from({ length: count }, (_, n) => {
    const step = steps - 1 - Math.floor(n / stages);
    const { weight } = stageRow(schedule, stages, step, stages - 1 - (n % stages), isLive);
    return isDiscrete(work) || (total > 0 && currently(weight) !== 0);
  });
  const passes = hasTangents.map((has, n) => {
    const begin = n - (n % most);
    const group = hasTangents.slice(begin, begin + most);
    const tangents = group.filter(Boolean).length;
    const before = group.slice(0, n - begin).filter((other) => other === has).length;
    const isLast = n === begin + group.length - 1;
    return {
      part: has ? before : tangents + before,
      ends: isLast ? { tangents, none: group.length - tangents, begin: begin === 0 } : undefined,
    };
  });
  return { weights: later, parts, most, passes, keptFrom: steps - Math.floor(most / stages) };
}

/** What is put off of the pass of a step's stage. */
export function laterPass(
  { grid, integration: { stages } }: LikelihoodWork,
  { passes }: Later,
  step: number,
  i: number,
) {
  return item(passes, (grid.times.length - 2 - step) * stages + stages - 1 - i);
}

/** The gradients by the weights of a group of passes. */
export function planLaterWeights(
  work: LikelihoodWork,
  batch: Batch,
  { weights, parts }: Later,
  group: Group,
): Dispatch[] {
  const { tangents, none, begin } = group;
  const { count } = likelihoodTangents(work);
  const of = (passes: number, first: number, with_: KeptPasses["tangents"], begins: boolean) =>
    passes > 0
      ? weights.weights(batch, { cotangent: "kappa", tangents: with_, begin: begins, first, passes, parts })
      : [];
  return [
    ...of(tangents, 0, isDiscrete(work) ? { count, matrix } : { count }, begin),
    ...of(none, tangents, { count: 0 }, begin && tangents === 0),
  ];
}
