import { networkOf } from "../../src/network/of.ts";
import { activations } from "../../src/network/operations/activate.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import type { FusedField } from "../field.ts";
import { FusedNetwork } from "../fused-network.ts";
import { evaluateKernel, integrateKernel } from "../integrate.ts";
import { narrowTexts } from "../narrow-turns.ts";
import { jacobianTexts } from "../step-jacobian.ts";
import { subgroupRowsKernel } from "../subgroup-rows.ts";
import { type Add, divergences } from "./entry.ts";
import { tilings } from "./tilings.ts";

const network = {
  kind: "mlp",
  dim: 2,
  layers: 2,
  width: 32,
  activation: "silu",
  fourier: 0,
  conditioned: false,
  texts: narrowTexts,
} as const satisfies FusedField;

const fields: Record<string, Extract<FusedField, { kind: "mlp" }>> = {
  mlp: network,
  "mlp of one layer": { ...network, layers: 1 },
  "mlp of dim 5 with fourier time": { ...network, dim: 5, fourier: 3 },
  "conditional mlp": { ...network, conditioned: true },
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

const inTurns = { ...tilings["lavapipe tangents in turns"], gather: 0 };

/** How the products and sums of a network that is no mlp are written in an invocation. */
const invocations = {
  "": { outputs: 4 },
  ", products shared": { outputs: 4, sharesProducts: true },
  ", sums written out": { outputs: 1, unrollsSums: true },
  ", weights by quads and a table of columns": { lanes: 4, outputs: 1, gather: 4, sharesProducts: true },
} as const;

/** Whole steps and evaluations in an invocation: of a narrow mlp, and of other networks. */
export function fusedKernels(add: Add): void {
  for (const [method, shape] of Object.entries(methods)) {
    for (const [how, divergence] of Object.entries(divergences)) {
      add(`${method} step, divergence ${how}`, () =>
        integrateKernel({ field: network, tiling: tilings.gpu, ...shape, divergence }),
      );
    }
  }
  for (const [name, field] of Object.entries(fields))
    add(`midpoint step of a wide ${name}, weights in windows`, () =>
      integrateKernel({
        field: { ...field, width: 128, layers: field.layers + 1 },
        tiling: { ...tilings.lavapipe, space: "windows" },
        stages: 2,
        freeStages: true,
        divergence: { mode: "none" },
      }),
    );
  const steps = { mode: "discrete", perPass: 2, texts: jacobianTexts } as const;
  for (const [method, { stages }] of Object.entries(methods))
    add(`${method} step and its Jacobian`, () =>
      integrateKernel({ field: network, tiling: tilings.gpu, stages, freeStages: false, divergence: steps }),
    );
  for (const [how, divergence] of Object.entries(divergences)) {
    add(`midpoint step that keeps its first stage, divergence ${how}`, () =>
      integrateKernel({ field: network, tiling: tilings.gpu, stages: 2, freeStages: true, keeps: true, divergence }),
    );
  }
  for (const [name, field] of Object.entries(fields)) {
    for (const [how, divergence] of Object.entries(divergences)) {
      add(`midpoint step of a ${name}, divergence ${how}`, () =>
        integrateKernel({ field, tiling: tilings.gpu, stages: 2, freeStages: true, divergence }),
      );
      if (how === "none") continue;
      add(`divergence ${how} of a ${name}`, () =>
        evaluateKernel({ field, tiling: tilings.gpu, output: "divergence", divergence }),
      );
      add(`velocity and divergence ${how} of a ${name}`, () =>
        evaluateKernel({ field, tiling: tilings.gpu, output: "both", divergence }),
      );
    }
    for (const [how, divergence] of Object.entries(divergences)) {
      if (how === "none") continue;
      add(`midpoint step of a ${name} in turns, divergence ${how}`, () =>
        integrateKernel({ field, tiling: inTurns, stages: 2, freeStages: true, divergence }),
      );
      add(`divergence ${how} of a ${name} in turns`, () =>
        evaluateKernel({ field, tiling: inTurns, output: "divergence", divergence }),
      );
    }
    add(`jvp of a ${name} in turns`, () =>
      evaluateKernel({ field, tiling: inTurns, output: "jvp", divergence: { mode: "none" } }),
    );
    add(`velocity of a ${name}`, () =>
      evaluateKernel({ field, tiling: tilings.gpu, output: "velocity", divergence: { mode: "none" } }),
    );
    add(`jvp of a ${name}`, () =>
      evaluateKernel({ field, tiling: tilings.gpu, output: "jvp", divergence: { mode: "none" } }),
    );
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
      tiling: { ...tilings.gpu, space: "storage", lanes: 4, outputs: 2, keep: "rotate", half: true },
      stages: 2,
      freeStages: true,
      divergence: { mode: "none" },
    }),
  );
  add("midpoint step in rotated registers", () =>
    integrateKernel({
      field: network,
      tiling: { ...tilings.gpu, lanes: 2, keep: "rotate" },
      stages: 2,
      freeStages: true,
      divergence: { mode: "none" },
    }),
  );
  add("subgroups of rows", () => subgroupRowsKernel({ columns: 32, size: undefined }));
  add("subgroups of rows, pinned", () => subgroupRowsKernel({ columns: 32, size: 32 }));
  for (const [which, more] of Object.entries(invocations))
    for (const [how, divergence] of Object.entries(divergences))
      add(`midpoint step of a residual network in an invocation${which}, divergence ${how}`, () => {
        const made = new FusedNetwork(networkOf(residualMlp({ dim: 2, width: 18, blocks: 3 })));
        const field = { kind: "network", dim: 2, network: made, labels: false, atOneTime: true } as const;
        const tiling = {
          lanes: 2,
          groups: 1,
          gather: 0,
          space: "storage",
          keep: "array",
          workgroupSize: 32,
          ...more,
        } as const;
        return integrateKernel({ field, tiling, stages: 2, freeStages: true, divergence });
      });
  for (const activation of activations) {
    const field = { ...network, activation };
    add(`midpoint step with exact divergence, ${activation}`, () =>
      integrateKernel({
        field,
        tiling: tilings.gpu,
        stages: 2,
        freeStages: true,
        divergence: { mode: "exact", perPass: 2 },
      }),
    );
  }
}
