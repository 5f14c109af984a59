import { must } from "../src/must.ts";
import { networkOf } from "../src/network/of.ts";
import { defaultSteps } from "./arguments.ts";
import { conditionColumns, contextWidth } from "./conditions.ts";
import { flopsPerEvaluation, flopsText } from "./cost.ts";
import { columnWord } from "./csv-shape.ts";
import { shellWord } from "./csv-text.ts";
import { columnNames, readModel } from "./model.ts";
import { count } from "./report.ts";
import { heeded } from "./training-flags.ts";
import { typed } from "./training-settings.ts";
import { sourceText } from "./velocity.ts";

/** What a flow's file holds, as JSON and as lines. */
export async function flowInfo(path: string): Promise<{ result: Record<string, unknown>; lines: string[] }> {
  const model = await readModel(path);
  const { velocity, normalization, source, transform } = model.options;
  const network = networkOf(velocity);
  const { dim, classes, context } = velocity;
  const columns = columnNames(model, dim);
  const flops = flopsPerEvaluation(velocity);
  // midpoint has two stages
  const perSample = 2 * defaultSteps * flops;
  const { conditions } = model;
  const record = model.record && { ...model.record, options: heeded(model.record.options) };
  const given = contextWidth(conditions, velocity);
  const hasDensity = !(source && "samples" in source);
  const commands = commandsFor(
    path,
    { dim, classes, context: given, hasDensity, isShortcut: conditions.shortcut === true },
    conditionColumns(conditions).length > 0,
  );
  const text =
    velocity.kind === "mlp"
      ? `mlp, hidden layers ${typed(velocity.hidden)}, ${velocity.activation}, time ${typed(velocity.time)}`
      : `network of ${count(velocity.operations.length)} operations`;
  const rows: (readonly [string, string])[] = [
    ["file", path],
    ["network", text],
    ["parameters", `${count(network.parameterCount)} in ${network.tensors.length} tensors`],
    ["dimensions", String(dim)],
    ...(classes > 0
      ? [
          [
            "classes",
            `${classes}${conditions.labels ? `, of the column ${columnWord(conditions.labels)}` : ""}`,
          ] as const,
        ]
      : []),
    ...(given > 0
      ? [["context", conditions.context?.names.map(columnWord).join(", ") ?? `${given} numbers`] as const]
      : []),
    ...(conditions.context?.names ?? []).map((name, i) => {
      const { mean, scale } = must(conditions.context, "a context").normalization;
      return [`context ${columnWord(name)}`, `mean ${mean[i]}, scale ${scale[i]}`] as const;
    }),
    ...(conditions.shortcut ? [["steps", "any number, by --shortcuts, or those of a solver"] as const] : []),
    ["source", sourceText(source)],
    ...(transform ? ([["space", typed(transform)]] as const) : []),
    ...columns.map((name, i) => {
      const [mean, scale] = [normalization?.mean[i], normalization?.scale[i]];
      const units =
        mean === undefined || scale === undefined ? "in the flow's own units" : `mean ${mean}, scale ${scale}`;
      return [`column ${columnWord(name)}`, units] as const;
    }),
    [
      "operations",
      `${flopsText(flops)} for a velocity, ${flopsText(perSample)} for a sample of ${defaultSteps} midpoint steps`,
    ],
    ...(record ? ([["trained", `${count(record.steps)} steps on ${count(record.rows)} rows`]] as const) : []),
    ...Object.entries(record?.options ?? {})
      .filter(([, value]) => value !== "none")
      .map(([name, value]) => [`  ${name}`, value] as const),
    ...commands.map((command, i) => [i === 0 ? "try" : "", command] as const),
  ];
  const result = {
    file: path,
    kind: velocity.kind,
    dim,
    classes,
    context,
    parameters: network.parameterCount,
    tensors: network.tensors.map(({ name, shape }) => ({ name, shape })),
    source:
      source && "samples" in source
        ? { samples: source.samples instanceof Float32Array ? source.samples.length / dim : null }
        : (source ?? null),
    normalization: normalization ?? null,
    transform: model.options.transform ?? null,
    columns,
    conditions,
    flopsPerVelocity: flops,
    training: record ?? null,
    commands,
  };
  return { result, lines: rows.map(([name, value]) => `${name.padEnd(20)} ${value}`.trimEnd()) };
}

/** Command lines that fit the flow, as a shell takes them. */
function commandsFor(
  file: string,
  has: { dim: number; classes: number; context: number; hasDensity: boolean; isShortcut: boolean },
  isNamed: boolean,
): string[] {
  const flow = shellWord(file);
  const conditioned = [
    ...(has.classes > 0 ? ["--label 0"] : []),
    ...(has.context > 0 ? [`--context ${Array(has.context).fill(0)}`] : []),
  ];
  const needs = conditioned.length > 0 ? ` ${conditioned.join(" ")}` : "";
  const data = isNamed ? "data.csv" : "rows.csv";
  return [
    `pushforward sample ${flow} --count 1000${needs} -o samples.csv`,
    ...(has.isShortcut ? [`pushforward sample ${flow} --count 1000 --shortcuts 2${needs} -o quick.csv`] : []),
    ...(has.hasDensity
      ? [`pushforward log-prob ${flow} ${data}`]
      : [`pushforward push ${flow} before.csv -o after.csv`]),
    ...(has.dim === 2 ? [`pushforward plot ${flow}${needs} -o flow.png`] : []),
  ];
}
