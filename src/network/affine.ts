import { item, must } from "../must.ts";
import { copyStep } from "./derivatives.ts";
import { argumentsOf, Program, type Result, type Value } from "./program.ts";

/** A value as by ⊙ base + plus, of a value of the program that is read and of fixed ones of the program that is written. */
interface Affine {
  readonly base: Value;
  /** 1 where it is left out. */
  readonly by?: Value | undefined;
  /** 0 where it is left out. */
  readonly plus?: Value | undefined;
  /** How many functions of rows make it of the base. */
  readonly steps: number;
}

/**
 * The same function in fewer steps for each particle: a value that is scaled and shifted several times by what is fixed, as by the weights of
 * a norm and the modulation behind it, is scaled once and shifted once. What the two are made of comes first. Undefined where the program
 * has nothing of the kind. `isFixed` says of each value whether it is the same for all particles.
 */
export function mergeScales(
  from: Program,
  output: Value,
  isFixed: readonly boolean[],
): { readonly program: Program; readonly output: Value } | undefined {
  const program = new Program();
  const moved = new Map<Value, Value>();
  const there = (value: Value) => must(moved.get(value), `step ${value} of what is merged`);
  const forms = from.steps.map((_, i): Affine => ({ base: i, steps: 0 }));

  /** Sums and products with what is fixed, and sums of what has one base. */
  const merged = (step: Result): Affine | undefined => {
    if (step.kind !== "map") return undefined;
    const { name } = step.function;
    if (name !== "add" && name !== "multiply") return undefined;
    const [a, b] = step.of.filter((value) => !isFixed[value]).map((value) => item(forms, value));
    if (!a || from.width(a.base) !== step.width) return undefined;
    const [fixed] = step.of.filter((value) => isFixed[value]).map(there);
    const times = (factor: Value | undefined) =>
      factor === undefined ? fixed : program.multiply(factor, fixed as Value);
    const sum = (one: Value | undefined, other: Value | undefined) => {
      if (one === undefined) return other;
      return other === undefined ? one : program.add(one, other);
    };
    if (fixed !== undefined) {
      if (name === "add") return { ...a, plus: sum(a.plus, fixed), steps: a.steps + 1 };
      return {
        base: a.base,
        by: times(a.by),
        plus: a.plus === undefined ? undefined : times(a.plus),
        steps: a.steps + 1,
      };
    }
    if (name !== "add" || a.base !== b?.base) return undefined;
    const factors = [a.by, b.by].filter((factor) => factor !== undefined);
    if (factors.length === 0) return undefined;
    const [first, second] = factors as [Value, Value?];
    const by = second === undefined ? program.map({ name: "shift", by: 1 }, first) : program.add(first, second);
    return { base: a.base, by, plus: sum(a.plus, b.plus), steps: Math.max(a.steps, b.steps) + 1 };
  };
  for (const [i, step] of from.steps.entries())
    if (isFixed[i]) moved.set(i, copyStep(program, step, there));
    else forms[i] = merged(step) ?? item(forms, i);

  const isShorter = ({ by, plus, steps }: Affine) => steps > [by, plus].filter((part) => part !== undefined).length;
  const needed = new Set<Value>();
  const need = (value: Value): void => {
    if (isFixed[value] || needed.has(value)) return;
    needed.add(value);
    const form = item(forms, value);
    for (const argument of isShorter(form) ? [form.base] : argumentsOf(from.at(value))) need(argument);
  };
  need(output);
  const order = [...needed].sort((a, b) => a - b);
  if (!order.some((value) => isShorter(item(forms, value)))) return undefined;
  for (const value of order) {
    const form = item(forms, value);
    if (!isShorter(form)) {
      moved.set(value, copyStep(program, from.at(value), there));
      continue;
    }
    const scaled = form.by === undefined ? there(form.base) : program.multiply(there(form.base), form.by);
    moved.set(value, form.plus === undefined ? scaled : program.add(scaled, form.plus));
  }
  return { program, output: there(output) };
}
