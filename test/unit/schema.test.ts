import { expect, test } from "vitest";
import { invalid } from "../../src/errors.ts";
import { logProbFields, pushFields, sampleFields } from "../../src/flow/fields.ts";
import { partOf, without } from "../../src/options/part.ts";
import {
  checked,
  finite,
  flag,
  functionThat,
  integer,
  later,
  type Schema,
  single,
  word,
} from "../../src/options/schema.ts";
import { fieldsOf } from "../../src/spread/call.ts";
import { optionsOfCall, optionsOfRange } from "../../src/spread/travelling.ts";
import { flowMatchingFields, likelihoodFields } from "../../src/train/fields.ts";

interface Tea {
  cups: number;
  sort?: "green" | "black";
  sugar?: number;
  stir?: () => void;
}

const tea = {
  cups: { check: integer(1, 8), required: true },
  sort: { check: word("green", "black"), fallback: "green" },
  sugar: { check: finite(0) },
  stir: { check: functionThat<() => void>("that stirs") },
} satisfies Schema<Tea>;

const make = (given: Tea, prefix?: string) => checked("tea", tea, given, prefix);
const loose = (value: unknown) => value as Tea;
const told = (given: unknown) => {
  try {
    make(loose(given));
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("the options were expected to be refused");
};

test("options that are right come back with the fallbacks, and without what is not set", () => {
  expect(make({ cups: 2 })).toEqual({ cups: 2, sort: "green" });
  const all = { cups: 1, sort: "black", sugar: 0, stir: () => undefined } as const;
  expect(make(all)).toEqual(all);
  const unset = make(loose({ cups: 2, sort: undefined, sugar: undefined }));
  expect(Object.keys(unset)).toEqual(["cups", "sort"]);
});

test("what an option holds has the types of its checks", () => {
  const own = make({ cups: 2 });
  const sort: "green" | "black" = own.sort;
  const sugar: number | undefined = own.sugar;
  // @ts-expect-error it has no fallback
  const certain: number = own.sugar;
  expect([sort, sugar, certain]).toEqual(["green", undefined, undefined]);
});

test("a schema that does not fit its interface does not compile", () => {
  // @ts-expect-error an option is missing
  const short = without(tea, "sugar") satisfies Schema<Tea>;
  // @ts-expect-error what must be given is not said to be required
  const lax = { ...tea, cups: { check: integer(1) } } satisfies Schema<Tea>;
  // @ts-expect-error the interface has no such word
  const wrong = { ...tea, sort: { check: word("red") } } satisfies Schema<Tea>;
  // @ts-expect-error the interface has no such option
  expect(checked("tea", { ...tea, milk: { check: flag() } }, { cups: 1 } as Tea)).toEqual({ cups: 1, sort: "green" });
  expect([short, lax, wrong]).toHaveLength(3);
});

test("what is wrong is told in words: no options, unknown ones, values that do not fit", () => {
  expect(told(null)).toBe("tea takes an options object, but got null");
  expect(told([1])).toBe("tea takes an options object, but got [1]");
  expect(told({ cups: 1, sugr: 2 })).toBe(
    'tea has no option "sugr": did you mean "sugar"? Known: cups, sort, sugar, stir.',
  );
  // a short word is not taken for another one
  expect(told({ cups: 1, oil: 2 })).toBe('tea has no option "oil". Known: cups, sort, sugar, stir.');
  expect(told({ cups: 1, box: 2 })).toBe('tea has no option "box". Known: cups, sort, sugar, stir.');
  expect(told({ cups: 3n })).toBe("tea: cups is 3n, but it is an integer from 1 to 8");
  expect(told({ cups: new ArrayBuffer(8) })).toBe("tea: cups is an ArrayBuffer, but it is an integer from 1 to 8");
  expect(told({ cups: Promise.resolve(3) })).toBe("tea: cups is a Promise, but it is an integer from 1 to 8");
  expect(told({})).toBe("tea: cups is undefined, but it is an integer from 1 to 8");
  expect(told({ cups: 1, sort: "gren" })).toMatch(/^tea: sort is "gren", but .*: did you mean "green"\?$/);
  expect(told({ cups: 1, sugar: null })).toBe("tea: sugar is null, but it is a finite number of at least 0");
  expect(told({ cups: 1, stir: 3 })).toBe("tea: stir is 3, but it is a function that stirs");
  expect(() => make({ cups: 9 }, "the tea's ")).toThrow("the tea's cups is 9, but");
  expect(() => flag(": yes or no")("tea: hot", 1)).toThrow("tea: hot is 1, but it is true or false: yes or no");
  expect(() => single(0, Infinity, "use a spoon")("tea: salt", 1e-60)).toThrow("where it is 0: use a spoon");
});

test("an option is read once, and what its getter or its check throws is passed on", () => {
  let reads = 0;
  const given = {
    get cups() {
      reads++;
      return 3;
    },
  };
  expect(make(given).cups).toBe(3);
  expect(reads).toBe(1);
  const never = {
    cups: {
      check: (): number => {
        throw invalid("no tea today");
      },
      required: true,
    },
  } satisfies Schema<{ cups: number }>;
  expect(() => checked("tea", never, { cups: 1 })).toThrow("no tea today");
});

test("a part of checked options is what another schema has of them", () => {
  const { cups, sort } = tea;
  expect(partOf({ cups, sort }, make({ cups: 2, sugar: 1 }))).toEqual({ cups: 2, sort: "green" });
  expect(Object.keys(without(tea, "sort", "stir"))).toEqual(["cups", "sugar"]);
  expect(later<number>("anything", 3)).toBe(3);
});

test("what travels with a call is JSON, and a range has its arrays back in their places", () => {
  const vectors = Float32Array.of(1, 2, 3);
  const options = {
    seed: 7,
    saveAt: Float64Array.of(0, 1),
    labels: Uint32Array.of(1),
    divergence: { probe: "gaussian", probes: 1, vectors },
    signal: new AbortController().signal,
    onProgress: () => undefined,
    output: "float64",
  };
  const plain = optionsOfCall(sampleFields, options);
  expect(plain).toEqual({ seed: 7, saveAt: [0, 1], divergence: { probe: "gaussian", probes: 1 }, output: "float64" });
  expect(JSON.parse(JSON.stringify(plain))).toEqual(plain);
  const arrays = { labels: Uint32Array.of(2), vectors: Float32Array.of(3) };
  expect(optionsOfRange(sampleFields, plain, arrays)).toEqual({
    ...plain,
    labels: arrays.labels,
    divergence: { probe: "gaussian", probes: 1, vectors: arrays.vectors },
  });
  expect(optionsOfRange(sampleFields, { divergence: "exact" }, {})).toEqual({ divergence: "exact" });
});

test("the arrays of the calls that workers share are those that ranges are given", () => {
  const names = (fields: object): string[] =>
    Object.entries(fields).flatMap(([name, { travels, parts }]) => [
      ...(travels === "particles" ? [name] : []),
      ...names(parts ?? {}),
    ]);
  // see rowsOf in call.ts, which cuts them
  for (const fields of Object.values(fieldsOf)) expect(names(fields).sort()).toEqual(["context", "labels", "vectors"]);
  expect(names(pushFields).sort()).toEqual(["context", "labels", "logProb", "vectors"]);
});

test("what runs a call stays with its caller, and chunks are for the workers to choose", () => {
  const ways = (fields: Readonly<Record<string, { travels: string }>>, way: string) =>
    Object.keys(fields).filter((name) => fields[name]?.travels === way);
  expect(ways(logProbFields, "stays")).toEqual(["signal", "onProgress"]);
  expect(ways(logProbFields, "refused")).toEqual(["chunkSize", "output", "count"]);
});

test("what decides nothing of a training's bits is the same for both kinds of training", () => {
  const free = (fields: Readonly<Record<string, { decides: boolean | string }>>) =>
    Object.keys(fields).filter((name) => fields[name]?.decides === false);
  const none = "steps learningRate logEvery signal checkpoint resume onProgress".split(" ");
  expect(free(flowMatchingFields)).toEqual(none);
  expect(free(likelihoodFields)).toEqual(none);
});
