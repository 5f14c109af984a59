import { fault } from "../src/must.ts";
import { type Buffers, currently, type Entry, type Given, type Numeric, type Params } from "./interface.ts";
import type { Kernel } from "./kernel.ts";

/** One dispatch of a plan: pure data. Params and buffers are called as the kernel calls them. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly params: Readonly<Record<string, number>>;
  /** Those of the params that are read from a table whenever it is encoded. */
  readonly entries?: Readonly<Record<string, Entry>>;
  /** Names of buffers, which are resolved by the arena that runs the plan. */
  readonly buffers: Readonly<Record<string, string>>;
  /** Where in its buffer a binding begins, in bytes, by the kernel's names; where nothing is said, at its beginning. */
  readonly offsets?: Readonly<Record<string, number>>;
  readonly workgroups: readonly [x: number, y?: number, z?: number];
  /** Estimated floating-point operations, for sizing submits. */
  readonly flops: number;
}

/** A dispatch of a kernel, which is given what it declares: no less, no more. */
export function dispatchOf<P extends Params, B extends Buffers>(
  kernel: Kernel<P, B>,
  given: Pick<Dispatch, "workgroups" | "flops" | "offsets"> & {
    readonly params: Given<NoInfer<P>, Numeric>;
    readonly buffers: Given<NoInfer<B>, string>;
  },
): Dispatch {
  const { label } = kernel;
  const all = exactly<Numeric>(`a param of "${label}"`, kernel.params, given.params);
  const params: Record<string, number> = {};
  let entries: Record<string, Entry> | undefined;
  for (const name in all) {
    const value = all[name] as Numeric;
    params[name] = currently(value);
    if (typeof value === "object") entries = { ...entries, [name]: value };
  }
  return {
    ...given,
    kernel,
    params,
    ...(entries && { entries }),
    buffers: exactly<string>(`a buffer of "${label}"`, kernel.buffers, given.buffers),
  };
}

/** The same dispatches with a part of their own of some buffers, whose parts have so many bytes. */
export function inPart(
  dispatches: readonly Dispatch[],
  part: number,
  parts: ReadonlyMap<string, number>,
): readonly Dispatch[] {
  if (part === 0) return dispatches;
  return dispatches.map((dispatch) => {
    const offsets: Record<string, number> = { ...dispatch.offsets };
    for (const [own, name] of Object.entries(dispatch.buffers)) {
      const bytes = parts.get(name);
      if (bytes !== undefined) offsets[own] = part * bytes + (offsets[own] ?? 0);
    }
    return { ...dispatch, offsets };
  });
}

/** What is given for the names that are declared, in their order. */
function exactly<T>(
  what: string,
  declared: Readonly<Record<string, unknown>>,
  given: Readonly<Record<string, T | undefined>>,
): Record<string, T> {
  const found: Record<string, T> = {};
  for (const name in declared) {
    if (declared[name] === false) continue;
    const value = given[name];
    if (value === undefined) throw fault(`${what}, ${name}, is not given`);
    found[name] = value;
  }
  for (const name in given)
    if (given[name] !== undefined && !(name in found)) throw fault(`${what}, ${name}, is given but not declared`);
  return found;
}

/** A 2-D grid for more workgroups than one dimension allows; kernels linearise it with `num_workgroups.x`. */
export function gridOf(workgroups: number): [number, number] {
  return workgroups <= 65535 ? [Math.max(1, workgroups), 1] : [32768, Math.ceil(workgroups / 32768)];
}
