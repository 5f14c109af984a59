import { basename, extname } from "node:path";
import type { Readable } from "node:stream";
import { Command, Option } from "commander";
import { PushforwardError } from "../../src/errors.ts";
import { item } from "../../src/must.ts";
import { decimalWithin, nameList, rangePair, type SolverOptions, solverOf, wholeNumber } from "../arguments.ts";
import type { ChosenConditions } from "../conditions.ts";
import { besideOutput, type Context, type GpuChoice, printResult, UsageError, withGpu } from "../context.ts";
import { type CsvChunk, readCsv } from "../csv.ts";
import { shown as quoted } from "../csv-text.ts";
import { shown } from "../file-errors.ts";
import { columnNames, readModel } from "../model.ts";
import { claimOutputs, writeOutput } from "../outputs.ts";
import { loadCanvas } from "../plot/canvas.ts";
import { colourScale, type ScaleKind } from "../plot/colour-scale.ts";
import { type Figure, type Panel, renderFigure } from "../plot/figure.ts";
import { densityPanel, type FlowView, fieldPanel, samplePoints, trajectories } from "../plot/flow-panel.ts";
import { type Grid, hasLength, positiveQuantile, type Range, toDensity } from "../plot/grid.ts";
import { countOutside, type Frame, frameOf, histogram, mostBins } from "../plot/histogram.ts";
import { count, rowsText, startCounter } from "../report.ts";
import type { Target } from "../targets.ts";
import { addOptions, groups, options } from "./shared-options.ts";

interface PlotOptions extends GpuChoice, SolverOptions, ChosenConditions {
  output: string;
  at: number;
  paths: number;
  seed: number;
  columns?: string[];
  kind: (typeof kinds)[number];
  bins?: number;
  scale: ScaleKind;
  range?: { x: Range; y: Range };
  trim: number;
  title?: string;
  width: number;
  aspect?: number;
  delimiter: string;
  header?: boolean;
  skipInvalid: boolean;
  json: boolean;
}

const kinds = ["density", "scatter", "trajectories", "field"] as const;

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

interface Table extends Omit<CsvChunk, "data"> {
  data: Float64Array;
  name: string;
  dim: number;
}

/** Options that only some kinds of pictures heed. */
const onlyOf: Readonly<Record<string, readonly PlotOptions["kind"][]>> = {
  at: ["density", "field"],
  paths: ["trajectories"],
};

function checkKind({ kind }: PlotOptions, command: Command): void {
  for (const [name, needed] of Object.entries(onlyOf))
    if (command.getOptionValueSource(name) === "cli" && !needed.includes(kind))
      throw new UsageError(
        `--${name} is for --kind ${needed.join(" or ")}, but --kind is ${kind}: leave it out, or choose that`,
      );
}

async function plot(context: Context, files: readonly string[], o: PlotOptions, command: Command): Promise<void> {
  if (o.columns && o.columns.length !== 2) {
    throw new PushforwardError(
      "invalid-argument",
      `--columns names ${o.columns.length} columns, but a plot shows 2: x and y`,
    );
  }
  if (o.range) checkRange(o.range);
  checkKind(o, command);
  const inputs = files.map((file) => ({ name: isFlow(file) ? "the flow" : "the data", path: file }));
  const outputs = [{ name: "--output", path: o.output, binary: true }];
  const [target] = (await claimOutputs(context, outputs, inputs)) as [Target]; // One for the one asked for.
  if (target.kind === "file") checkEnding(o.output);
  const flows = files.filter(isFlow);
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
    path === undefined ? { ...compose(tables, o), mass: undefined } : await composeFlow(context, path, tables, o);
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
    const table = await readCsv(file === "-" ? (context.stdin as Readable) : file, {
      ...(o.columns && { columns: o.columns }),
      delimiter: o.delimiter,
      header: o.header,
      first: 2,
      reader: "pushforward plot -",
      skipInvalid: o.skipInvalid,
      signal: context.signal,
    });
    const name = file === "-" ? "stdin" : shown(file);
    if (table.columns.length < 2) {
      throw new PushforwardError("invalid-argument", `${name} has one column, but a plot shows 2: x and y`);
    }
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

/** Cells along x: they shrink as the rows' cube root grows, the rate at which a histogram's error is least (Freedman and Diaconis 1981). */
function binsFor(tables: readonly Table[], { bins }: PlotOptions): number {
  const fewest = Math.min(...tables.map((table) => table.rows));
  return bins ?? Math.min(240, Math.max(40, Math.round(2.2 * Math.cbrt(fewest))));
}

function compose(tables: readonly Table[], o: PlotOptions): { figure: Figure; outside: number } {
  const frame = frameOf(tables, binsFor(tables, o), {
    trim: o.trim,
    ...(o.range && { range: o.range }),
    ...(o.aspect && { aspect: o.aspect }),
  });
  const label = (column: number) => [...new Set(tables.map(({ columns }) => item(columns, column)))].join(" / ");
  const style = {
    x: { range: frame.x, label: label(0) },
    y: { range: frame.y, label: label(1) },
    panelWidth: o.width,
    ...(o.title && { title: o.title }),
    ...(o.aspect && { aspect: o.aspect }),
  };
  const outside = tables.reduce((sum, table) => sum + countOutside(table, frame), 0);
  checkShown(tables, outside, o.range ? "--range" : "--trim");
  const title = ({ name, rows }: Table) => ({ title: name, detail: rowsText(rows) });
  if (o.kind === "scatter") {
    const panels: Panel[] = tables.map((table) => ({ ...title(table), points: table }));
    return { figure: { ...style, panels }, outside };
  }
  const grids = tables.map((table) => densityOf(table, frame, o.range !== undefined));
  const panels = tables.map((table, i) => ({ ...title(table), ...(grids[i] && { grid: grids[i] }) }));
  return { figure: { ...style, panels, colour: { scale: densityScale(grids, o.scale), label: "density" } }, outside };
}

/** A flow beside tables, with the same axes. */
async function composeFlow(
  context: Context,
  path: string,
  tables: readonly Table[],
  o: PlotOptions,
): Promise<{ figure: Figure; outside: number; mass: number | undefined }> {
  if (o.kind === "scatter")
    throw new UsageError("--kind scatter is of rows: draw a flow with --kind density, trajectories or field");
  const model = await readModel(path);
  const { dim } = model.options.velocity;
  if (dim < 2)
    throw new PushforwardError("invalid-argument", `${shown(path)} has one column, but a plot shows 2: x and y`);
  if (dim > 2 && o.kind === "density")
    throw new UsageError(
      `--kind density is of flows of 2 columns, but ${shown(path)} has ${dim}: draw its samples, or --kind trajectories`,
    );
  const progress = startCounter(context, "cells solved:");
  const view: FlowView = {
    solver: solverOf(o),
    chosen: o,
    conditions: model.conditions,
    at: o.at,
    count: o.paths,
    seed: o.seed,
    signal: context.signal,
    onProgress: ({ done }) => progress.update(done),
  };
  return withGpu(o, async (gpu) => {
    const { Flow } = await import("pushforward");
    const flow = Flow.create(gpu, model.options);
    try {
      const paths = o.kind === "trajectories" ? await trajectories(flow, view) : undefined;
      const shownPoints = [
        ...tables,
        ...(paths ? [paths.all] : tables.length === 0 ? [await samplePoints(flow, view, 4000)] : []),
      ];
      const frame = frameOf(shownPoints, o.bins ?? 120, {
        trim: o.trim,
        ...(o.range && { range: o.range }),
        ...(o.aspect && { aspect: o.aspect }),
      });
      const density = o.kind === "density" ? await densityPanel(flow, view, frame) : undefined;
      const field = o.kind === "field" ? await fieldPanel(flow, view, frame) : undefined;
      const own =
        tables.length > 0
          ? frameOf(tables, binsFor(tables, o), { range: frame, ...(o.aspect && { aspect: o.aspect }) })
          : frame;
      const grids = [
        ...(density ? [density.grid] : []),
        ...tables.map((table) => densityOf(table, own, o.range !== undefined)),
      ];
      const names = columnNames(model, dim);
      const detail = o.kind === "trajectories" ? `${count(o.paths)} trajectories` : `t = ${o.at}`;
      const panel: Panel = {
        title: basename(path),
        detail,
        ...(density && { grid: density.grid, smooth: true }),
        ...(paths && { points: paths.points, lines: paths.lines, strong: o.paths <= 500 }),
        ...field,
      };
      const figure: Figure = {
        x: { range: frame.x, label: item(names, 0) },
        y: { range: frame.y, label: item(names, 1) },
        panelWidth: o.width,
        ...(o.title && { title: o.title }),
        ...(o.aspect && { aspect: o.aspect }),
        panels: [
          panel,
          ...tables.map((table, i) => ({
            title: table.name,
            detail: rowsText(table.rows),
            grid: item(grids, (density ? 1 : 0) + i),
          })),
        ],
        ...(grids.length > 0 && { colour: { scale: densityScale(grids, o.scale), label: "density" } }),
      };
      const outside = tables.reduce((sum, table) => sum + countOutside(table, frame), 0);
      return { figure, outside, mass: density?.mass };
    } finally {
      progress.stop();
      flow.dispose();
    }
  });
}

function checkShown(tables: readonly Table[], outside: number, option: string): void {
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  if (outside < rows) return;
  const other = option === "--range" ? "take one that holds some" : "take a smaller share";
  throw new PushforwardError(
    "invalid-argument",
    `${option} leaves out all of ${rowsText(rows)}: ${other}, or leave ${option} out to see all`,
  );
}

function densityOf(table: Table, frame: Frame, isFixed: boolean): Grid {
  const density = toDensity(histogram(table, frame, isFixed).grid, table.rows);
  if (density.values.every(Number.isFinite)) return density;
  throw new PushforwardError(
    "invalid-argument",
    `columns ${table.columns.slice(0, 2).map(quoted).join(" and ")} of ${table.name} have values so small that their density is beyond the range of f64: take them in a smaller unit, or --kind scatter`,
  );
}

/** One scale for all panels, up to the densest cell but for the very densest, which would pale the rest. */
export function densityScale(grids: readonly Grid[], kind: ScaleKind) {
  const values = Float64Array.from(grids.flatMap((grid) => Array.from(grid.values.filter((value) => value > 0))));
  const high = positiveQuantile(values, 0.9995) || 1;
  if (kind !== "log") return colourScale(kind, 0, high);
  // Just below the least density seen, so that a single point is told from none.
  const least = positiveQuantile(values, 0) || high / 10;
  return colourScale("log", Math.max(Math.min(least, high) / 2, high / 1e4), high);
}
