import {
  beginKernel,
  clearLengthKernel,
  compactKernel,
  gatherKernel,
  reportKernel,
  restoreKernel,
} from "../adaptive.ts";
import { controlKernel, stageKernel, startKernel } from "../adaptive-steps.ts";
import { conditionKernel } from "../condition.ts";
import { conditionRowsKernel } from "../condition-rows.ts";
import { exportKernel, importKernel } from "../import-export.ts";
import { judgeKernel } from "../judge.ts";
import { drawSourceKernel, finishLogProbKernel, sourceDensityKernel } from "../particles.ts";
import { drawProbesKernel } from "../probes.ts";
import { blockMeanKernel, blockProductsKernel, histogramKernel } from "../reductions.ts";
import { drawPartsKernel, mixtureDensityKernel } from "../source-parts.ts";
import { addStagesKernel, finishStepKernel, mixKernel, stageInputKernel } from "../stages.ts";
import { stochasticKernel } from "../stochastic.ts";
import { classColumnsKernel, tableInputsKernel, transposeTableKernel } from "../table-inputs.ts";
import { tangentDotKernel, tangentInputKernel } from "../tangents.ts";
import { addLogDeterminantKernel, exportBoundKernel, importBoundKernel, logDeterminantKernel } from "../transform.ts";
import type { Add } from "./entry.ts";

const pairs = {
  "order 3(2)": { order: 3, error: [-5 / 72, 1 / 12, 1 / 9, -1 / 8] },
  "order 5(4)": { order: 5, error: [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40] },
};

/** What surrounds the field: particles in and out, conditions, stages and tangents of layers, adaptive steps, sums over particles. */
export function solveKernels(add: Add): void {
  for (const affine of [false, true]) {
    add(`import particles${affine ? " in data units" : ""}`, () => importKernel({ affine }));
    add(`export particles${affine ? " in data units" : ""}`, () => exportKernel({ affine }));
  }
  add("import particles from a transform's space", () => importBoundKernel({}));
  add("export particles into a transform's space", () => exportBoundKernel({}));
  add("log-determinant of a transform", () => logDeterminantKernel({}));
  add("log-probability in a transform's space", () => addLogDeterminantKernel({}));
  for (const kind of ["gaussian", "uniform"] as const) {
    add(`draw ${kind} source`, () => drawSourceKernel({ kind }));
    add(`${kind} source log-density`, () => sourceDensityKernel({ kind }));
  }
  for (const kind of ["mixture", "samples"] as const) add(`draw ${kind} source`, () => drawPartsKernel({ kind }));
  add("mixture source log-density", () => mixtureDensityKernel({}));
  for (const stage of ["euler", "predict", "correct"] as const)
    for (const score of [false, true])
      add(`stochastic step, ${stage}${score ? ", by a score" : ""}`, () => stochasticKernel({ stage, score }));
  for (const kind of ["rademacher", "gaussian"] as const) add(`draw ${kind} probes`, () => drawProbesKernel({ kind }));
  for (const standardError of [false, true]) {
    add(`finish log-probability${standardError ? " with standard error" : ""}`, () =>
      finishLogProbKernel({ standardError }),
    );
  }
  for (const labels of [false, true]) {
    for (const context of [false, true]) {
      const what = `${labels ? "labels" : "no labels"}, ${context ? "context" : "no context"}`;
      add(`condition the first layer, ${what}`, () => conditionKernel({ labels, context }));
      add(`condition rows, ${what}`, () => conditionRowsKernel({ labels, context }));
    }
  }
  for (const previous of [0, 1, 2, 3, 5, 6]) {
    add(`stage input after ${previous}`, () => stageInputKernel({ previous, times: false }));
    add(`finish step of ${previous + 1}`, () => finishStepKernel({ stages: previous + 1 }));
  }
  for (const stages of [1, 7]) add(`stage input, ${stages} more`, () => addStagesKernel({ stages }));
  add("stage input with a time per particle", () => stageInputKernel({ previous: 0, times: true }));
  for (const classes of [0, 3])
    add(`inputs of a table, ${classes} classes`, () => tableInputsKernel({ stages: 2, classes }));
  add("columns of a table", () => transposeTableKernel({}));
  for (const labels of [false, true])
    add(`columns of classes, ${labels ? "" : "no "}labels`, () => classColumnsKernel({ labels }));
  for (const flag of [false, true]) {
    add(`guidance mix, ${flag ? "add" : "begin"}`, () => mixKernel({ add: flag }));
    add(`tangent input, ${flag ? "basis" : "probes"}`, () => tangentInputKernel({ basis: flag }));
    for (const each of [false, true])
      add(`tangent dot, ${flag ? "basis" : "probes"}, ${each ? "each" : "sum"}`, () =>
        tangentDotKernel({ basis: flag, each }),
      );
  }

  for (const [pair, { order, error }] of Object.entries(pairs)) {
    const stages = error.length;
    for (const tracks of [false, true]) {
      const how = `${pair}${tracks ? " with log p" : ""}`;
      add(`adaptive steps of ${how}, begin`, () => beginKernel({ based: tracks, stages }));
      add(`adaptive steps of ${how}, probe the first step`, () =>
        startKernel({ tracks, part: "probe", stages, order }),
      );
      add(`adaptive steps of ${how}, size of the first step`, () =>
        startKernel({ tracks, part: "size", stages, order }),
      );
      add(`adaptive steps of ${how}, stage`, () => stageKernel({ tracks, stages }));
      add(`adaptive steps of ${how}, error control`, () => controlKernel({ tracks, order, error }));
      add(`adaptive steps of ${how}, restore`, () => restoreKernel({ tracks, stages }));
    }
    add(`adaptive steps of ${pair}, particles still at work`, () => compactKernel({ stages }));
    add(`adaptive steps of ${pair}, report`, () => reportKernel({ stages }));
  }
  add("adaptive steps, clear a length", () => clearLengthKernel({}));
  add("adaptive steps, gather", () => gatherKernel({}));

  for (const status of [false, true]) {
    add(`judge rows${status ? " of an adaptive solve" : ""}`, () =>
      judgeKernel({ logProb: true, status, marks: false }),
    );
    add(`mark rows${status ? " of an adaptive solve" : ""}`, () =>
      judgeKernel({ logProb: false, status, marks: true }),
    );
  }
  add("block means", () => blockMeanKernel({}));
  add("block products", () => blockProductsKernel({}));
  add("histogram", () => histogramKernel({ bins: 0 }));
  add("histogram with local bins", () => histogramKernel({ bins: 12 }));
}
