import { batchKernel } from "../flow-matching.ts";
import { givenBatchKernel } from "../given-batch.ts";
import { combineKernel, drawRowsKernel, sourceScoreKernel } from "../likelihood-training.ts";
import { muonMomentumKernel, muonNormKernel, muonProductKernel, muonStepKernel } from "../muon.ts";
import { adamKernel, reduceGradientKernel, sumKernel } from "../optimizer.ts";
import { residualKernel } from "../residual.ts";
import { shortcutMiddleKernel, shortcutStartKernel, shortcutTargetKernel } from "../shortcut.ts";
import { drawPairsKernel, groupPointsKernel, planFiguresKernel, sinkhornKernel } from "../sinkhorn.ts";
import {
  determinantAdjointKernel,
  stageMatrixKernel,
  stepDeterminantKernel,
  stepJacobianKernel,
} from "../step-jacobian.ts";
import { penaliseKernel, tangentEndsKernel } from "../tangent-ends.ts";
import type { Add } from "./entry.ts";

const plain = {
  pairs: false,
  table: false,
  weighted: false,
  bridge: false,
  stratified: false,
  circular: false,
  draws: false,
  shuffled: false,
};

/** Batches, likelihoods backward, pairs, and what follows a gradient. */
export function trainingKernels(add: Add): void {
  for (const labels of [false, true])
    for (const context of [false, true])
      for (const draws of [false, true])
        add(
          `draw rows${draws ? " by shares, with noise," : ""}${labels ? " with labels" : ""}${context ? " with context" : ""}`,
          () => drawRowsKernel({ labels, context, draws, shuffled: false }),
        );
  add("draw rows of shuffled passes", () =>
    drawRowsKernel({ labels: false, context: false, draws: false, shuffled: true }),
  );
  add("draw rows of shuffled passes, with noise", () =>
    drawRowsKernel({ labels: true, context: false, draws: true, shuffled: true }),
  );
  for (const kind of ["gaussian", "uniform", "mixture"] as const)
    add(`score of a ${kind} source`, () => sourceScoreKernel({ kind }));
  for (const terms of [0, 1, 2, 3, 4]) add(`combine ${terms} rows`, () => combineKernel({ terms, add: false }));
  add("combine 7 rows and what is there", () => combineKernel({ terms: 7, add: true }));
  for (const previous of [0, 1, 7])
    add(`matrix of tangents after ${previous} stages`, () => stageMatrixKernel({ previous, add: false }));
  add("matrix of tangents, 7 stages more", () => stageMatrixKernel({ previous: 7, add: true }));
  for (const dim of [1, 2, 3]) {
    for (const [begin, end] of [
      [true, true],
      [true, false],
      [false, true],
    ] as const)
      add(`Jacobian of a step of dim ${dim}${begin ? "" : ", more"}${end ? "" : ", begun"}`, () =>
        stepJacobianKernel({ dim, stages: 2, begin, end }),
      );
    for (const begin of [true, false])
      add(`determinant of a step of dim ${dim}, ${begin ? "the first" : "added"}`, () =>
        stepDeterminantKernel({ dim, begin }),
      );
    add(`adjoint of a determinant of dim ${dim}`, () => determinantAdjointKernel({ dim }));
  }
  for (const basis of [true, false])
    add(`ends of ${basis ? "basis" : "probe"} tangents`, () => tangentEndsKernel({ basis }));

  add("penalties of a pass", () => penaliseKernel({}));
  for (const source of ["gaussian", "uniform", "mixture", "samples"] as const) {
    for (const labels of [false, true]) {
      add(`flow-matching batch, ${source} source${labels ? ", labels and context" : ""}`, () =>
        batchKernel({ source, labels, context: labels, ...plain }),
      );
      add(`flow-matching batch of a path by table, ${source} source${labels ? ", labels and context" : ""}`, () =>
        batchKernel({ source, labels, context: labels, ...plain, table: true }),
      );
      add(
        `flow-matching batch with weights and stratified times, ${source} source${labels ? ", labels and context" : ""}`,
        () => batchKernel({ source, labels, context: labels, ...plain, table: true, weighted: true, stratified: true }),
      );
      add(
        `flow-matching batch of rows with shares and noise, ${source} source${labels ? ", labels and context" : ""}`,
        () =>
          batchKernel({
            source,
            labels,
            context: labels,
            ...plain,
            stratified: !labels,
            table: labels,
            draws: true,
            shuffled: labels,
          }),
      );
      add(`flow-matching batch of bridges, ${source} source${labels ? ", labels and context" : ""}`, () =>
        batchKernel({ source, labels, context: labels, ...plain, table: true, weighted: true, bridge: true }),
      );
      add(`flow-matching batch on circles, ${source} source${labels ? ", labels and context" : ""}`, () =>
        batchKernel({ source, labels, context: labels, ...plain, table: labels, bridge: labels, circular: true }),
      );
      add(`flow-matching batch of pairs, ${source} source${labels ? ", labels and context" : ""}`, () =>
        batchKernel({ source, labels, context: labels, ...plain, table: labels, draws: labels, pairs: true }),
      );
    }
  }
  for (const labels of [false, true]) {
    const given = { source: "samples", labels, context: labels, ...plain, rowByRow: true } as const;
    const how = labels ? ", labels and context" : "";
    add(`flow-matching batch of given pairs${how}`, () =>
      batchKernel({ ...given, table: labels, weighted: labels, draws: labels }),
    );
    add(`flow-matching batch of given steps${how}`, () =>
      batchKernel({ ...given, ofSteps: true, shuffled: labels, draws: labels }),
    );
  }
  for (const pairs of [false, true])
    add(`flow-matching batch of samples that were brought${pairs ? ", in pairs" : ""}`, () =>
      batchKernel({ source: "samples", labels: pairs, context: pairs, ...plain, pairs, placed: true }),
    );
  add("shortcut, first half", () => shortcutStartKernel({}));
  add("shortcut, second half", () => shortcutMiddleKernel({}));
  add("shortcut, target", () => shortcutTargetKernel({}));
  for (const weighted of [false, true]) {
    const how = weighted ? " with weights" : "";
    add(`given flow-matching batch${how}`, () => givenBatchKernel({ path: false, weighted, bridge: false }));
    add(`given flow-matching batch of a path${how}`, () => givenBatchKernel({ path: true, weighted, bridge: false }));
    add(`given flow-matching batch of bridges${how}`, () => givenBatchKernel({ path: true, weighted, bridge: true }));
    add(`flow-matching residual${how}`, () => residualKernel({ weighted }));
  }
  for (const source of ["gaussian", "uniform", "mixture", "samples"] as const) {
    const has = source === "uniform" || source === "samples";
    add(`points of a group, ${source} source`, () =>
      groupPointsKernel({ source, labels: has, context: has, draws: has, shuffled: !has }),
    );
  }
  add("points of a group, of samples that were brought", () =>
    groupPointsKernel({
      source: "samples",
      labels: false,
      context: false,
      draws: false,
      shuffled: false,
      placed: true,
    }),
  );
  for (const width of [2, 5, 20]) {
    add(`half a step of Sinkhorn's algorithm, width ${width}`, () => sinkhornKernel({ width }));
    add(`pairs from a plan, width ${width}`, () => drawPairsKernel({ width, dim: Math.min(width, 4) }));
  }
  add("figures of a plan", () => planFiguresKernel({}));
  for (const flag of [false, true]) {
    add(flag ? "add to a sum" : "sum", () => sumKernel({ add: flag }));
    add(`reduce gradient${flag ? " with its norm" : ""}`, () =>
      reduceGradientKernel({ norm: flag, adds: false, freezes: false }),
    );
    for (const ema of [false, true]) {
      add(`adam${flag ? " with clipping" : ""}${ema ? " and moving average" : ""}`, () =>
        adamKernel({ clip: flag, ema, passes: false, sums: false, packs: 0 }),
      );
    }
    add(`muon momentum${flag ? " with clipping" : ""}`, () => muonMomentumKernel({ clip: flag }));
    add(`muon step${flag ? " with a moving average" : ""}`, () => muonStepKernel({ ema: flag }));
  }
  add("adam of some parameters", () => adamKernel({ clip: false, ema: true, passes: true, sums: false, packs: 0 }));
  add("adam of a gradient in parts, with two packings", () =>
    adamKernel({ clip: false, ema: true, passes: false, sums: true, packs: 2 }),
  );
  add("adam of some parameters and a gradient in parts, with two packings", () =>
    adamKernel({ clip: false, ema: false, passes: true, sums: true, packs: 2 }),
  );
  add("reduce gradient of a part of a batch, some of it frozen, with its norm", () =>
    reduceGradientKernel({ norm: true, adds: true, freezes: true }),
  );
  add("muon norm", () => muonNormKernel({}));
  for (const product of ["gram", "polynomial", "apply"] as const)
    add(`muon ${product}`, () => muonProductKernel({ product, workgroupSize: 16 }));
}
