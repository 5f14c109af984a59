import { basename } from "node:path";
import { PushforwardError } from "../../src/errors.ts";
import { item } from "../../src/must.ts";
import { type SolverOptions, solverOf } from "../arguments.ts";
import type { ChosenConditions } from "../conditions.ts";
import { type Context, type GpuChoice, UsageError, withGpu } from "../context.ts";
import type { CsvChunk } from "../csv.ts";
import { shown as quoted } from "../csv-text.ts";
import { shown } from "../file-errors.ts";
import { columnNames, readModel } from "../model.ts";
import { count, rowsText, startCounter } from "../report.ts";
import { colourScale, type ScaleKind } from "./colour-scale.ts";
import type { Figure, Panel } from "./figure.ts";
import { densityPanel, type FlowView, fieldPanel, samplePoints, trajectories, withinTurns } from "./flow-panel.ts";
import { type Grid, positiveQuantile, type Range, toDensity } from "./grid.ts";
import { countOutside, type Frame, frameOf, histogram } from "./histogram.ts";

/** What has one column cannot be drawn. */
export const oneColumn = (name: string) =>
  new PushforwardError("invalid-argument", `${name} has one column, but a plot shows 2, x and y: give what has more`);

export const kinds = ["density", "scatter", "trajectories", "field"] as const;

/** How a picture is drawn, as the command line says it. */
export interface Drawing extends SolverOptions, ChosenConditions {
  at: number;
  paths: number;
  seed: number;
  kind: (typeof kinds)[number];
  bins?: number;
  scale: ScaleKind;
  range?: { x: Range; y: Range };
  trim: number;
  title?: string;
  width: number;
  aspect?: number;
}

export interface Table extends Omit<CsvChunk, "data"> {
  data: Float64Array;
  name: string;
  dim: number;
}

/** Cells along x: they shrink as the rows' cube root grows, the rate at which a histogram's error is least (Freedman and Diaconis 1981). */
function binsFor(tables: readonly Table[], { bins }: Drawing): number {
  const fewest = Math.min(...tables.map((table) => table.rows));
  return bins ?? Math.min(240, Math.max(40, Math.round(2.2 * Math.cbrt(fewest))));
}

/** What is drawn, and what the command tells of it: rows outside of the axes, and the flow's probability inside. */
interface Composed {
  readonly figure: Figure;
  readonly outside: number;
  readonly mass?: number | undefined;
}

const shapeOf = ({ trim, range, aspect }: Drawing) => ({ trim, ...(range && { range }), ...(aspect && { aspect }) });

const axesOf = (frame: Frame, [x, y]: readonly [string, string], { width, title, aspect }: Drawing) => ({
  x: { range: frame.x, label: x },
  y: { range: frame.y, label: y },
  panelWidth: width,
  ...(title && { title }),
  ...(aspect && { aspect }),
});

const outsideOf = (tables: readonly Table[], frame: Frame) =>
  tables.reduce((sum, table) => sum + countOutside(table, frame), 0);

const titleOf = ({ name, rows }: Table) => ({ title: name, detail: rowsText(rows) });

const colourOf = (grids: readonly Grid[], { scale }: Drawing) => ({
  colour: { scale: densityScale(grids, scale), label: "density" },
});

/** Tables, side by side. */
export function composeTables(tables: readonly Table[], o: Drawing): Composed {
  const frame = frameOf(tables, binsFor(tables, o), shapeOf(o));
  const label = (column: number) => [...new Set(tables.map(({ columns }) => item(columns, column)))].join(" / ");
  const axes = axesOf(frame, [label(0), label(1)], o);
  const outside = outsideOf(tables, frame);
  checkShown(tables, outside, o.range ? "--range" : "--trim");
  if (o.kind === "scatter")
    return { figure: { ...axes, panels: tables.map((table) => ({ ...titleOf(table), points: table })) }, outside };
  const grids = tables.map((table) => densityOf(table, frame, o.range !== undefined));
  const panels = tables.map((table, i) => ({ ...titleOf(table), grid: item(grids, i) }));
  return { figure: { ...axes, panels, ...colourOf(grids, o) }, outside };
}

/** A flow beside tables, with the same axes. */
export async function composeFlow(
  context: Context,
  path: string,
  tables: readonly Table[],
  o: Drawing & GpuChoice,
): Promise<Composed> {
  if (o.kind === "scatter")
    throw new UsageError("--kind scatter is of rows: draw a flow with --kind density, trajectories or field");
  const model = await readModel(path);
  const { dim } = model.options.velocity;
  if (dim < 2) throw oneColumn(shown(path));
  if (dim > 2 && o.kind !== "trajectories")
    throw new UsageError(
      `--kind ${o.kind} is of flows of 2 columns, but ${shown(path)} has ${dim}: draw --kind trajectories, or its samples`,
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
      const wide = frameOf(shownPoints, o.bins ?? 120, shapeOf(o));
      const range = o.kind === "density" && !o.range ? withinTurns(flow.transform, wide) : undefined;
      const frame = range ? frameOf(shownPoints, o.bins ?? 120, { ...shapeOf(o), range }) : wide;
      const density = o.kind === "density" ? await densityPanel(flow, view, frame) : undefined;
      const field = o.kind === "field" ? await fieldPanel(flow, view, frame) : undefined;
      const own = tables.length > 0 ? frameOf(tables, binsFor(tables, o), { ...shapeOf(o), range: frame }) : frame;
      const grids = tables.map((table) => densityOf(table, own, o.range !== undefined));
      const all = [...(density ? [density.grid] : []), ...grids];
      const names = columnNames(model, dim);
      const panel: Panel = {
        title: basename(path),
        detail: o.kind === "trajectories" ? `${count(o.paths)} trajectories` : `t = ${o.at}`,
        ...(density && { grid: density.grid, smooth: true }),
        ...(paths && { points: paths.points, lines: paths.lines, strong: o.paths <= 500 }),
        ...field,
      };
      const figure: Figure = {
        ...axesOf(frame, [item(names, 0), item(names, 1)], o),
        panels: [panel, ...tables.map((table, i) => ({ ...titleOf(table), grid: item(grids, i) }))],
        ...(all.length > 0 && colourOf(all, o)),
      };
      return { figure, outside: outsideOf(tables, frame), mass: density?.mass };
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
function densityScale(grids: readonly Grid[], kind: ScaleKind) {
  const values = Float64Array.from(grids.flatMap((grid) => Array.from(grid.values.filter((value) => value > 0))));
  const high = positiveQuantile(values, 0.9995) || 1;
  if (kind !== "log") return colourScale(kind, 0, high);
  // Just below the least density seen, so that a single point is told from none.
  const least = positiveQuantile(values, 0) || high / 10;
  return colourScale("log", Math.max(Math.min(least, high) / 2, high / 1e4), high);
}
