import { item, must } from "../src/must.ts";

/** Names that begin with what they are and have the number of a value behind it: two stages that do the same differ by these numbers. */
const ofValue = /\b(a|b|bias|h|m|r|z)(\d+)(?=_)/g;

/**
 * Numbers that stages may differ by: which of the weights' members of one type, and others. A whole index that is less than four is one of
 * the rows that lie together, which compilers must know.
 */
const number = /(?<=\bpf_weights\.k\d+\[)\d+u\b|(?<![\w.[])\d+u\b|(?<=\[)(?![0-3]u\])\d+u\b/g;

/** Stages of one text, with the numbers of each. */
interface Kind {
  readonly parts: readonly string[];
  readonly of: { readonly stage: number; readonly numbers: readonly number[] }[];
}

/** The text of a stage whatever numbers its values have. */
function renamed(text: string): string {
  const numbers = new Map<string, number>();
  return text.replace(ofValue, (_, what: string, value: string) => {
    const own = numbers.get(value) ?? numbers.size;
    numbers.set(value, own);
    return `${what}${own}`;
  });
}

/**
 * Stages that follow each other as a loop over a table, so that the text of those that differ by numbers alone is there once: `table` has
 * the kind of each stage and the numbers that its kind's stages differ by. Stages of which no two are of a kind stay as they are. In scope:
 * pf_params.zero.
 */
export function stageTable(
  stages: readonly string[],
  table: string,
): { readonly kinds: number; readonly declaration: string; readonly text: string } {
  const kinds = new Map<string, Kind>();
  for (const [stage, given] of stages.entries()) {
    const text = renamed(given);
    const numbers = [...text.matchAll(number)].map(([found]) => Number.parseInt(found, 10));
    const key = text.replace(number, "#");
    const kind = kinds.get(key) ?? { parts: key.split("#"), of: [] };
    kind.of.push({ stage, numbers });
    kinds.set(key, kind);
  }
  if (kinds.size === stages.length) return { kinds: kinds.size, declaration: "", text: stages.join("\n") };
  const rows = new Map<number, readonly number[]>();
  const cases = [...kinds.values()].map(({ parts, of }, kind) => {
    // numbers that grow alike from stage to stage have one place in the table
    const places = new Map<string, number>();
    const own = of.map((): number[] => [kind]);
    const [first] = of as [Kind["of"][number]];
    const texts = first.numbers.map((_, i) => {
      const all = of.map(({ numbers }) => item(numbers, i));
      const least = Math.min(...all);
      const more = all.map((each) => each - least);
      if (more.every((each) => each === 0)) return `${least}u`;
      const key = more.join();
      const place = places.get(key) ?? places.size + 1;
      if (!places.has(key)) for (const [n, each] of more.entries()) must(own[n], "a row of the table").push(each);
      places.set(key, place);
      return `(${least}u + by${place})`;
    });
    for (const [n, { stage }] of of.entries()) rows.set(stage, item(own, n));
    const given = [...places.values()].map((place) => `let by${place} = ${table}[at + ${place}u];`);
    const body = parts.flatMap((part, i) => [part, ...texts.slice(i, i + 1)]).join("");
    return `case ${kind}u: {
${given.join("\n")}
${body}
at += ${places.size + 1}u;
}`;
  });
  const numbers = stages.flatMap((_, stage) => must(rows.get(stage), "the row of a stage"));
  return {
    kinds: kinds.size,
    declaration: `const ${table} = array<u32, ${numbers.length}>(${numbers.map((each) => `${each}u`).join(", ")});`,
    // the bound is a number that no compiler knows, so that none unrolls the loop
    text: `for (var at = 0u; at < ${numbers.length}u + pf_params.zero;) {
switch ${table}[at] {
${cases.join("\n")}
default: {}
}
}`,
  };
}
