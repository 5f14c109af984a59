import { type Finish, finishShape } from "../../shaders/optional-stores.ts";
import { accessNumbers, type ClusterShape, type RowsAccess } from "../../shaders/rows.ts";
import { nowhere } from "../../shaders/weight-gradient.ts";
import { item } from "../must.ts";
import type { DenseCall } from "./dense.ts";

type Cluster = DenseCall["cluster"];
type At = readonly [row: number, rows: number];

/** A cluster in the text that many layers share: its numbers, and its buffers by binding. */
interface Finished {
  readonly finish: Finish;
  readonly numbers: Readonly<Record<string, number>>;
  readonly buffers: readonly string[];
}

/** Buffers that stand where a finish stores nothing: no two bindings of a dispatch may write to the same one. */
export const unusedBuffers: readonly { readonly name: string; readonly bytes: number }[] = [0, 1, 2].map((i) => ({
  name: `unused ${i}`,
  bytes: 16,
}));

const isPlain = ({ single, parameter, table }: RowsAccess) => !single && !parameter && table === undefined;

/** Rows that are the same for all tangents have the next one's in the same place. */
const placed = ({ batched }: RowsAccess, name: string, numbers: Cluster["numbers"]): At => [
  numbers[name] as number,
  batched ? (numbers[`${name}_rows`] as number) : 0,
];

/**
 * A cluster as one of the finishes that many layers share, so that a few kernels are compiled for all of them; undefined for what is
 * none. The numbers that come of it are the same to the bit. `input` is a buffer that the dispatch reads in any case.
 */
export function finishOf({ shape, numbers }: Cluster, names: readonly string[], input: string): Finished | undefined {
  const { leaves, stores } = shape;
  if (![...leaves, ...stores].every(isPlain)) return undefined;
  const found = activated(shape) ?? products(shape);
  if (!found) return undefined;
  const { finish, storeOf, leafOf } = found;
  const made = finishShape(finish);
  const nothing = [...unusedBuffers];
  const buffers = made.bindings.map(() => input);
  const readAt = made.leaves.map(({ binding }, i): At => {
    const own = leafOf[i];
    if (own === undefined) return [0, 0];
    const leaf = item(leaves, own);
    buffers[binding] = item(names, leaf.binding);
    return placed(leaf, `l${own}`, numbers);
  });
  const storedAt = made.stores.map(({ binding }, i): At => {
    const own = storeOf.indexOf(i);
    if (own < 0) {
      buffers[binding] = item(nothing.splice(0, 1), 0).name;
      return [nowhere, 0];
    }
    const store = item(stores, own);
    buffers[binding] = item(names, store.binding);
    return placed(store, `s${own}`, numbers);
  });
  return { finish, numbers: accessNumbers(readAt, storedAt), buffers };
}

/** Which store of the finish each store of a cluster is, and which leaf of the cluster each leaf of the finish. */
interface Found {
  readonly finish: Finish;
  readonly storeOf: readonly number[];
  readonly leafOf: readonly number[];
}

const isOnce = (list: readonly number[]) => list.length > 0 && new Set(list).size === list.length && !list.includes(-1);

/** Value, slope and curvature of the sum's activation, or some of them. */
function activated({ leaves, results, stores }: ClusterShape): Found | undefined {
  const made = results.map(({ function: f, of: [of] }) => (f.name === "activate" && of && "sum" in of ? f : undefined));
  const activation = made[0]?.activation;
  if (activation === undefined || leaves.length > 0) return undefined;
  if (!made.every((f) => f?.activation === activation)) return undefined;
  const storeOf = stores.map(({ of }) => (of && "result" in of ? (made[of.result]?.order ?? -1) : -1));
  return isOnce(storeOf) ? { finish: { activation }, storeOf, leafOf: [] } : undefined;
}

/** The sum, and up to two products of it with rows. */
function products({ leaves, results, stores }: ClusterShape): Found | undefined {
  if (leaves.length > 2) return undefined;
  const factors = results.map(({ function: f, of }) => {
    const leaf = of.find((ref) => "leaf" in ref);
    return f.name === "multiply" && leaf && of.some((ref) => "sum" in ref) ? leaf.leaf : -1;
  });
  if (factors.includes(-1)) return undefined;
  const storeOf = stores.map(({ of }) => {
    if (!of || "leaf" in of) return -1;
    return "sum" in of ? 0 : 1 + item(factors, of.result);
  });
  return isOnce(storeOf) ? { finish: "products", storeOf, leafOf: leaves.map((_, i) => i) } : undefined;
}

/** The same cluster with a text in which it does not matter what is there for each tangent. */
export function forAnyBatch({ shape, numbers }: Cluster): Cluster {
  const plain = (access: RowsAccess) => isPlain(access) || access.single;
  if (![...shape.leaves, ...shape.stores].every(plain) || shape.results.some(({ function: f }) => f.name === "total"))
    return { shape, numbers };
  const places = (list: readonly RowsAccess[], name: string) =>
    list.map((access, i) => placed(access, `${name}${i}`, numbers));
  const each = <A extends RowsAccess>(list: readonly A[]) => list.map((access) => ({ ...access, batched: true }));
  return {
    shape: {
      ...shape,
      leaves: each(shape.leaves),
      results: shape.results.map((result) => ({ ...result, batched: true })),
      stores: each(shape.stores),
    },
    numbers: { ...numbers, ...accessNumbers(places(shape.leaves, "l"), places(shape.stores, "s")) },
  };
}
