import { item } from "../src/must.ts";
import type { Value } from "../src/network/program.ts";
import { type Cluster, type Place, placeOf, type Schedule } from "../src/network/stages.ts";
import { resultText } from "./row-functions.ts";

/** How a kernel that keeps the values of its particles to itself names them. A `Row` says which number of a value is meant. */
export interface Naming<Row> {
  /** Row 0. */
  readonly first: Row;
  /** Particle vectors of an invocation. */
  readonly groups: readonly number[];
  /** The sets that a value has: 0, or one for each tangent. */
  sets(batched: boolean): readonly number[];
  read(value: Value, row: Row, s: number, g: number): string;
  /** Whether a value is the same for all particles, and so read once. */
  isShared?(value: Value): boolean;
  /** A statement. */
  write(place: Place, row: Row, s: number, g: number, value: string): string;
}

/**
 * Statements that make the members of some clusters for one row, one cluster after the other, and store what is kept. `sums` names
 * the kernel's own sums. An activation whose value and slope are both wanted is computed once.
 */
export function clusterStatements<Row>(
  schedule: Schedule,
  clusters: readonly Cluster[],
  naming: Naming<Row>,
  o: {
    row: Row;
    tag: string;
    sums?: (value: Value, s: number, g: number) => string | undefined;
    /** Whether a number that is read gets a name, so that it is read once. */
    keeps?: boolean;
    /** Statements behind a cluster. */
    behind?: (cluster: number, nameOf: (value: Value, s: number, g: number) => string) => readonly string[];
  },
): { text: string; nameOf: (value: Value, s: number, g: number) => string } {
  const p = schedule.program;
  const text: string[] = [];
  const made = new Set<Value>();
  const calls = new Set<string>();
  const kept = new Set<string>();
  const nameOf = (value: Value, s: number, g: number): string => {
    const { batched, width } = p.at(value);
    const set = batched ? s : 0;
    const sum = o.sums?.(value, set, g);
    if (sum !== undefined) return sum;
    if (made.has(value)) return `m${value}_${set}_${g}${o.tag}`;
    const group = o.keeps && naming.isShared?.(value) ? item(naming.groups, 0) : g;
    const number = naming.read(value, width === 1 ? naming.first : o.row, set, group);
    if (!o.keeps) return number;
    const name = `r${value}_${set}_${group}${o.tag}`;
    if (!kept.has(name)) text.push(`let ${name} = ${number};`);
    kept.add(name);
    return name;
  };
  const steps = clusters.flatMap(({ members }) =>
    members.flatMap((member) => {
      const step = p.at(member);
      return step.kind === "map" ? [step] : [];
    }),
  );
  for (const [i, { members, stores }] of clusters.entries()) {
    for (const member of members) {
      if (made.has(member)) continue;
      const given = p.at(member);
      if (given.kind === "total") {
        for (const g of naming.groups) {
          const terms = naming.sets(true).map((s) => nameOf(given.of, s, g));
          text.push(`let m${member}_0_${g}${o.tag} = ${terms.join(" + ")};`);
        }
        made.add(member);
        continue;
      }
      const step = p.stepOf(member, "map");
      const [argument] = step.of;
      const highest = (activation: string) =>
        Math.max(
          ...steps.map(({ function: f, of }) =>
            f.name === "activate" && f.activation === activation && of[0] === argument ? f.order : 0,
          ),
        );
      for (const s of naming.sets(step.batched))
        for (const g of naming.groups) {
          const shared = (call: string, name: string) => {
            const unique = `${name.replaceAll(/\W+/g, "_")}_${argument}_${s}_${g}${o.tag}`;
            if (!calls.has(unique)) text.push(`let ${unique} = ${call};`);
            calls.add(unique);
            return unique;
          };
          const of = step.of.map((value) => nameOf(value, s, g));
          text.push(`let m${member}_${s}_${g}${o.tag} = ${resultText(step.function, of, shared, highest)};`);
        }
      made.add(member);
    }
    for (const value of stores) {
      const { batched, width } = p.at(value);
      const place = placeOf(schedule, value);
      for (const s of naming.sets(batched))
        for (const g of naming.groups)
          text.push(naming.write(place, width === 1 ? naming.first : o.row, s, g, nameOf(value, s, g)));
    }
    text.push(...(o.behind?.(i, nameOf) ?? []));
  }
  return { text: text.join("\n"), nameOf };
}
