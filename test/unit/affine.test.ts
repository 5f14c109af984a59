import fc from "fast-check";
import { expect, test } from "vitest";
import { mergeScales } from "../../src/network/affine.ts";
import { concatSquash } from "../../src/network/concat-squash.ts";
import { mlp } from "../../src/network/mlp.ts";
import { networkOf } from "../../src/network/of.ts";
import { argumentsOf, Program, reached, type Value } from "../../src/network/program.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import { splitNetwork } from "../../src/network/split.ts";

const isFixed = (program: Program) =>
  reached(program, (step) => step.kind === "input" && step.name.startsWith("x")).map((own) => !own);

/** The values of a program of sums, products and numbers, row by row. */
function evaluate(program: Program, inputs: Readonly<Record<string, number[]>>): number[][] {
  const made: number[][] = [];
  for (const step of program.steps) {
    if (step.kind === "input") {
      made.push(inputs[step.name] as number[]);
      continue;
    }
    if (step.kind !== "map") throw new Error(`a ${step.kind} is not among the programs of this test`);
    const [a, b] = step.of.map((value) => made[value] as number[]);
    const row = (values: number[] | undefined, i: number) => values?.[values.length === 1 ? 0 : i] as number;
    const f = step.function;
    made.push(
      Array.from({ length: step.width }, (_, i) => {
        if (f.name === "add") return row(a, i) + row(b, i);
        if (f.name === "multiply") return row(a, i) * row(b, i);
        if (f.name === "shift") return row(a, i) + f.by;
        throw new Error(`a ${f.name} is not among the programs of this test`);
      }),
    );
  }
  return made;
}

/** Functions of rows that a value takes for each particle. */
function stepsFor(program: Program, output: Value): number {
  const fixed = isFixed(program);
  const seen = new Set<Value>();
  const visit = (value: Value): void => {
    if (seen.has(value) || fixed[value]) return;
    seen.add(value);
    argumentsOf(program.at(value)).forEach(visit);
  };
  visit(output);
  return [...seen].filter((value) => program.at(value).kind === "map").length;
}

const given = { x0: [0.3, -1.1], x1: [0.7], t0: [1.3, -0.4], t1: [-0.6], t2: [0.9, 2.1] };

test("whatever is added and multiplied, merged scales give the same numbers", () => {
  let merges = 0;
  const choice = fc.record({
    name: fc.constantFrom("add", "multiply", "multiply by what is fixed", "add what is fixed"),
    a: fc.nat(),
    b: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(choice, { minLength: 1, maxLength: 9 }), (choices) => {
      const program = new Program();
      const inputs = Object.entries(given).map(([name, values]) => program.input(name, values.length));
      for (const { name, a, b } of choices) {
        const first = Math.max(0, program.steps.length - 1 - (a % 3));
        const second = name.endsWith("fixed") ? (inputs[2 + (b % 3)] as Value) : b % program.steps.length;
        program.map({ name: name.startsWith("add") ? "add" : "multiply" }, first, second);
      }
      const output = program.steps.length - 1;
      const merged = mergeScales(program, output, isFixed(program));
      if (!merged) return;
      merges++;
      const [all, others] = [evaluate(program, given), evaluate(merged.program, given)];
      const [wanted, got] = [all[output] as number[], others[merged.output] as number[]];
      // what cancels in one order may be larger in the other
      const largest = Math.max(1, ...[...all, ...others].flat().map(Math.abs));
      fc.pre(largest < 1e100);
      expect(got).toHaveLength(wanted.length);
      for (const [i, value] of wanted.entries())
        expect(Math.abs((got[i] as number) - value)).toBeLessThan(1e-12 * largest);
    }),
    { numRuns: 600 },
  );
  expect(merges).toBeGreaterThan(10);
});

test("a norm's weights and a modulation are one scale and one shift of a particle, which read one table of each", () => {
  const program = new Program();
  const [v, weight, bias, scale, shift] = ["x", "w", "b", "s", "m"].map((name) => program.input(name, 8)) as [
    Value,
    Value,
    Value,
    Value,
    Value,
  ];
  const n = program.add(program.multiply(v, weight), bias);
  const output = program.add(program.add(n, program.multiply(n, scale)), shift);
  const merged = mergeScales(program, output, isFixed(program));
  expect([stepsFor(program, output), merged && stepsFor(merged.program, merged.output)]).toEqual([5, 2]);
  // two of each block, and the two vectors of the last norm
  const { program: made, output: velocity } = networkOf(residualMlp({ dim: 2, width: 8, blocks: 3 }));
  expect(splitNetwork(made, velocity).table.rows).toBe(8 * (2 * 3 + 2));
});

test("networks without such chains keep their steps", () => {
  const fields = [mlp({ dim: 2, hidden: [8, 8], classes: 3, context: 1 }), concatSquash({ dim: 2, hidden: [8, 8] })];
  for (const { program, output } of fields.map(networkOf))
    expect(mergeScales(program, output, isFixed(program))).toBeUndefined();
});
