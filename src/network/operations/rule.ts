import type { Program, Value } from "../program.ts";

/** One operation of a network, as it stands in a file: its kind, the operations whose results it takes, and its own settings. */
export interface Operation {
  readonly op: string;
  readonly of: readonly number[];
}

/** How a parameter begins: drawn with a standard deviation, or within ±bound, or all alike, or as rows of given frequencies. */
export type Initial =
  | { readonly deviation: number }
  | { readonly bound: number }
  | { readonly value: number }
  | {
      readonly frequencies: readonly [low: number, high: number];
      /** The columns from `start` to before `end` of rows of `inputs` have these; the others are normal with variance 2/inputs. */
      readonly of: readonly [start: number, end: number];
      readonly shape: readonly [outputs: number, inputs: number];
    };

/** A parameter of an operation under PyTorch's name: a matrix [out, in] or a vector. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly initial: Initial;
}

/** Something of each argument of an operation, the first one first. Operations that take none do not look. */
export type OfEach<T> = readonly [first: T, ...others: T[]];

/** What `of` says of each argument; how many an operation takes has been checked, or is known of a network that was. */
export const ofEach = <A, T>(given: readonly A[], of: (argument: A) => T): OfEach<T> =>
  given.map(of) as unknown as OfEach<T>;

/** What an operation knows of its surroundings. */
export interface Place {
  /** Rows of its arguments. */
  readonly widths: OfEach<number>;
  /** Rows of the network's inputs. */
  readonly inputs: Readonly<Record<string, number>>;
  /** Whether its result is the network's. */
  readonly isOutput: boolean;
  /** The activations that its result goes through. */
  readonly activations: readonly string[];
}

/**
 * What there is to know of one operation. Tangents, adjoints, adjoints of tangents and the work of it follow from the steps that
 * {@link OperationRule.write} writes: see src/network/derivatives.ts.
 */
export interface OperationRule<Own extends Operation = Operation> {
  readonly op: Own["op"];
  /** How many nodes it takes; one where this is left out. */
  readonly takes?: "none" | "several";
  /** Its settings besides `op` and `of`. */
  readonly settings: readonly string[];
  /**
   * Checks the settings and gives the rows of the result.
   *
   * @throws PushforwardError `invalid-argument` in words that begin with `what`.
   */
  width(what: string, own: Own, place: Place): number;
  parameters?(own: Own, place: Place): readonly ParameterSpec[];
  write(p: Program, own: Own, of: OfEach<Value>, width: number): Value;
}

/** Fixes the type of a rule. */
export function rule<Own extends Operation>(made: OperationRule<Own>): OperationRule {
  return made as unknown as OperationRule;
}
