import type { DataRows } from "../data/units.ts";
import type { Flow } from "../flow/flow.ts";
import { sha256 } from "../io/sha256.ts";
import type { Decides } from "../options/schema.ts";
import { optimizerSettings } from "./optimizer-settings.ts";
import type { TrainingPlan } from "./plan.ts";

/** What decides the bits of a training, as plain values under the names that messages use; one that is not set is left out. */
export type Fingerprint = Record<string, string | number | boolean>;

/**
 * All that two trainings must share for one to go on where the other stopped; arrays count by their content. Of the options it is
 * those that decide anything by their schema, as they are or as what `made` says that was made of them.
 */
export async function fingerprint(
  flow: Flow,
  data: DataRows,
  { options, velocity, logEvery }: TrainingPlan,
  fields: Readonly<Record<string, Decides>>,
  training: string,
  made: Readonly<Record<string, unknown>>,
): Promise<Fingerprint> {
  const { ema: _, gradientClip: __, ...optimizer } = optimizerSettings(training, options);
  const { validation: given } = options;
  const decides = given?.patience !== undefined || given?.keepBest;
  const validation = decides ? { ...given, every: given?.every ?? logEvery } : undefined;
  const values: Record<string, unknown> = { ...options, optimizer, validation, ...made };
  const all: Fingerprint = {};
  for (const [name, { decides }] of Object.entries(fields))
    if (decides !== false) await describe(all, decides === true ? name : decides, values[name]);
  const { normalization, transform, source } = flow;
  await source.settled;
  const beside = { training, velocity, data, source: source.options, normalization, transform };
  for (const [name, value] of Object.entries(beside)) await describe(all, name, value);
  return all;
}

/** Writes `value` under `name`, an object's parts under names of their own. Functions cannot be compared: they are left out. */
async function describe(all: Fingerprint, name: string, value: unknown): Promise<void> {
  if (ArrayBuffer.isView(value)) {
    const { length } = value as Float32Array;
    const digest = await sha256(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
    all[name] = `${length} values of SHA-256 ${digest.slice(0, 16)}…`;
  } else if (Array.isArray(value)) all[name] = JSON.stringify(value);
  else if (typeof value === "object" && value !== null) {
    for (const [key, part] of Object.entries(value)) await describe(all, `${name}.${key}`, part);
  } else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") all[name] = value;
}

/** "batchSize is 64 there and 128 here", for everything in which the two differ. */
export function differences(there: Fingerprint, here: Fingerprint): string[] {
  const names = [...new Set([...Object.keys(there), ...Object.keys(here)])];
  return names
    .filter((name) => there[name] !== here[name])
    .map((name) => `${name} is ${there[name] ?? "not set"} there and ${here[name] ?? "not set"} here`);
}
