import { tangentOfX, withTangents } from "../src/network/derivatives.ts";
import type { Network } from "../src/network/network.ts";
import type { Program, RowFunction, Value } from "../src/network/program.ts";
import { schedule } from "../src/network/schedule.ts";
import { type SplitNetwork, splitNetwork, tablePlaces } from "../src/network/split.ts";
import { type Place, type Schedule, wholeBuffer } from "../src/network/stages.ts";
import { type BlockedMatrix, blockedPacking } from "./blocked-packing.ts";
import { classesText } from "./classes.ts";
import { InvocationNetwork } from "./invocation-network.ts";
import type { EvaluationText, Tangents } from "./narrow-mlp.ts";
import type { Packing } from "./packing.ts";
import { fractionText, inverseRoot, rowFunctions } from "./row-functions.ts";
import { type Tiling, vectorType } from "./tiling.ts";

const keys = new Map<string, string>();

/** A short name for a long text, the same for the same text: kernels are looked up by it at every plan. */
function shortKey(text: string): string {
  const key = keys.get(text) ?? `network ${keys.size}`;
  keys.set(text, key);
  return key;
}

/**
 * Any network as a kernel sees it that evaluates it as a whole. With one time for all particles (`atOneTime`) what depends on time and
 * class alone is read from a table; else everything is computed for each particle.
 */
export class FusedNetwork {
  readonly dim: number;
  readonly classes: number;
  readonly context: number;
  /** What is the same for all particles at one time and of one class. */
  readonly table: SplitNetwork["table"];
  /** Tells this network from others, in other processes, too. */
  readonly key: string;
  readonly #shortKey: string;
  readonly #atOneTime: { readonly program: Program; readonly output: Value };
  readonly #anyTime: { readonly program: Program; readonly output: Value };
  readonly #schedules = new Map<string, Schedule>();
  readonly #packings = new Map<number, Packing<BlockedMatrix>>();

  constructor({ dim, classes, context, program, output }: Network) {
    const split = splitNetwork(program, output);
    this.dim = dim;
    this.classes = classes;
    this.context = context;
    this.table = split.table;
    this.#atOneTime = split;
    this.#anyTime = { program, output };
    this.key = JSON.stringify([dim, classes, context, program.steps]);
    this.#shortKey = shortKey(this.key);
  }

  /** The steps at one time for all particles, or at a time of their own. */
  program(atOneTime: boolean): Program {
    return (atOneTime ? this.#atOneTime : this.#anyTime).program;
  }

  /** Whether the program at one time reads a table. */
  get hasTable(): boolean {
    return this.table.rows > 0;
  }

  /** What kernels are cached by. */
  toJSON(): string {
    return this.#shortKey;
  }

  /** Where the parameters are in the packed weights: matrices by their columns, then vectors. */
  packing(outputs: number): Packing<BlockedMatrix> {
    const known = this.#packings.get(outputs);
    if (known) return known;
    // of the tangents of [a, x, b], where a and b have none, the columns of x alone are multiplied
    const programs = [true, false].flatMap((atOneTime) => [
      this.program(atOneTime),
      this.scheduled(atOneTime, true).program,
    ]);
    const made = blockedPacking(programs, outputs);
    this.#packings.set(outputs, made);
    return made;
  }

  /** The steps of a program in the order of a kernel, with tangents or without. Kernels read all inputs of a product before they write. */
  scheduled(atOneTime: boolean, tangents: boolean): Schedule {
    const key = `${atOneTime} ${tangents}`;
    const known = this.#schedules.get(key);
    if (known) return known;
    const { program, output } = atOneTime ? this.#atOneTime : this.#anyTime;
    const inputs = new Map<string, Place>([
      ["x", wholeBuffer("x", this.dim)],
      [tangentOfX, wholeBuffer("dx", this.dim)],
      ["t", wholeBuffer("t", 1)],
      ["label", wholeBuffer("label", this.classes)],
      ["context", wholeBuffer("context", this.context)],
      ...tablePlaces(this.table, "table"),
    ]);
    const outputs = (value: Value, tangent?: Value) => [
      { value, place: wholeBuffer("u", this.dim) },
      ...(tangent === undefined ? [] : [{ value: tangent, place: wholeBuffer("jv", this.dim) }]),
    ];
    const made = tangents ? withTangents(program, output) : { program, output, tangent: undefined };
    const result = schedule(made.program, {
      inputs,
      outputs: outputs(made.output, made.tangent),
      bindings: Number.POSITIVE_INFINITY,
      prefix: "n",
      joins: true,
      inPlace: true,
    });
    this.#schedules.set(key, result);
    return result;
  }

  /** Module-scope text but for the bindings: functions of rows. */
  declarations(tiling: Tiling): string {
    const v = vectorType(tiling);
    const functions: RowFunction[] = [];
    for (const atOneTime of [true, false])
      for (const step of this.scheduled(atOneTime, true).program.steps)
        if (step.kind === "map") functions.push(step.function);
    const results = functions.map((f) => ({ function: f, of: [], batched: false }));
    return `${rowFunctions([{ results }], v)}
${inverseRoot(v)}
${fractionText(v)}`;
  }

  /** The evaluation of field.ts: as {@link text}, with the classes of the particles. */
  evaluation(
    {
      atOneTime,
      labels,
      guided = false,
    }: { readonly atOneTime: boolean; readonly labels: boolean; readonly guided?: boolean },
    tiling: Tiling,
    tangents: Tangents | undefined,
  ): EvaluationText {
    const text = this.text(tiling, tangents, atOneTime);
    return {
      before: labels || guided ? "" : "const branch = 0u;",
      evaluate: `${classesText(this.classes, labels, tiling)}\n${text}`,
      mixes: labels || guided,
    };
  }

  /**
   * Text that evaluates the network. In: y{g}_{i}, time{g}, v{s}_{g}_{i} (for given tangents); `pf_labels`, `pf_context`, `pf_table`
   * and pf_column, where the table's first column of this stage begins, where there are such. Out, declared by the caller: u{g}_{i}, jv{s}_{g}_{i}.
   */
  text(tiling: Tiling, tangents: Tangents | undefined, atOneTime: boolean): string {
    const scheduled = this.scheduled(atOneTime, tangents !== undefined);
    return new InvocationNetwork(this, this.packing(tiling.outputs), scheduled, tiling, tangents).text();
  }
}
