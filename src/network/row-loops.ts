import { item } from "../must.ts";
import { argumentsOf, type Value } from "./program.ts";
import { type Cluster, grouped, type Place, type Schedule, type Stage } from "./stages.ts";

type Product = Extract<Stage, { kind: "linear" }>;
type RowStage = Extract<Stage, { kind: "rows" | "sums" }>;

/** Stages that go through the same rows in one loop: a product and that of its tangents, if any, then what is made of rows and summed over them. */
export interface RowLoop {
  readonly kind: "loop";
  readonly products: readonly Product[];
  readonly rows: readonly RowStage[];
  readonly count: number;
}

/** What a kernel that keeps the values of its particles to itself does, one after the other. */
export type Unit = RowLoop | Exclude<Stage, Product | RowStage>;

/** What a loop makes in each row, one cluster after the other. */
export const clustersOf = ({ products, rows }: RowLoop): readonly Cluster[] => [
  ...products.map(({ cluster }) => cluster),
  ...rows.map((stage) => (stage.kind === "sums" ? { members: stage.inner, stores: [] } : stage.cluster)),
];

/** The stages of a schedule, as few loops as may be: one goes on with the next stage where that waits for no sum and for no other row. */
export function rowLoops(made: Schedule): Unit[] {
  const units: Unit[] = [];
  for (const group of grouped(made)) {
    const first = item(group, 0);
    const last = units.at(-1);
    if (first.kind === "linear") {
      const count = made.program.width(first.value);
      units.push({ kind: "loop", products: group as Product[], rows: [], count });
    } else if (first.kind === "rows" || first.kind === "sums") {
      const count = first.kind === "rows" ? first.width : made.program.width(summed(made, item(first.sums, 0)));
      if (last?.kind === "loop" && last.count === count && goesOn(made, last, first))
        units[units.length - 1] = { ...last, rows: [...last.rows, first] };
      else units.push({ kind: "loop", products: [], rows: [first], count });
    } else units.push(first);
  }
  return units;
}

const summed = ({ program }: Schedule, sum: Value): Value => program.stepOf(sum, "sum").of;

interface Access {
  readonly place: Place;
  readonly writes: boolean;
  /** Whether it is of the row that the loop is at. */
  readonly inRow: boolean;
}

/** What a cluster and the sums behind it read and write, beside what is made within. */
function accesses(
  made: Schedule,
  { members, stores }: Cluster,
  sums: readonly Value[],
  own: Iterable<Value>,
): Access[] {
  const inside = new Set([...own, ...members]);
  const { program, places } = made;
  const access = (value: Value, writes: boolean): Access[] => {
    const place = places.get(value);
    return place ? [{ place, writes, inRow: program.width(value) > 1 }] : [];
  };
  const read = [
    ...members.flatMap((member) => argumentsOf(program.at(member))),
    ...sums.map((sum) => summed(made, sum)),
  ];
  return [
    ...read.filter((value) => !inside.has(value)).flatMap((value) => access(value, false)),
    ...stores.flatMap((value) => access(value, true)),
  ];
}

const within = (made: Schedule, stage: Product | RowStage): Access[] =>
  stage.kind === "sums"
    ? accesses(made, { members: stage.inner, stores: [] }, stage.sums, [])
    : accesses(made, stage.cluster, [], stage.kind === "linear" ? [stage.value] : []);

/** What a stage does once its loop has ended. */
const behind = (made: Schedule, stage: Product | RowStage): Access[] =>
  stage.kind === "sums" ? accesses(made, stage.cluster, [], stage.sums) : [];

/** Whether a stage can stand in the loop: it has the same results there as behind it. */
function goesOn(made: Schedule, { products, rows }: RowLoop, stage: RowStage): boolean {
  const before = [...products, ...rows];
  const next = within(made, stage);
  const meet = (a: Access, b: Access) => a.place.buffer === b.place.buffer && (a.writes || b.writes);
  // reads and writes of one row follow each other as they would in two loops
  const apart = (a: Access, b: Access) => meet(a, b) && !(a.inRow && b.inRow && a.place.row === b.place.row);
  return before.every(
    (other) =>
      within(made, other).every((access) => !next.some((own) => apart(access, own))) &&
      behind(made, other).every((access) => !next.some((own) => meet(access, own))),
  );
}
