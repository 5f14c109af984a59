import { basename, extname } from "node:path";
import { Command, Option } from "commander";
import { PushforwardError } from "../../src/errors.ts";
import { decimalWithin, nameList, rangePair, wholeNumber } from "../arguments.ts";
import { besideOutput, type Context, type GpuChoice, printResult, UsageError } from "../context.ts";
import { readCsv } from "../csv.ts";
import { shown as quoted } from "../csv-text.ts";
import { shown } from "../file-errors.ts";
import { claimOutput, writeOutput } from "../outputs.ts";
import { loadCanvas } from "../plot/canvas.ts";
import { composeFlow, composeTables, type Drawing, kinds, oneColumn, type Table } from "../plot/compose.ts";
import { renderFigure } from "../plot/figure.ts";
import { hasLength, type Range } from "../plot/grid.ts";
import { mostBins } from "../plot/histogram.ts";
import { count, rowsText } from "../report.ts";
import { type TableOptions, tableInput } from "../table-input.ts";
import { addOptions, groups, options } from "./shared-options.ts";

interface PlotOptions extends GpuChoice, Drawing, TableOptions {
  output: string;
  columns?: string[];
  json: boolean;
}

const examples = `
Of a flow (a file that ends in .safetensors) --kind density shows the density itself, log p solved at the centre of each cell;
trajectories are those of --paths samples, field is the velocity at --at as arrows. Several files become panels side by side, with the same axes and one colour scale. Colours show an estimate of the
density, count / (rows · cell area), so files of different length can be compared. Needs the package @napi-rs/canvas.

Examples:
  pushforward plot samples.csv -o samples.png
  pushforward plot places.csv samples.csv --columns longitude,latitude -o both.png --scale log --aspect 1.28
  pushforward plot places.csv --columns longitude,latitude --kind scatter -o dots.png
  pushforward plot flow.safetensors places.csv -o beside.png                       the density beside the data
  pushforward plot flow.safetensors --kind trajectories --paths 500 -o paths.png
  pushforward plot flow.safetensors --kind field --at 0.5 -o arrows.png
  pushforward plot samples.csv -o zoom.png --range -75,-73,40,42 --bins 300`;

export function plotCommand(context: Context): Command {
  return addOptions(
    new Command("plot")
      .description("Draw two columns of CSV files, or a flow, into a PNG.")
      .argument("<file...>", "CSV files, or - for stdin, and at most one flow that ends in .safetensors")
      .requiredOption("-o, --output <file>", "PNG to write")
      .option("-c, --columns <names>", "two columns, x and y, with a comma between; default: the first two", nameList)
      .addOption(new Option("--kind <kind>", "what is drawn").choices(kinds).default("density"))
      .option("--bins <count>", "cells along x; default: more for more rows, 40 to 240", wholeNumber(1, mostBins))
      .addOption(
        new Option("--scale <kind>", "how density becomes colour").choices(["log", "sqrt", "linear"]).default("sqrt"),
      )
      .option("--range <x0,x1,y0,y1>", "what the axes show; default: all points, with a margin", rangePair)
      .option(
        "--trim <share>",
        "leave this share of the farthest points at each end out of the default range",
        decimalWithin(0, 0.5, "[)"),
        0,
      )
      .option("--title <text>", "above the panels")
      .option("--width <pixels>", "of one panel; the PNG has twice as many", wholeNumber(50, 4000), 420)
      .option(
        "--aspect <ratio>",
        "length of a unit of y over a unit of x; default: square panels",
        decimalWithin(0, 1e6, "()"),
      )
      .option("--at <time>", "of a flow: time of its density or velocity", decimalWithin(0, 1), 1)
      .option("--paths <count>", "of a flow: trajectories that are drawn", wholeNumber(1, 10_000), 200),
    ...groups.conditions(),
    ...groups.solver(),
    options.seed("of the samples"),
    options.software(),
    ...groups.table(),
    options.json(),
  )
    .addHelpText("after", examples)
    .action((files: string[], o: PlotOptions, command: Command) => plot(context, files, o, command));
}

/** What options that only some pictures heed are for, and whether this is such a one. */
function heeded(kind: Drawing["kind"], hasFlow: boolean, hasTables: boolean): [string[], string, boolean][] {
  const drawsDensity = kind !== "scatter" && (hasTables || kind === "density");
  return [
    [["at"], "--kind density or field of a flow", hasFlow && ["density", "field"].includes(kind)],
    [["paths"], "--kind trajectories of a flow", hasFlow && kind === "trajectories"],
    [["seed", "label", "context", "guidance", "method", "steps", "tolerance", "maxSteps"], "flows", hasFlow],
    [["columns", "delimiter", "header", "skipInvalid"], "CSV files", hasTables],
    [["bins", "scale"], "densities, of --kind density or of rows beside a flow", drawsDensity],
  ];
}

function checkHeeded({ kind }: PlotOptions, flows: number, tables: number, command: Command): void {
  for (const [names, what, isHeeded] of heeded(kind, flows > 0, tables > 0))
    for (const name of isHeeded ? [] : names) {
      if (command.getOptionValueSource(name) !== "cli") continue;
      const isNegated = command.getOptionValue(name) === false;
      const option = command.options.find((each) => each.attributeName() === name && each.negate === isNegated);
      const drawn = [flows > 0 ? "a flow" : "", tables > 0 ? "CSV files" : ""].filter(Boolean).join(" beside ");
      throw new UsageError(
        `${option?.long} is for ${what}, but --kind ${kind} is drawn of ${drawn}: leave it out, or draw what it is for`,
      );
    }
}

async function plot(context: Context, files: readonly string[], o: PlotOptions, command: Command): Promise<void> {
  if (o.columns && o.columns.length !== 2)
    throw new UsageError(
      `--columns names ${o.columns.length === 1 ? "one column" : `${o.columns.length} columns`}, but a plot shows 2, x and y: name two`,
    );
  if (o.range) checkRange(o.range);
  const flows = files.filter(isFlow);
  checkHeeded(o, flows.length, files.length - flows.length, command);
  const inputs = files.map((file) => ({ name: isFlow(file) ? "the flow" : "the data", path: file }));
  const target = await claimOutput(context, o.output, true, inputs);
  if (target.kind === "file") checkEnding(o.output);
  if (flows.length > 1)
    throw new UsageError(`${flows.map(quoted).join(" and ")} are flows, but one is drawn at a time: give one of them`);
  const [path] = flows;
  if (path === undefined && !["density", "scatter"].includes(o.kind))
    throw new UsageError(`--kind ${o.kind} is of a flow, but no file ends in .safetensors: give one`);
  // whoever lacks it hears so before a flow is solved
  await loadCanvas();
  const tables = await readTables(
    context,
    files.filter((file) => !isFlow(file)),
    o,
  );
  const { figure, outside, mass } =
    path === undefined ? composeTables(tables, o) : await composeFlow(context, path, tables, o);
  await writeOutput(context, target, await renderFigure(figure));
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const skipped = tables.reduce((sum, table) => sum + table.skipped, 0);
  printResult(
    besideOutput(context, target),
    o.json,
    { output: o.output, rows, outside, skipped, ...(mass !== undefined && { mass }) },
    [
      `wrote ${o.output}: ${path === undefined ? rowsText(rows) : `${basename(path)}${rows > 0 ? ` and ${rowsText(rows)}` : ""}`}` +
        (mass === undefined ? "" : `, ${(100 * mass).toFixed(1)} % of the flow's probability inside`) +
        (outside > 0 ? `, ${count(outside)} of them outside the axes` : "") +
        (skipped > 0 ? `, ${rowsText(skipped, "incomplete")} left out` : ""),
    ],
  );
}

const isFlow = (file: string) => extname(file).toLowerCase() === ".safetensors";

async function readTables(context: Context, files: readonly string[], o: PlotOptions): Promise<Table[]> {
  const tables: Table[] = [];
  for (const file of files) {
    const { columns } = o;
    const table = await readCsv(...tableInput(context, file, o, { columns, first: 2, reader: "pushforward plot -" }));
    const name = file === "-" ? "stdin" : shown(file);
    if (table.columns.length < 2) throw oneColumn(name);
    if (table.rows === 0)
      throw new PushforwardError(
        "format",
        `${name} has no rows, so there is nothing to draw: expected rows of numbers below the names`,
      );
    tables.push({ ...table, name: file === "-" ? "stdin" : basename(file), dim: table.columns.length });
  }
  return tables;
}

/** Names without an ending, and those with a number such as run-0.5, say nothing of a format. */
function checkEnding(output: string): void {
  const ending = extname(output);
  if (ending.toLowerCase() !== ".png" && /^\.[a-z]/i.test(ending))
    throw new UsageError(
      `--output is ${shown(output)}, but pictures are written as PNG alone: give it the ending .png instead of ${ending}`,
    );
}

/** What is beyond the range of data, or cannot be told apart in f64, has no axes. */
function checkRange(range: { x: Range; y: Range }): void {
  for (const axis of ["x", "y"] as const) {
    const [low, high] = range[axis];
    if (Math.abs(low) > 3.4e38 || Math.abs(high) > 3.4e38)
      throw new UsageError(`--range of ${axis} is ${low} to ${high}, but data are between -3.4e38 and 3.4e38`);
    if (!hasLength(range[axis]))
      throw new UsageError(`--range of ${axis} is ${low} to ${high}, which is too short for axes: take a longer one`);
  }
}
