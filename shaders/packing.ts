import type { Step } from "../src/network/program.ts";

/** A matrix (or some of its columns) in the weights that a kernel has packed. */
export interface PackedMatrix {
  readonly tensor: string;
  readonly from: number;
  readonly inputs: number;
  readonly width: number;
  readonly bias: string | undefined;
  /** Whether these are the columns of the transpose: outputs and inputs change places. */
  readonly transposed?: boolean;
  /** Which number from the beginning is the weight of an output and an input. */
  weightAt(output: number, input: number): number;
  /** Which one is the bias of an output, where there is one. */
  biasAt(output: number): number;
}

/** Where the parameters of a network are in the weights that a kernel reads. */
export interface Packing<M extends PackedMatrix> {
  readonly matrices: readonly M[];
  /** The first number of each vector. */
  readonly vectors: ReadonlyMap<string, { readonly at: number }>;
  /** Numbers in all. */
  readonly floats: number;
}

/** The matrix of a product: those of tangents leave the bias out, and read what the product of the values reads. */
export function packedFor<M extends PackedMatrix>(
  matrices: readonly M[],
  { tensor, from, to, bias, transposed }: Extract<Step, { kind: "linear" }>,
): M | undefined {
  return matrices.find(
    (m) =>
      m.tensor === tensor &&
      m.from === from &&
      (m.transposed ?? false) === transposed &&
      (transposed ? m.width : m.inputs) === to - from &&
      (bias === undefined || m.bias === bias),
  );
}
