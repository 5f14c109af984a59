import { item, must } from "../src/must.ts";
import type { RowFunction } from "../src/network/program.ts";
import { type Binding, numbered, read, write } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import {
  fractionText,
  inverseRoot,
  type ProjectedName,
  projectedInput,
  projectedRow,
  resultText,
  rowFunctions,
} from "./row-functions.ts";
import { components } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

/** A number of a row: leaf i that is read, result i of the functions, or sum i that the kernel has made. */
export type Ref = { readonly leaf: number } | { readonly result: number } | { readonly sum: number };

/** A buffer's rows as a cluster reads or writes them. */
export interface RowsAccess {
  readonly binding: number;
  /** Rows for each tangent. */
  readonly batched: boolean;
  /** One row for all. */
  readonly single: boolean;
  /** Numbers that are the same for every particle, in the flat array of the parameters. */
  readonly parameter: boolean;
  /** A table's column, one for all particles or that of each one's class. */
  readonly table?: "one" | "classes";
}

/** What a kernel makes of the numbers in a row, and what it stores. Buffers are numbered by their bindings. */
export interface ClusterShape {
  /** Whether each buffer is written. */
  readonly bindings: readonly boolean[];
  readonly parameters: readonly number[];
  /** The buffer with each particle's class, where a table has columns for classes. */
  readonly classes?: number | undefined;
  readonly leaves: readonly RowsAccess[];
  readonly results: readonly {
    readonly function: RowFunction | { readonly name: "total" };
    readonly of: readonly Ref[];
    readonly batched: boolean;
  }[];
  readonly stores: readonly (RowsAccess & { readonly of: Ref | undefined })[];
}

type Two<T> = readonly [T, T];

/** What is told of a cluster, by name: of each leaf and store its first row and the rows of a tangent. */
export function accessNumbers<T>(leaves: readonly Two<T>[], stores: readonly Two<T>[], prefix = ""): Record<string, T> {
  const named = (name: string, list: readonly Two<T>[]) =>
    list.flatMap(([row, rows], i) => [
      [`${prefix}${name}${i}`, row] as const,
      [`${prefix}${name}${i}_rows`, rows] as const,
    ]);
  return Object.fromEntries([...named("l", leaves), ...named("s", stores)]);
}

/** And of a table how many columns there are, and the first one of now. */
export function tableNumbers<T>([columns, column]: Two<T>, prefix = ""): Record<string, T> {
  return { [`${prefix}columns`]: columns, [`${prefix}column`]: column };
}

export const readsTable = ({ leaves }: ClusterShape) => leaves.some(({ table }) => table !== undefined);

/** The params of a cluster. */
export function clusterParams(shape: ClusterShape, prefix?: string): Record<string, "u32"> {
  const two = ["u32", "u32"] as const;
  const of = (list: readonly unknown[]) => list.map(() => two);
  const accesses = accessNumbers(of(shape.leaves), of(shape.stores), prefix);
  return { ...accesses, ...(readsTable(shape) && tableNumbers(two, prefix)) };
}

/** How a kernel calls what the text of a cluster reads: the numbers of {@link clusterParams}, and its buffers by their bindings. */
export interface ClusterNames {
  number(name: string): string;
  buffer(binding: number): string;
}

/** Params and b0, b1, … */
export const clusterNames: ClusterNames = { number: (name) => `params.${name}`, buffer: (binding) => `b${binding}` };

/**
 * Statements of a cluster for one number of a row: four particles. In scope: `row`, `p`, `params`, and for a single tangent (`loops`
 * false) its number `s`; sums of the kernel are named by `sum`.
 */
export function clusterText(
  shape: ClusterShape,
  o: { readonly loops: boolean; readonly sum: (i: number) => string; readonly names?: ClusterNames },
): string {
  const { number, buffer } = o.names ?? clusterNames;
  const { leaves, results, stores } = shape;
  const nameOf = (ref: Ref) =>
    "leaf" in ref ? `leaf${ref.leaf}` : "result" in ref ? `v${ref.result}` : o.sum(ref.sum);
  const place = (name: string, access: RowsAccess) => {
    const row = access.single ? number(name) : `${number(name)} + row`;
    return access.batched
      ? `(${row} + s * ${number(`${name}_rows`)}) * params.stride + p`
      : `(${row}) * params.stride + p`;
  };
  const read = (i: number) => {
    const leaf = leaves[i] as RowsAccess;
    const from = buffer(leaf.binding);
    const row = `${number(`l${i}`)}${leaf.single ? "" : " + row"}`;
    const column = `(${row}) * ${number("columns")} + ${number("column")}`;
    if (leaf.table === "one") return `let leaf${i} = vec4f(${from}[${column}]);`;
    if (leaf.table === "classes") {
      const { classes } = shape;
      const lane = (c: string) => `${from}[${column} + ${buffer(must(classes, "the buffer of classes"))}[p].${c}]`;
      return `let leaf${i} = vec4f(${components.map(lane).join(", ")});`;
    }
    if (leaf.parameter) return `let leaf${i} = vec4f(${from}[${row}]);`;
    return `let leaf${i} = ${from}[${place(`l${i}`, leaf)}];`;
  };
  const made = new Set<string>();
  const highest = (activation: string, argument: string) =>
    Math.max(
      ...results.map(({ function: f, of }) =>
        f.name === "activate" && f.activation === activation && of[0] && nameOf(of[0]) === argument ? f.order : 0,
      ),
    );
  const result = (i: number): string => {
    const { function: f, of } = results[i] as ClusterShape["results"][number];
    if (f.name === "total") return "";
    const before: string[] = [];
    const shared = (call: string, name: string) => {
      if (!made.has(name)) before.push(`let ${name} = ${call};`);
      made.add(name);
      return name;
    };
    const text = resultText(f, of.map(nameOf), shared, highest);
    return [...before, `let v${i} = ${text};`].join("\n");
  };
  const write = (i: number) => {
    const store = stores[i] as ClusterShape["stores"][number];
    return `${buffer(store.binding)}[${place(`s${i}`, store)}] = ${store.of ? nameOf(store.of) : "vec4f(0.0)"};`;
  };
  const all = <T>(list: readonly T[]) => list.map((_, i) => i);
  if (!o.loops) return [...all(leaves).map(read), ...all(results).map(result), ...all(stores).map(write)].join("\n");

  // what has no tangents, then the loop over tangents, then what is made of sums over them
  const afterLoop = new Set<number>();
  for (const [i, { function: f, of, batched }] of results.entries())
    if (!batched && (f.name === "total" || of.some((ref) => "result" in ref && afterLoop.has(ref.result))))
      afterLoop.add(i);
  const totals = all(results).filter((i) => results[i]?.function.name === "total");
  const isInLoop = (ref: Ref | undefined) =>
    ref !== undefined &&
    (("leaf" in ref && leaves[ref.leaf]?.batched) || ("result" in ref && results[ref.result]?.batched));
  const plain = all(leaves).filter((i) => !leaves[i]?.batched);
  const looped = all(leaves).filter((i) => leaves[i]?.batched);
  const batchedStores = all(stores).filter((i) => stores[i]?.batched);
  const before = all(results).filter((i) => !results[i]?.batched && !afterLoop.has(i));
  const inside = all(results).filter((i) => results[i]?.batched);
  const hasLoop = looped.length > 0 || inside.length > 0 || totals.length > 0 || batchedStores.length > 0;
  const text = [...plain.map(read), ...before.map(result), ...totals.map((i) => `var v${i} = vec4f(0.0);`)];
  if (hasLoop) {
    const add = totals.map((i) => {
      const [of] = item(results, i).of;
      return of && isInLoop(of) ? `v${i} += ${nameOf(of)};` : "";
    });
    const keep = new Set(made);
    text.push(
      `for (var s = 0u; s < params.tangents; s++) {`,
      ...looped.map(read),
      ...inside.map(result),
      ...add,
      ...batchedStores.map(write),
      "}",
    );
    made.clear();
    for (const name of keep) made.add(name);
  }
  text.push(
    ...all(results)
      .filter((i) => afterLoop.has(i))
      .map(result),
  );
  text.push(
    ...all(stores)
      .filter((i) => !stores[i]?.batched)
      .map(write),
  );
  return text.filter(Boolean).join("\n");
}

/** The buffers of a cluster: b0, b1, … */
export function clusterBuffers({ bindings, parameters, classes }: ClusterShape): Record<`b${number}`, Binding> {
  return numbered(
    "b",
    bindings.map((isWritten, i) => {
      const type = parameters.includes(i) ? "f32" : i === classes ? "vec4u" : "vec4f";
      return (isWritten ? write : read)(`array<${type}>`);
    }),
  );
}

const usesRoot = (shapes: readonly Pick<ClusterShape, "results">[]) =>
  shapes.some(({ results }) => results.some(({ function: f }) => f.name === "inverse root"));

/** Everything that clusters call. */
export function clusterFunctions(shapes: readonly Pick<ClusterShape, "results">[]): string {
  return `${rowFunctions(shapes, "vec4f")}\n${usesRoot(shapes) ? inverseRoot("vec4f") : ""}`;
}

/** Invocations per workgroup of the kernels in this file; one per four particles (and row). */
export const rowsWorkgroup = 64;

const signature = "(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u)";
const index = `let index = id.x + id.y * groups.x * ${rowsWorkgroup}u;`;

/** Functions of the numbers in a row, for all rows, particles and tangents. */
export const rowsKernel = oncePerShape((shape: ClusterShape) =>
  kernel({
    label: "rows",
    entryPoint: "compute_rows",
    params: { stride: "u32", rows: "u32", tangents: "u32", ...clusterParams(shape) },
    buffers: clusterBuffers(shape),
    code: wgsl`${clusterFunctions([shape])}
@compute @workgroup_size(${rowsWorkgroup})
fn compute_rows${signature} {
${index}
if (index >= params.rows * params.stride) { return; }
let row = index / params.stride;
let p = index % params.stride;
${clusterText(shape, { loops: true, sum: () => "" })}
}
`,
  }),
);

/** A kernel that sums rows: `inner` is made from row to row, `sums` of which results or leaves are summed, `after` is made of the sums. */
export interface SumsShape {
  readonly inner: ClusterShape;
  readonly sums: readonly Ref[];
  readonly after: ClusterShape;
}

/** What the params of the inner cluster begin with. */
export const innerPrefix = "i_";

/** Sums over all rows, for all particles (and tangents, which are dimension z), in the order of the rows. */
export const sumsKernel = oncePerShape(({ inner, sums, after }: SumsShape) => {
  const written = after.bindings.map((isWritten, i) => isWritten || inner.bindings[i] === true);
  const buffers = clusterBuffers({
    ...after,
    bindings: written,
    parameters: [...inner.parameters, ...after.parameters],
    classes: inner.classes ?? after.classes,
  });
  const renamed = (ref: Ref) => ("leaf" in ref ? `leaf${ref.leaf}` : "result" in ref ? `v${ref.result}` : "");
  const params = {
    ...({ stride: "u32", rows: "u32", tangents: "u32" } as const),
    ...clusterParams(inner, innerPrefix),
    ...clusterParams(after),
  };
  const code = wgsl`${clusterFunctions([inner, after])}
@compute @workgroup_size(${rowsWorkgroup})
fn sum_rows${signature} {
${index}
if (index >= params.stride) { return; }
let p = index;
let s = id.z;
${lines(sums.length, (i) => `var sum${i} = vec4f(0.0);`)}
for (var row = 0u; row < params.rows; row++) {
${clusterText({ ...inner, stores: [] }, { loops: false, sum: () => "", names: { ...clusterNames, number: (name) => `params.${innerPrefix}${name}` } })}
${sums.map((ref, i) => `sum${i} += ${renamed(ref)};`).join("\n")}
}
let row = 0u;
${clusterText(after, { loops: false, sum: (i) => `sum${i}` })}
}
`;
  return kernel({ label: "sums of rows", entryPoint: "sum_rows", params, buffers, code });
});

/** B·v, and what is made of its rows. */
interface ProjectShape {
  readonly matrix: readonly (readonly number[])[];
  /** Whether whole numbers are taken away, exactly: twelve bits of each factor at a time, so that every product is a number of f32. */
  readonly turns: boolean;
  readonly cluster: ClusterShape;
}

/** A product with a matrix that is data of the network, for all particles (and tangents, which are dimension z). */
export const projectKernel = oncePerShape(({ matrix, turns, cluster }: ProjectShape) => {
  const inputs = item(matrix, 0).length;
  const name: ProjectedName = (part, j) => `${part}${j}`;
  const given = (j: number) => `given[(params.given + s * params.given_rows + ${j}u) * params.stride + p]`;
  return kernel({
    label: "project rows",
    entryPoint: "project",
    params: { stride: "u32", rows: "u32", tangents: "u32", given: "u32", given_rows: "u32", ...clusterParams(cluster) },
    buffers: { given: read("array<vec4f>"), ...clusterBuffers(cluster) },
    code: wgsl`${clusterFunctions([cluster])}
${fractionText("vec4f")}
fn finish(z: vec4f, row: u32, p: u32, s: u32) {
${clusterText(cluster, { loops: false, sum: () => "z" })}
}
@compute @workgroup_size(${rowsWorkgroup})
fn project${signature} {
${index}
if (index >= params.stride) { return; }
let p = index;
let s = id.z;
${lines(inputs, (j) => projectedInput(given(j), j, turns, "vec4f", name))}
${matrix.map((row, k) => `finish(${projectedRow(row, turns, "vec4f", name)}, ${k}u, p, s);`).join("\n")}
}
`,
  });
});
