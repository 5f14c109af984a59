import { basename } from "node:path";
import type { Readable } from "node:stream";
import { Command, Option } from "commander";
import { PushforwardError } from "../../src/errors.ts";
import { decimalWithin, nameList, rangePair, wholeNumber } from "../arguments.ts";
import { besideOutput, type Context, printResult } from "../context.ts";
import { type CsvChunk, readCsv } from "../csv.ts";
import { claimOutputs, writeOutput } from "../outputs.ts";
import { colourScale, type ScaleKind } from "../plot/colour-scale.ts";
import { type Figure, type Panel, renderFigure } from "../plot/figure.ts";
import { countPoints, emptyGrid, fitRange, type Grid, positiveQuantile, type Range, toDensity } from "../plot/grid.ts";
import { count } from "../report.ts";
import type { Target } from "../targets.ts";
import { options } from "./shared-options.ts";

interface PlotOptions {
  output: string;
  columns?: string[];
  kind: "density" | "scatter";
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

const examples = `
Several files become panels side by side, with the same axes and one colour scale. Colours show an estimate of the
density, count / (rows · cell area), so files of different length can be compared. Needs the package @napi-rs/canvas.

Examples:
  pushforward plot samples.csv -o samples.png
  pushforward plot places.csv samples.csv --columns longitude,latitude -o both.png --scale log --aspect 1.28
  pushforward plot places.csv --columns longitude,latitude --kind scatter -o dots.png
  pushforward plot samples.csv -o zoom.png --range -75,-73,40,42 --bins 300`;

export function plotCommand(context: Context): Command {
  return new Command("plot")
    .description("Draw two columns of CSV files as a density heat map or as dots, into a PNG.")
    .argument("<data.csv...>", "CSV files, or - for stdin")
    .requiredOption("-o, --output <file>", "PNG to write")
    .option("-c, --columns <names>", "two columns, x and y, with a comma between; default: the first two", nameList)
    .addOption(new Option("--kind <kind>", "what is drawn").choices(["density", "scatter"]).default("density"))
    .option("--bins <count>", "cells along x; default: more for more rows, 40 to 240", wholeNumber(1))
    .addOption(
      new Option("--scale <kind>", "how density becomes colour").choices(["log", "sqrt", "linear"]).default("sqrt"),
    )
    .option("--range <x0,x1,y0,y1>", "what the axes show; default: all points", rangePair)
    .option(
      "--trim <share>",
      "leave this share of the farthest points at each end out of the default range",
      decimalWithin(0, 0.5, "[)"),
      0,
    )
    .option("--title <text>", "above the panels")
    .option("--width <pixels>", "of one panel; the PNG has twice as many", wholeNumber(50), 420)
    .option(
      "--aspect <ratio>",
      "length of a unit of y over a unit of x; default: square panels",
      decimalWithin(0, 1e6, "()"),
    )
    .addOption(options.skipInvalid())
    .addOption(options.header())
    .addOption(options.noHeader())
    .addOption(options.delimiter())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((files: string[], o: PlotOptions) => plot(context, files, o));
}

interface Table extends Omit<CsvChunk, "data"> {
  data: Float32Array;
  name: string;
}

async function plot(context: Context, files: readonly string[], o: PlotOptions): Promise<void> {
  if (o.columns && o.columns.length !== 2) {
    throw new PushforwardError(
      "invalid-argument",
      `--columns names ${o.columns.length} columns, but a plot shows 2: x and y`,
    );
  }
  const inputs = files.map((file) => ({ name: "the data", path: file }));
  const outputs = [{ name: "--output", path: o.output, binary: true }];
  const [target] = (await claimOutputs(context, outputs, inputs)) as [Target]; // One for the one asked for.
  const tables: Table[] = [];
  for (const file of files) {
    const table = await readCsv(file === "-" ? (context.stdin as Readable) : file, {
      ...(o.columns && { columns: o.columns }),
      delimiter: o.delimiter,
      header: o.header,
      reader: "pushforward plot -",
      skipInvalid: o.skipInvalid,
      signal: context.signal,
    });
    if (table.columns.length < 2) {
      throw new PushforwardError("invalid-argument", `${file} has one column, but a plot shows 2: x and y`);
    }
    tables.push({ ...table, data: Float32Array.from(table.data), name: file === "-" ? "stdin" : basename(file) });
  }
  const { figure, outside } = compose(tables, o);
  await writeOutput(context, target, await renderFigure(figure));
  const rows = tables.reduce((sum, table) => sum + table.rows, 0);
  const skipped = tables.reduce((sum, table) => sum + table.skipped, 0);
  printResult(besideOutput(context, target), o.json, { output: o.output, rows, outside, skipped }, [
    `wrote ${o.output}: ${count(rows)} rows` +
      (outside > 0 ? `, ${count(outside)} of them outside the axes` : "") +
      (skipped > 0 ? `, ${count(skipped)} incomplete rows left out` : ""),
  ]);
}

function compose(tables: readonly Table[], o: PlotOptions): { figure: Figure; outside: number } {
  const [x, y] = o.range ? [o.range.x, o.range.y] : sharedRange(tables, o.trim);
  const [first] = tables as [Table]; // Commander asks for at least one file.
  const style = {
    x: { range: x, label: first.columns[0] ?? "x" },
    y: { range: y, label: first.columns[1] ?? "y" },
    panelWidth: o.width,
    ...(o.title && { title: o.title }),
    ...(o.aspect && { aspect: o.aspect }),
  };
  const shape = o.aspect ? ((y[1] - y[0]) * o.aspect) / (x[1] - x[0]) : 1;
  // Cells shrink as the rows' cube root grows, the rate at which a histogram's error is least (Freedman and Diaconis 1981).
  const fewest = Math.min(...tables.map((table) => table.rows));
  const bins = o.bins ?? Math.min(240, Math.max(40, Math.round(2.2 * Math.cbrt(fewest))));
  const counted = tables.map((table) => {
    const grid = emptyGrid(bins, Math.max(1, Math.round(bins * shape)), x, y);
    const outside = countPoints(grid, { data: table.data, dim: table.columns.length });
    return { table, outside, grid: toDensity(grid, table.rows) };
  });
  const outside = counted.reduce((sum, part) => sum + part.outside, 0);
  const title = (table: Table) => `${table.name} · ${count(table.rows)} rows`;
  if (o.kind === "scatter") {
    const panels: Panel[] = tables.map((table) => ({
      title: title(table),
      points: { data: table.data, dim: table.columns.length },
    }));
    return { figure: { ...style, panels }, outside };
  }
  const panels = counted.map(({ table, grid }) => ({ title: title(table), grid }));
  const grids = counted.map(({ grid }) => grid);
  return { figure: { ...style, panels, colour: { scale: densityScale(grids, o.scale), label: "density" } }, outside };
}

function sharedRange(tables: readonly Table[], trim: number): [Range, Range] {
  const ranges = tables.map((table) => fitRange({ data: table.data, dim: table.columns.length }, trim));
  const join = (axis: "x" | "y"): Range => [
    Math.min(...ranges.map((range) => range[axis][0])),
    Math.max(...ranges.map((range) => range[axis][1])),
  ];
  return [join("x"), join("y")];
}

/** One scale for all panels, up to the densest cell but for the very densest, which would pale the rest. */
export function densityScale(grids: readonly Grid[], kind: ScaleKind) {
  const values = Float64Array.from(grids.flatMap((grid) => Array.from(grid.values)));
  const high = positiveQuantile(values, 0.9995) || 1;
  if (kind !== "log") return colourScale(kind, 0, high);
  // Just below the least density seen, so that a single point is told from none.
  const least = positiveQuantile(values, 0) || high / 10;
  return colourScale("log", Math.max(Math.min(least, high) / 2, high / 1e4), high);
}
