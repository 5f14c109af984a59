import { createHash } from "node:crypto";
import { UsageError } from "./context.ts";
import { shown } from "./file-errors.ts";

/** The options of `train` that decide what is learned, and the data, as a command line says them. */
export type TrainingSettings = Record<string, string>;

/** Metadata of a checkpoint that holds {@link TrainingSettings} as JSON; files of earlier versions have none. */
export const settingsKey = "pushforward.options";

/** Of what a flow is made: --from takes these from its file, so no other value of them can go on from it. */
const shape = [
  "--columns",
  "--field",
  "--hidden",
  "--width",
  "--blocks",
  "--features",
  "--activation",
  "--time",
  "--labels",
  "--context",
  "--shortcut",
];

/** Names of settings whose values are digests, which say nothing to a reader. */
const content = ["the data", "--from", "--source"];

/** "64,64", "fourier:4", "interval:0:1,none": what would be typed for the value of an option. */
export function typed(value: unknown): string {
  if (value === undefined || value === null) return "none";
  if (Array.isArray(value)) return value.map(typed).join();
  if (typeof value !== "object") return String(value);
  const parts = value as Record<string, unknown>;
  // of a transform
  if ("kind" in parts) return Object.values(parts).join(":");
  if ("fourier" in parts) return `fourier:${parts.fourier}`;
  if ("logitNormal" in parts) return `logit-normal:${parts.logitNormal}`;
  if ("beta" in parts) return `beta:${parts.beta}`;
  if ("factor" in parts) return `neighbours:${[parts.factor, parts.neighbour].filter((part) => part !== undefined)}`;
  if ("count" in parts) return [parts.count, parts.scale, parts.seed].filter((part) => part !== undefined).join(":");
  // how weights begin
  return Object.entries(parts)
    .map(
      ([name, own]) =>
        `${name}=${
          typeof own === "object"
            ? Object.values(own as object)
                .flat()
                .join("..")
            : own
        }`,
    )
    .join();
}

/** A short digest of bytes or numbers. */
export function digest(values: ArrayBufferView): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

/** Settings as they were stored; undefined where there are none that can be read. */
export function parseSettings(text: string | undefined): TrainingSettings | undefined {
  try {
    const value: unknown = JSON.parse(text ?? "");
    const isPlain = typeof value === "object" && value !== null && !Array.isArray(value);
    return isPlain && Object.values(value).every((part) => typeof part === "string")
      ? (value as TrainingSettings)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Throws, with the names of the options, where a training is not the one of the checkpoint at `path`. */
export function checkSettings(path: string, there: TrainingSettings, here: TrainingSettings): void {
  const differing = Object.entries(here).flatMap(([name, ours]) => {
    const theirs = there[name];
    return theirs === undefined || theirs === ours ? [] : [{ name, ours, theirs }];
  });
  if (differing.length === 0) return;
  const differences = differing.map(({ name, ours, theirs }) =>
    content.includes(name)
      ? difference(name, theirs === "none", ours === "none")
      : `${name} is ${shown(ours)} here, but ${shown(theirs)} in the checkpoint`,
  );
  const anew = differing.some(({ name }) => shape.includes(name))
    ? "To start a new training, leave --resume out and give --checkpoint another file"
    : `To start a new training from its weights, use --from ${shown(path)} without --resume, and give --checkpoint another file`;
  throw new UsageError(
    `--resume goes on with the training of ${shown(path)}, which was another one: ${differences.join("; ")}. To go on with it, give the options and the data of then. ${anew}`,
  );
}

function difference(name: string, isNoneThere: boolean, isNoneHere: boolean): string {
  if (isNoneThere) return `${name} is given here, but was not for the checkpoint`;
  if (isNoneHere) return `${name} is not given here, but was for the checkpoint`;
  return name === "--from"
    ? "--from has other weights here than for the checkpoint"
    : `the rows of ${name} are others than those of the checkpoint`;
}
