import { type MlpVelocity, mlp } from "../src/network/mlp.ts";
import type { NetworkVelocity } from "../src/network/network.ts";
import { networkOf } from "../src/network/of.ts";
import { residualMlp } from "../src/network/residual-mlp.ts";
import {
  beginKernel,
  clearLengthKernel,
  compactKernel,
  gatherKernel,
  reportKernel,
  restoreKernel,
} from "./adaptive.ts";
import { controlKernel, stageKernel, startKernel } from "./adaptive-steps.ts";
import { conditionKernel } from "./condition.ts";
import { conditionRowsKernel } from "./condition-rows.ts";
import { type DenseTile, denseKernel, plainTile, stagedTile } from "./dense.ts";
import type { DivergenceText, FusedField } from "./field.ts";
import { batchKernel, givenBatchKernel, residualKernel } from "./flow-matching.ts";
import { FusedNetwork } from "./fused-network.ts";
import { heldDenseKernel } from "./held-dense.ts";
import { exportKernel, importKernel } from "./import-export.ts";
import { evaluateKernel, integrateKernel } from "./integrate.ts";
import { judgeKernel } from "./judge.ts";
import type { Kernel } from "./kernel.ts";
import { combineKernel, drawRowsKernel, sourceScoreKernel } from "./likelihood-training.ts";
import { muonMomentumKernel, muonNormKernel, muonProductKernel, muonStepKernel } from "./muon.ts";
import { halfRun } from "./narrow-mlp.ts";
import { adamKernel, reduceGradientKernel, sumKernel } from "./optimizer.ts";
import { packKernel } from "./pack.ts";
import { drawSourceKernel, finishLogProbKernel, sourceDensityKernel } from "./particles.ts";
import { drawProbesKernel } from "./probes.ts";
import { blockMeanKernel, blockProductsKernel, histogramKernel } from "./reductions.ts";
import { residentGradientKernel } from "./resident-gradient.ts";
import type { ClusterShape } from "./rows.ts";
import { shortcutMiddleKernel, shortcutStartKernel, shortcutTargetKernel } from "./shortcut.ts";
import { drawPairsKernel, groupPointsKernel, planFiguresKernel, sinkhornKernel } from "./sinkhorn.ts";
import { drawPartsKernel, mixtureDensityKernel } from "./source-parts.ts";
import { addStagesKernel, finishStepKernel, mixKernel, stageInputKernel } from "./stages.ts";
import {
  determinantAdjointKernel,
  jacobianTexts,
  stageMatrixKernel,
  stepDeterminantKernel,
  stepJacobianKernel,
} from "./step-jacobian.ts";
import { stochasticKernel } from "./stochastic.ts";
import { subgroupRowsKernel } from "./subgroup-rows.ts";
import { classColumnsKernel, tableInputsKernel } from "./table-inputs.ts";
import { penaliseKernel, tangentEndsKernel } from "./tangent-ends.ts";
import { tangentDotKernel, tangentInputKernel } from "./tangents.ts";
import { evaluateTileKernel, integrateTileKernel } from "./tile.ts";
import { passKernel, productKernel, ReverseNetwork, reverseKernel } from "./tile-reverse.ts";
import type { Tiling } from "./tiling.ts";
import { addLogDeterminantKernel, exportBoundKernel, importBoundKernel, logDeterminantKernel } from "./transform.ts";
import { type Drawing, particleDrawing, reliefDrawing } from "./view.ts";
import { weightGradientKernel } from "./weight-gradient.ts";

/** One shader that the library can generate, under the name that `npm run shaders -- <name>` prints it by. */
export interface CatalogEntry {
  readonly name: string;
  readonly kernel: () => Kernel;
}

const activations = ["silu", "tanh", "softplus", "gelu", "elu", "relu", "sin"];

const tilings: Record<string, Tiling> = {
  gpu: { lanes: 1, groups: 1, outputs: 4, gather: 0, space: "uniform", keep: "array", workgroupSize: 64 },
  "gpu storage": { lanes: 1, groups: 1, outputs: 4, gather: 0, space: "storage", keep: "array", workgroupSize: 64 },
  swiftshader: { lanes: 4, groups: 2, outputs: 2, gather: 4, space: "uniform", keep: "array", workgroupSize: 32 },
  "swiftshader without subgroups": {
    lanes: 4,
    groups: 2,
    outputs: 2,
    gather: 0,
    space: "uniform",
    keep: "array",
    workgroupSize: 32,
  },
  "swiftshader tangents": {
    lanes: 4,
    groups: 1,
    outputs: 2,
    gather: 4,
    space: "storage",
    keep: "array",
    workgroupSize: 32,
  },
  lavapipe: { lanes: 4, groups: 1, outputs: 2, gather: 8, space: "uniform", keep: "rotate", workgroupSize: 32 },
  "lavapipe tangents": {
    lanes: 2,
    groups: 1,
    outputs: 4,
    gather: 8,
    space: "uniform",
    keep: "rotate",
    workgroupSize: 32,
  },
};

const network: FusedField = {
  kind: "mlp",
  dim: 2,
  layers: 2,
  width: 32,
  activation: "silu",
  fourier: 0,
  conditioned: false,
};
const rotation: FusedField = {
  kind: "wgsl",
  dim: 2,
  code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }
fn divergence(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
};
const fields: Record<string, FusedField> = {
  mlp: network,
  "mlp of one layer": { ...network, layers: 1 },
  "mlp of dim 5 with fourier time": { ...network, dim: 5, fourier: 3 },
  "conditional mlp": { ...network, conditioned: true },
};
const divergences: Record<string, DivergenceText> = {
  none: { mode: "none" },
  exact: { mode: "exact", perPass: 2 },
  hutchinson: { mode: "probes", perPass: 1 },
};
/** Stages and whether one of them has no weight, per method of the same shape. */
const methods: Record<string, { stages: number; freeStages: boolean }> = {
  euler: { stages: 1, freeStages: false },
  midpoint: { stages: 2, freeStages: true },
  heun2: { stages: 2, freeStages: false },
  heun3: { stages: 3, freeStages: true },
  ssprk3: { stages: 3, freeStages: false },
  rk4: { stages: 4, freeStages: false },
  "six stages": { stages: 6, freeStages: true },
};

const gpu = tilings.gpu as Tiling;
const entries: CatalogEntry[] = [];
const add = (name: string, kernel: () => Kernel) => entries.push({ name, kernel });

for (const [method, shape] of Object.entries(methods)) {
  for (const [how, divergence] of Object.entries(divergences)) {
    add(`${method} step, divergence ${how}`, () =>
      integrateKernel({ field: network, tiling: gpu, ...shape, divergence }),
    );
  }
}
const steps = { mode: "discrete", perPass: 2, texts: jacobianTexts } as const;
for (const [method, { stages }] of Object.entries(methods))
  add(`${method} step and its Jacobian`, () =>
    integrateKernel({ field: network, tiling: gpu, stages, freeStages: false, divergence: steps }),
  );
for (const [how, divergence] of Object.entries(divergences)) {
  add(`midpoint step that keeps its first stage, divergence ${how}`, () =>
    integrateKernel({ field: network, tiling: gpu, stages: 2, freeStages: true, keeps: true, divergence }),
  );
}
for (const [name, field] of Object.entries(fields)) {
  for (const [how, divergence] of Object.entries(divergences)) {
    add(`midpoint step of a ${name}, divergence ${how}`, () =>
      integrateKernel({ field, tiling: gpu, stages: 2, freeStages: true, divergence }),
    );
    if (how === "none") continue;
    add(`divergence ${how} of a ${name}`, () =>
      evaluateKernel({ field, tiling: gpu, output: "divergence", divergence }),
    );
    add(`velocity and divergence ${how} of a ${name}`, () =>
      evaluateKernel({ field, tiling: gpu, output: "both", divergence }),
    );
  }
  add(`velocity of a ${name}`, () =>
    evaluateKernel({ field, tiling: gpu, output: "velocity", divergence: { mode: "none" } }),
  );
  add(`jvp of a ${name}`, () => evaluateKernel({ field, tiling: gpu, output: "jvp", divergence: { mode: "none" } }));
}
for (const [name, tiling] of Object.entries(tilings)) {
  for (const dim of name === "lavapipe" ? [1, 2, 3] : [2]) {
    const divergence = { mode: "discrete", perPass: dim, texts: jacobianTexts } as const;
    const field = { ...network, dim };
    add(`midpoint step and its Jacobian, dim ${dim}, tiled for ${name}`, () =>
      integrateKernel({ field, tiling, stages: 2, freeStages: false, keeps: true, divergence }),
    );
  }
  for (const [how, divergence] of Object.entries(divergences)) {
    add(`midpoint step tiled for ${name}, divergence ${how}`, () =>
      integrateKernel({ field: network, tiling, stages: 2, freeStages: true, divergence }),
    );
  }
}
for (const [name, tiling] of Object.entries(tilings)) {
  if (tiling.space === "uniform" && name !== "gpu") continue;
  for (const [how, divergence] of Object.entries(divergences)) {
    add(`midpoint step in f16 tiled for ${name}, divergence ${how}`, () =>
      integrateKernel({
        field: network,
        tiling: { ...tiling, space: "storage", half: true },
        stages: 2,
        freeStages: true,
        divergence,
      }),
    );
  }
}
add("midpoint step in f16 of a conditional mlp of dim 5 in rotated registers", () =>
  integrateKernel({
    field: { ...network, dim: 5, conditioned: true },
    tiling: { ...gpu, space: "storage", lanes: 4, outputs: 2, keep: "rotate", half: true },
    stages: 2,
    freeStages: true,
    divergence: { mode: "none" },
  }),
);
add("midpoint step in rotated registers", () =>
  integrateKernel({
    field: network,
    tiling: { ...gpu, lanes: 2, keep: "rotate" },
    stages: 2,
    freeStages: true,
    divergence: { mode: "none" },
  }),
);
add("subgroups of rows", () => subgroupRowsKernel({ columns: 32, size: undefined }));
add("subgroups of rows, pinned", () => subgroupRowsKernel({ columns: 32, size: 32 }));
const tiled: Record<string, { tiling: Tiling; velocity: MlpVelocity | NetworkVelocity }> = {
  "an mlp": { tiling: tileOf(2, 8, {}), velocity: mlp({ dim: 2, hidden: [64, 64, 64] }) },
  "an mlp in subgroups of 32": {
    tiling: tileOf(1, 8, { wave: 32 }),
    velocity: mlp({ dim: 2, hidden: [64, 64, 64] }),
  },
  "a residual network": {
    tiling: tileOf(1, 4, {}),
    velocity: residualMlp({ dim: 2, width: 16, blocks: 1, classes: 2 }),
  },
};
/** The same tile in f16, with the particles that a kernel with tangents has. */
function halfTileOf(tiling: Tiling, isPlain: boolean): Tiling {
  const lanes = isPlain ? ({} as const) : ({ lanes: 1, tile: 16 } as const);
  return { ...tiling, ...lanes, unroll: halfRun, half: true };
}
function tileOf(lanes: 1 | 2, outputs: 4 | 8, more: Pick<Tiling, "wave">): Tiling {
  const columns = more.wave ? 32 : 16;
  const sizes = { tile: lanes * columns, workgroupSize: columns * 8, unroll: 2 } as const;
  return { lanes, groups: 1, outputs, gather: 0, space: "storage", keep: "array", ...sizes, ...more };
}
for (const [how, divergence] of Object.entries(divergences))
  add(`midpoint step in f16 of an mlp on a tile by matrices, divergence ${how}`, () => {
    const network = new FusedNetwork(networkOf(mlp({ dim: 2, hidden: [16, 16] })));
    const field = { kind: "network", dim: 2, network, atOneTime: true, labels: false } as const;
    const sizes = { lanes: 1, outputs: 16, tile: 32, workgroupSize: 32, unroll: halfRun } as const;
    const tiling = { ...tileOf(1, 8, { wave: 32 }), ...sizes, half: true, matrices: true } as const;
    return integrateTileKernel({ field, tiling, stages: 2, freeStages: true, divergence });
  });
for (const [name, { tiling, velocity }] of Object.entries(tiled)) {
  const made = new FusedNetwork(networkOf(velocity));
  const { dim, classes } = made;
  const field = { kind: "network", dim, network: made, labels: classes > 0 } as const;
  for (const [how, divergence] of Object.entries(divergences)) {
    // the memory of the smallest devices holds the values of fewer particles
    if (tiling.wave && how !== "none") continue;
    add(`midpoint step of ${name} on a tile, divergence ${how}`, () =>
      integrateTileKernel({
        field: { ...field, atOneTime: true },
        tiling: how === "none" ? tiling : { ...tiling, lanes: 1, tile: 16 },
        stages: 2,
        freeStages: true,
        divergence,
      }),
    );
    add(`midpoint step in f16 of ${name} on a tile, divergence ${how}`, () =>
      integrateTileKernel({
        field: { ...field, atOneTime: true },
        tiling: halfTileOf(tiling, how === "none"),
        stages: 2,
        freeStages: true,
        divergence,
      }),
    );
  }
  if (!tiling.wave)
    for (const keeps of [{}, { keeps: true }] as const)
      add(`midpoint step and its Jacobian of ${name} on a tile${keeps.keeps ? ", kept" : ""}`, () =>
        integrateTileKernel({
          field: { ...field, atOneTime: true },
          tiling: { ...tiling, lanes: 1, tile: 16 },
          stages: 2,
          freeStages: false,
          divergence: { mode: "discrete", perPass: dim, texts: jacobianTexts },
          ...keeps,
        }),
      );
  if (!tiling.wave)
    add(`J·v of ${name} on a tile`, () =>
      evaluateTileKernel({
        field: { ...field, atOneTime: false },
        tiling: { ...tiling, lanes: 1, tile: 16 },
        output: "jvp",
        divergence: { mode: "none" },
      }),
    );
  // a tile of 32 is too much for the smallest devices with wider layers
  const both = new ReverseNetwork(networkOf(tiling.wave ? mlp({ dim: 2, hidden: [32, 32] }) : velocity));
  const columns = tiling.wave ? 32 : 16;
  const reverse = { ...tiling, lanes: 1, tile: columns, workgroupSize: 8 * columns, unroll: 4 } as const;
  for (const trains of [true, false])
    add(`flow matching${trains ? " and its gradient" : ""} of ${name} on a tile`, () =>
      reverseKernel({ network: both, tiling: reverse, weighted: tiling.wave === undefined, trains }),
    );
  // passes that the smallest devices have room for
  const few = new ReverseNetwork(
    networkOf(
      velocity.kind === "mlp" ? mlp({ dim: 2, hidden: [16, 16] }) : residualMlp({ dim: 2, width: 8, blocks: 1 }),
    ),
  );
  for (const work of [
    { tangents: 0, kind: "basis" },
    { tangents: 2, kind: "basis" },
    { tangents: 1, kind: "probes" },
    { tangents: 2, kind: "matrix" },
  ] as const)
    add(`likelihood pass, ${work.tangents} tangents (${work.kind}), of ${name} on a tile`, () =>
      passKernel({ network: few, tiling: { ...reverse, outputs: 4, workgroupSize: 4 * columns }, work }),
    );
  add(`velocity and Jᵀ·w of ${name} on a tile`, () => productKernel({ network: both, tiling: reverse }));
}
for (const shared of [false, true])
  for (const [how, divergence] of Object.entries(divergences))
    add(
      `midpoint step of a residual network in an invocation${shared ? ", products shared" : ""}, divergence ${how}`,
      () => {
        const made = new FusedNetwork(networkOf(residualMlp({ dim: 2, width: 18, blocks: 3 })));
        const field = { kind: "network", dim: 2, network: made, labels: false, atOneTime: true } as const;
        const tiling = {
          lanes: 2,
          groups: 1,
          outputs: 4,
          gather: 0,
          space: "storage",
          keep: "array",
          workgroupSize: 32,
          ...(shared && { sharesProducts: true as const }),
        } as const;
        return integrateKernel({ field, tiling, stages: 2, freeStages: true, divergence });
      },
    );
add("midpoint step of a network that its context guides, on a tile", () => {
  const made = new FusedNetwork(networkOf(mlp({ dim: 2, hidden: [16], context: 2 })));
  const field = { kind: "network", dim: 2, network: made, labels: false, guided: true, atOneTime: true } as const;
  const tiling = { ...tileOf(1, 4, {}), tile: 16 };
  return integrateTileKernel({ field, tiling, stages: 2, freeStages: true, divergence: { mode: "none" } });
});
for (const activation of activations) {
  const field = { ...network, activation };
  add(`midpoint step with exact divergence, ${activation}`, () =>
    integrateKernel({ field, tiling: gpu, stages: 2, freeStages: true, divergence: { mode: "exact", perPass: 2 } }),
  );
}
const denseTiles: Record<string, DenseTile> = {
  plain: plainTile,
  gathered: { groups: 1, quads: 4, unroll: 2, workgroupSize: 16, gather: 4 },
  staged: stagedTile,
};
/** What is made of a sum: φ, and with `slope` φ′ as well, into buffers of their own. */
const activated = (slope: boolean): ClusterShape => derivatives(slope ? [0, 1] : [0], "silu");
function derivatives(orders: readonly (0 | 1 | 2)[], activation: string): ClusterShape {
  const access = (binding: number) => ({ binding, batched: false, single: false, parameter: false });
  return {
    bindings: orders.map(() => true),
    parameters: [],
    leaves: [],
    results: orders.map((order) => ({
      function: { name: "activate", activation, order },
      of: [{ sum: 0 }],
      batched: false,
    })),
    stores: orders.map((order) => ({ ...access(order), of: { result: order } })),
  };
}
add("dense layer, optional bias", () => denseKernel({ bias: "optional", cluster: activated(false), tile: plainTile }));
for (const [how, tile] of Object.entries(denseTiles))
  for (const slope of [false, true])
    add(`dense layer${slope ? " with slope" : ""}, ${how}`, () =>
      denseKernel({ bias: true, cluster: activated(slope), tile }),
    );
for (const [subgroup, vectors] of [
  [0, 1],
  [4, 2],
  [8, 1],
] as const)
  for (const inputs of [4, 32])
    add(`dense layer of ${inputs} held inputs, subgroups of ${subgroup}`, () =>
      heldDenseKernel({
        bias: true,
        cluster: activated(true),
        tile: { inputs, vectors, subgroup, parts: 1, window: subgroup > 0 },
      }),
    );
for (const [name, cluster] of Object.entries({
  "an activation": { activation: "silu" },
  products: "products",
} as const))
  add(`dense layer of 96 held inputs in two parts, subgroups of 8, optional stores of ${name}`, () =>
    heldDenseKernel({ bias: true, cluster, tile: { inputs: 96, vectors: 1, subgroup: 8, parts: 2, window: true } }),
  );
for (const activation of activations)
  add(`dense layer with slope and curvature, ${activation}`, () =>
    denseKernel({ bias: true, cluster: derivatives([0, 1, 2], activation), tile: plainTile }),
  );
for (const [outputs, inputs] of [
  [8, 8],
  [8, 1],
  [1, 5],
] as const)
  add(`weight gradient, ${outputs} × ${inputs} an invocation`, () => weightGradientKernel({ outputs, inputs }));
for (const subgroup of [0, 4, 8]) {
  const vectors = subgroup > 0 ? 32 / subgroup : 8;
  for (const [how, tile] of Object.entries({
    "16 inputs": { inputs: 16, adds: false },
    "16 inputs, added": { inputs: 16, adds: true },
    "few inputs": { inputs: Math.max(4, subgroup), adds: false },
  })) {
    add(`resident weight gradient, ${how}, subgroups of ${subgroup}`, () =>
      residentGradientKernel({ vectors, subgroup, ...tile }),
    );
  }
}

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

add("wgsl field, midpoint step", () =>
  integrateKernel({ field: rotation, tiling: gpu, stages: 2, freeStages: true, divergence: { mode: "none" } }),
);
add("wgsl field, midpoint step with its own divergence", () =>
  integrateKernel({ field: rotation, tiling: gpu, stages: 2, freeStages: true, divergence: { mode: "own" } }),
);
add("wgsl field, velocity", () =>
  evaluateKernel({ field: rotation, tiling: gpu, output: "velocity", divergence: { mode: "none" } }),
);
add("wgsl field, velocity and divergence", () =>
  evaluateKernel({ field: rotation, tiling: gpu, output: "both", divergence: { mode: "own" } }),
);
add("wgsl field, divergence", () =>
  evaluateKernel({ field: rotation, tiling: gpu, output: "divergence", divergence: { mode: "own" } }),
);

// the code behind the field is what src/dual generates for a rotation
const differentiated: FusedField = {
  kind: "wgsl",
  dim: 2,
  trace: "pf_trace",
  product: "pf_forward",
  code: `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }
struct PfProduct { velocity: array<f32, DIM>, product: array<f32, DIM> }
fn pf_forward(t: f32, x: array<f32, DIM>, v: array<f32, DIM>) -> PfProduct {
  return PfProduct(velocity(t, x), array<f32, DIM>(-v[1], v[0]));
}
fn pf_trace(t: f32, x: array<f32, DIM>) -> f32 { return 0.0; }`,
};
add("wgsl field, midpoint step with a generated trace", () =>
  integrateKernel({ field: differentiated, tiling: gpu, stages: 2, freeStages: true, divergence: { mode: "own" } }),
);
add("wgsl field, midpoint step with probes", () =>
  integrateKernel({
    field: differentiated,
    tiling: gpu,
    stages: 2,
    freeStages: true,
    divergence: { mode: "probes", perPass: 1 },
  }),
);
add("wgsl field, J·v", () =>
  evaluateKernel({ field: differentiated, tiling: gpu, output: "jvp", divergence: { mode: "none" } }),
);

add("pack weights", () => packKernel({ half: false }));
add("pack weights as f16", () => packKernel({ half: true }));
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

const pairs = {
  "order 3(2)": { order: 3, error: [-5 / 72, 1 / 12, 1 / 9, -1 / 8] },
  "order 5(4)": { order: 5, error: [71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40] },
};
for (const [pair, { order, error }] of Object.entries(pairs)) {
  const stages = error.length;
  for (const tracks of [false, true]) {
    const how = `${pair}${tracks ? " with log p" : ""}`;
    add(`adaptive steps of ${how}, begin`, () => beginKernel({ based: tracks, stages }));
    add(`adaptive steps of ${how}, probe the first step`, () => startKernel({ tracks, part: "probe", stages, order }));
    add(`adaptive steps of ${how}, size of the first step`, () => startKernel({ tracks, part: "size", stages, order }));
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
  add(`judge rows${status ? " of an adaptive solve" : ""}`, () => judgeKernel({ logProb: true, status, marks: false }));
  add(`mark rows${status ? " of an adaptive solve" : ""}`, () => judgeKernel({ logProb: false, status, marks: true }));
}
add("block means", () => blockMeanKernel({}));
add("block products", () => blockProductsKernel({}));
add("histogram", () => histogramKernel({ bins: 0 }));
add("histogram with local bins", () => histogramKernel({ bins: 12 }));

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
  groupPointsKernel({ source: "samples", labels: false, context: false, draws: false, shuffled: false, placed: true }),
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

/** Every family and variant of shader that the library generates, at small sizes. Tests compile all of them with Tint and Naga. */
export const catalog: readonly CatalogEntry[] = entries;

/** Those that draw, of `pushforward/view`, under the names that `npm run shaders -- <name>` prints them by. */
export const drawings: readonly { readonly name: string; readonly drawing: () => Drawing }[] = [
  { name: "particles of a plane, drawn", drawing: () => particleDrawing({ dim: 2, axes: [0, 1] }) },
  { name: "two of five axes of particles, drawn", drawing: () => particleDrawing({ dim: 5, axes: [4, 1] }) },
  { name: "density, drawn", drawing: reliefDrawing },
];
