import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import { item } from "../must.ts";
import { checked, later, type Schema } from "../options/schema.ts";
import { checkSingle, show, singles } from "../options.ts";

/**
 * Butcher tableau of an explicit Runge–Kutta method of any number of stages: k_i = u(t + c_i h, x + h Σ_j a_ij k_j),
 * x⁺ = x + h Σ_i b_i k_i (Hairer, Nørsett & Wanner I, §II.1). Row i of `a` holds the i entries before the diagonal; the zeros from
 * the diagonal on may be written, too.
 */
export interface Tableau {
  readonly a: readonly (readonly number[])[];
  readonly b: readonly number[];
  readonly c: readonly number[];
}

/** A solver of the library for steps that are given. */
export interface FixedSolver extends Tableau {
  readonly name: string;
  readonly order: number;
}

/**
 * A solver of the library that finds its steps: a pair of methods on the same stages. The last stage is the velocity at x⁺, so the
 * last row of `a` is `b` without its last weight, 0, and an accepted step hands that stage to the next one.
 */
export interface AdaptiveSolver extends FixedSolver {
  /** b − b̂: h Σ error_i k_i is the difference of the two methods, which is held to the tolerance. */
  readonly error: readonly number[];
}

/** The most stages that a tableau may have. */
export const mostStages = 16;

/** How far sums over a tableau may be from what they have to be: decimals of ten digits are good enough. */
const closeness = 1e-9;

const example = "{ a: [[], [1]], b: [1 / 2, 1 / 2], c: [0, 1] }";

const fields = {
  a: { check: later<Tableau["a"]>, required: true },
  b: { check: numbers, required: true },
  c: { check: numbers, required: true },
} satisfies Schema<Tableau>;

/** Checks a tableau of the caller's and copies it. */
export function checkTableau(what: string, given: object): Tableau {
  if (Array.isArray(given))
    throw invalid(`${what} is ${show(given)}, but it is a name such as "midpoint" or a tableau such as ${example}`);
  const { a, b: weights, c: nodes } = checked(what, fields, given as Tableau, `${what}.`);
  const stages = weights.length;
  if (stages < 1 || stages > mostStages)
    throw invalid(`${what}.b has ${stages} weights, but a tableau has from 1 to ${mostStages} stages`);
  if (nodes.length !== stages)
    throw invalid(`${what}.c has ${nodes.length} nodes, but b has ${stages} weights: each stage has one of both`);
  const ownRows = list(`${what}.a`, a);
  if (ownRows.length !== stages)
    throw invalid(
      `${what}.a has ${ownRows.length} rows, but b has ${stages} weights: each stage has a row, and that of the first is []`,
    );
  const rows = ownRows.map((row, i) => explicitRow(`${what}.a[${i}]`, row, i, stages));
  for (const [i, row] of rows.entries()) {
    const node = item(nodes, i);
    const total = sum(row);
    if (!(Math.abs(node - total) <= closeness))
      throw invalid(
        `${what}.c[${i}] is ${node}, but the entries of a[${i}] add up to ${total}: a stage's node is the sum of its row, so one of the two is mistyped`,
      );
  }
  const total = sum(weights);
  if (!(Math.abs(total - 1) <= closeness))
    throw invalid(
      `${what}.b adds up to ${total}, but the weights of a step add up to 1: check them for a missing sign`,
    );
  return { a: rows, b: weights, c: nodes };
}

/** Row `i` without the zeros from the diagonal on. */
function explicitRow(what: string, given: unknown, i: number, stages: number): number[] {
  const row = numbers(what, given);
  const beyond = row.findIndex((value, j) => j >= i && value !== 0);
  if (beyond >= 0)
    throw invalid(
      `${what}[${beyond}] is ${row[beyond]}, but the method must be explicit, so a stage knows only those before it: pass an a that is zero from the diagonal on`,
    );
  if (row.length !== i && row.length !== stages)
    throw invalid(
      `${what} has ${row.length} entries, but it has ${i}, one for each stage before, or ${stages} with zeros behind them`,
    );
  return row.slice(0, i);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

function list(what: string, given: unknown): unknown[] {
  const values = readable(what, given);
  if (Array.isArray(values) || ArrayBuffer.isView(values)) return Array.from(values as ArrayLike<unknown>);
  throw invalid(`${what} is ${show(given)}, but it is a list: a tableau is an object such as ${example}`);
}

function numbers(what: string, given: unknown): number[] {
  return list(what, given).map((value, i) => checkSingle(`${what}[${i}]`, value, -Infinity, Infinity, singles));
}
