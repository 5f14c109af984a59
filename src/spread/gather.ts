import { PushforwardError } from "../errors.ts";
import { meanEvaluations } from "../flow/collect.ts";
import type { StepCounts, Trajectory } from "../flow/results.ts";
import { hostArray } from "../host-array.ts";
import type { Arrays } from "./parcel.ts";
import type { RangeFigures } from "./range-task.ts";

export type Solved = Trajectory & { x0?: Float32Array };

const names = ["x", "x0", "logProb", "standardError", "saved", "savedLogProb", "status"] as const;

/** The arrays of a result that go into a parcel. */
export function arraysOf(result: Solved): Arrays {
  return Object.fromEntries(names.flatMap((name) => (result[name] ? [[name, result[name]]] : [])));
}

/** The other figures of a result. */
export function figuresOf({ nfe, nonFinite, unfinished, steps, times }: Solved): RangeFigures {
  return {
    nfe,
    nonFinite,
    ...(unfinished !== undefined && { unfinished }),
    ...(steps && { steps }),
    ...(times && { times: Array.from(times) }),
  };
}

/** The result of a range again. */
export function solvedOf({ nfe, nonFinite, unfinished, steps, times }: RangeFigures, arrays: Arrays): Solved {
  if (nfe === undefined || nonFinite === undefined)
    throw new PushforwardError(
      "format",
      "a worker's result lacks its figures: run the same version of pushforward everywhere",
    );
  // `arraysOf` put them in under their own names
  const own = arrays as unknown as Pick<Solved, (typeof names)[number]>;
  return {
    ...own,
    ...(times && { times: Float64Array.from(times) }),
    nfe,
    nonFinite,
    ...(unfinished !== undefined && { unfinished }),
    ...(steps && { steps }),
  };
}

/** One result of `total` particles from those of its ranges, as a single call would have given it. */
export class Gathering {
  readonly #total: number;
  readonly #stages: number;
  readonly #all: Record<string, Arrays[string]> = {};
  readonly #steps: StepCounts = { accepted: 0, rejected: 0, most: 0 };
  #first: Solved | undefined;
  #nonFinite = 0;
  #unfinished = 0;

  constructor(total: number, stages: number) {
    this.#total = total;
    this.#stages = stages;
  }

  take(start: number, count: number, result: Solved): void {
    this.#first ??= result;
    this.#nonFinite += result.nonFinite;
    this.#unfinished += result.unfinished ?? 0;
    if (result.steps) {
      this.#steps.accepted += result.steps.accepted;
      this.#steps.rejected += result.steps.rejected;
      this.#steps.most = Math.max(this.#steps.most, result.steps.most);
    }
    const rows = result.times?.length ?? 1;
    for (const [name, part] of Object.entries(arraysOf(result))) {
      const isSaved = name === "saved" || name === "savedLogProb";
      const width = count === 0 ? 0 : part.length / count / (isSaved ? rows : 1);
      // biome-ignore lint/suspicious/noAssignInExpressions: made when the first range brings it
      const all = (this.#all[name] ??= hostArray(
        part.constructor as Float32ArrayConstructor,
        count === 0 ? 0 : (this.#total * part.length) / count,
        `${this.#total.toLocaleString("en-US")} particles`,
        "use the stream, which gives them in chunks, or calls of fewer particles",
      ));
      for (let k = 0; k < (isSaved ? rows : 1); k++) {
        const row = part.subarray(k * count * width, (k + 1) * count * width);
        all.set(row, (k * this.#total + start) * width);
      }
    }
  }

  result(): Solved {
    const first = this.#first;
    if (!first) throw new Error("a call has at least one range");
    const { times, nfe, steps } = first;
    const adaptive = steps && {
      nfe: meanEvaluations(this.#steps, this.#total, this.#stages),
      unfinished: this.#unfinished,
      steps: this.#steps,
    };
    return {
      ...(this.#all as unknown as Pick<Solved, (typeof names)[number]>),
      ...(times && { times }),
      nfe,
      nonFinite: this.#nonFinite,
      ...adaptive,
    };
  }
}
