import type { Checked, Fields } from "./schema.ts";

/** Those of the options that a schema has. */
export function partOf<F extends Fields>(fields: F, options: Partial<Checked<F>>): Checked<F> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => name in fields)) as Checked<F>;
}

/** A schema without some of its fields. */
export function without<F extends Fields, const K extends keyof F>(fields: F, ...names: readonly K[]): Omit<F, K> {
  const left = Object.entries(fields).filter(([name]) => !names.some((one) => one === name));
  return Object.fromEntries(left) as unknown as Omit<F, K>;
}
