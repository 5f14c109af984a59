import { describe, expect, test } from "vitest";
import { methods } from "../../cli/arguments.ts";
import { stageFloats, stageStruct } from "../../shaders/stage-row.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import { adaptiveStages, fixedSolvers } from "../../src/solvers/methods.ts";
import { adaptiveSolvers } from "../../src/solvers/pairs.ts";
import { schedule } from "../../src/solvers/schedule.ts";
import { stageRow } from "../../src/solvers/stage-row.ts";
import { checkTableau, mostStages, type Tableau } from "../../src/solvers/tableau.ts";
import { told } from "./refusals.ts";

/** A rooted tree: its root's subtrees. */
type Tree = readonly Tree[];

const size = (tree: Tree): number => tree.reduce((sum, child) => sum + size(child), 1);

/** γ(τ): the product of the sizes of all subtrees (Hairer, Nørsett & Wanner I, §II.2). */
const density = (tree: Tree): number => tree.reduce((product, child) => product * density(child), size(tree));

/** All rooted trees with `nodes` nodes, each once: subtrees come in descending order of their number in the list of all. */
function treesOf(nodes: number): Tree[] {
  const smaller = Array.from({ length: nodes - 1 }, (_, k) => treesOf(k + 1)).flat();
  const forests = (left: number, most: number): Tree[] =>
    left === 0
      ? [[]]
      : smaller
          .slice(0, most)
          .flatMap((tree, i) =>
            size(tree) > left ? [] : forests(left - size(tree), i + 1).map((rest) => [tree, ...rest]),
          );
  return forests(nodes - 1, smaller.length);
}

/** Σ_i w_i Φ_i(τ), where Φ_i multiplies Σ_j a_ij Φ_j over the subtrees of the root. */
function elementaryWeight({ a }: Pick<Tableau, "a">, weights: readonly number[], tree: Tree): number {
  const phi = (i: number, at: Tree): number =>
    at.reduce((product, child) => product * (a[i] ?? []).reduce((sum, value, j) => sum + value * phi(j, child), 0), 1);
  return weights.reduce((sum, weight, i) => sum + weight * phi(i, tree), 0);
}

/** How far a method is from the conditions of one order. */
const defect = (tableau: Pick<Tableau, "a">, weights: readonly number[], order: number): number =>
  Math.max(...treesOf(order).map((tree) => Math.abs(elementaryWeight(tableau, weights, tree) - 1 / density(tree))));

test("there are 1, 1, 2, 4, 9, 20 rooted trees of 1 to 6 nodes", () => {
  expect([1, 2, 3, 4, 5, 6].map((nodes) => treesOf(nodes).length)).toEqual([1, 1, 2, 4, 9, 20]);
});

const named = [...Object.entries(fixedSolvers), ...Object.entries(adaptiveSolvers)];

test("the command line offers every solver", () => {
  expect([...methods].sort()).toEqual(named.map(([name]) => name).sort());
});

test.each(named)("%s meets the conditions of its order and not of the next, and is a valid tableau", (name, solver) => {
  expect(solver.name).toBe(name);
  for (let order = 1; order <= solver.order; order++) expect(defect(solver, solver.b, order)).toBeLessThan(1e-13);
  expect(defect(solver, solver.b, solver.order + 1)).toBeGreaterThan(1e-4);
  const { a, b, c } = solver;
  expect(checkTableau(name, { a, b, c })).toEqual({ a, b, c });
});

test.each(Object.entries(adaptiveSolvers))(
  "%s ends in the first stage of the next step, and its error is that of a method of one order less",
  (name, { a, b, c, error, order }) => {
    expect(adaptiveStages[name as keyof typeof adaptiveStages]).toBe(b.length);
    expect(b).toEqual([...(a[b.length - 1] ?? []), 0]);
    expect(c[b.length - 1]).toBe(1);
    const embedded = b.map((weight, i) => weight - (error[i] ?? 0));
    for (let k = 1; k < order; k++) expect(defect({ a }, embedded, k)).toBeLessThan(1e-13);
    expect(defect({ a }, embedded, order)).toBeGreaterThan(1e-5);
  },
);

test("a schedule has a row for each stage, as the kernels declare it, and reads back", () => {
  for (const solver of Object.values(fixedSolvers)) {
    const stages = solver.b.length;
    expect(stageStruct(stages).match(/: f32/g)).toHaveLength(stageFloats(stages));
    const table = schedule({ tableau: solver, times: Float64Array.of(1, 0.75, 0) });
    expect(table).toHaveLength(2 * stages * stageFloats(stages));
    for (let i = 0; i < stages; i++) {
      const row = stageRow(table, stages, 1, i);
      expect(row.time).toBeCloseTo(0.75 * (1 - (solver.c[i] ?? 0)), 6);
      expect(row.weight).toBeCloseTo(-0.75 * (solver.b[i] ?? 0), 6);
      expect(row.a).toHaveLength(i);
      for (const [j, a] of row.a.entries()) expect(a).toBeCloseTo(-0.75 * (solver.a[i]?.[j] ?? 0), 6);
    }
  }
  expect([1, 2, 3, 4, 7, 8, 16].map(stageFloats)).toEqual([4, 4, 4, 8, 8, 12, 20]);
});

describe("a tableau of one's own", () => {
  const grid = (method: unknown) => timeGrid("push", { method, steps: 2 } as never, 0, 1);

  test("may be written as a square or as a triangle, and is a copy", () => {
    const method = { a: [[], [0.5]], b: [0, 1], c: [0, 0.5] };
    const square = { ...method, a: [Float64Array.of(0, 0), [0.5, 0]] };
    const own = grid(method);
    expect(own.tableau).toEqual(method);
    expect(grid(square)).toEqual(own);
    method.b[0] = 3;
    expect(own.tableau.b).toEqual([0, 1]);
    expect(schedule(own)).toEqual(schedule(timeGrid("push", { method: "midpoint", steps: 2 }, 0, 1)));
    const most = Array.from({ length: mostStages }, (_, i) => i);
    const long = {
      a: most.map((i) => most.slice(0, i).map(() => 1 / 16)),
      b: most.map(() => 1 / 16),
      c: most.map((i) => i / 16),
    };
    expect(grid(long).tableau.b).toHaveLength(mostStages);
  });

  test.each<[string, unknown, RegExp]>([
    [
      "a row on the diagonal",
      { a: [[], [0, 0.5]], b: [0, 1], c: [0, 0.5] },
      /method\.a\[1\]\[1\] is 0\.5, but the method must be explicit/,
    ],
    ["no list", { a: 3, b: [1], c: [0] }, /method\.a is 3, but it is a list: a tableau is an object such as/],
    [
      "a row that is too short",
      { a: [[], [0.5], [0.5]], b: [0, 0, 1], c: [0, 0.5, 0.5] },
      /method\.a\[2\] has 1 entries, but it has 2, one for each stage before, or 3/,
    ],
    [
      "too few rows",
      { a: [[0.5]], b: [0, 1], c: [0, 0.5] },
      /method\.a has 1 rows, but b has 2 weights.*that of the first is \[\]/,
    ],
    [
      "nodes that are not the sums",
      { a: [[], [0.5]], b: [0, 1], c: [0, 0.6] },
      /method\.c\[1\] is 0\.6, but the entries of a\[1\] add up to 0\.5/,
    ],
    ["too few nodes", { a: [[], [0.5]], b: [0, 1], c: [0] }, /method\.c has 1 nodes, but b has 2 weights/],
    [
      "weights that are no mean",
      { a: [[], [0.5]], b: [0.5, 0.4], c: [0, 0.5] },
      /method\.b adds up to 0\.9, but the weights of a step add up to 1/,
    ],
    [
      "a NaN",
      { a: [[], [Number.NaN]], b: [0, 1], c: [0, 0.5] },
      /method\.a\[1\]\[0\] is NaN, but it is a finite number/,
    ],
    [
      "a text",
      { a: [[], ["0.5"]], b: [0, 1], c: [0, 0.5] },
      /method\.a\[1\]\[0\] is "0\.5", but it is a finite number/,
    ],
    ["no weights", { a: [], b: [], c: [] }, /method\.b has 0 weights, but a tableau has from 1 to 16 stages/],
    ["nothing", {}, /method\.b is undefined, but it is a list/],
    ["a mistyped key", { A: [], b: [1], c: [0] }, /method has no option "A": did you mean "a"\?/],
    ["a list", [[1]], /method is an array of 1, but it is a name such as "midpoint" or a tableau such as/],
  ])("with %s is refused in words", (_, method, words) => {
    expect(told(() => grid(method))).toMatch(words);
  });

  test("needs steps, as a name does", () => {
    const method = { a: [[]], b: [1], c: [0] };
    expect(told(() => timeGrid("push", { method } as never, 0, 1))).toMatch(
      /solver has neither steps nor times: pass for example \{ method: \{ a, b, c \}, steps: 50 \}/,
    );
    expect(told(() => grid("rk45"))).toMatch(/solver\.method is "rk45", but it is one of .*"rk4-3\/8"/);
  });
});
