import type { Travels } from "../options/schema.ts";
import type { Arrays } from "./parcel.ts";

/** A schema, as far as it says how options get to workers. */
export type TravellingFields = Readonly<Record<string, Travels>>;

type Options = Readonly<Record<string, unknown>>;

const isRecord = (value: unknown): value is Options =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);

/** What of a call's options goes with every range of it, as JSON. */
export function optionsOfCall(fields: TravellingFields, options: object): Record<string, unknown> {
  const all = optionsThat(fields, options as Options);
  return JSON.parse(
    JSON.stringify(all, (_, value) => (ArrayBuffer.isView(value) ? [...(value as Float64Array)] : value)),
  );
}

function optionsThat(fields: TravellingFields, options: Options): Options {
  const kept = Object.entries(fields).flatMap(([name, { travels, parts }]) => {
    const value = options[name];
    if (value === undefined || travels !== "call") return [];
    return [[name, parts && isRecord(value) ? optionsThat(parts, value) : value] as const];
  });
  return Object.fromEntries(kept);
}

/** The options of a range on a worker: those of the call, and in their places the arrays that belong to the range's particles. */
export function optionsOfRange(fields: TravellingFields, options: Options, arrays: Arrays): Record<string, unknown> {
  const all: Record<string, unknown> = { ...options };
  for (const [name, { travels, parts }] of Object.entries(fields)) {
    const own = options[name];
    if (travels === "particles" && arrays[name]) all[name] = arrays[name];
    else if (parts && isRecord(own)) all[name] = optionsOfRange(parts, own, arrays);
  }
  return all;
}
