import { type MlpVelocity, mlp } from "../../src/network/mlp.ts";
import type { NetworkVelocity } from "../../src/network/network.ts";
import { networkOf } from "../../src/network/of.ts";
import { residualMlp } from "../../src/network/residual-mlp.ts";
import { FusedNetwork } from "../fused-network.ts";
import { jacobianTexts } from "../step-jacobian.ts";
import { evaluateTileKernel, integrateTileKernel } from "../tile.ts";
import {
  type PassWork,
  passKernel,
  productKernel,
  ReverseNetwork,
  reverseKernel,
  velocityKernel,
} from "../tile-reverse.ts";
import type { Tiling } from "../tiling.ts";
import { halfRun } from "../tiling.ts";
import { type Add, divergences } from "./entry.ts";

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

/** Tiles of particles in a workgroup's memory. */
export function tileKernels(add: Add): void {
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
        velocity.kind === "mlp" ? mlp({ dim: 2, hidden: [16, 16] }) : residualMlp({ dim: 2, width: 8, blocks: 2 }),
      ),
    );
    const ofPasses = { network: few, tiling: { ...reverse, outputs: 4, workgroupSize: 4 * columns } as const };
    const works: PassWork[] = [
      { tangents: 0, kind: "basis" },
      { tangents: 2, kind: "basis" },
      { tangents: 1, kind: "probes" },
      { tangents: 2, kind: "matrix" },
      { tangents: 1, kind: "probes", penalised: true },
      { tangents: 2, kind: "matrix", penalised: true },
    ];
    for (const work of works)
      add(
        `likelihood pass, ${work.tangents} tangents (${work.kind})${work.penalised ? " and penalties" : ""}, of ${name} on a tile`,
        () => passKernel({ ...ofPasses, work }),
      );
    for (const tangents of [0, 2])
      add(`velocity and ${tangents} products of ${name} on a tile`, () =>
        velocityKernel({ ...ofPasses, work: { tangents, kind: "matrix", forward: true } }),
      );
    add(`velocity and Jᵀ·w of ${name} on a tile`, () => productKernel({ network: both, tiling: reverse }));
  }
  add("midpoint step of a network that its context guides, on a tile", () => {
    const made = new FusedNetwork(networkOf(mlp({ dim: 2, hidden: [16], context: 2 })));
    const field = { kind: "network", dim: 2, network: made, labels: false, guided: true, atOneTime: true } as const;
    const tiling = { ...tileOf(1, 4, {}), tile: 16 };
    return integrateTileKernel({ field, tiling, stages: 2, freeStages: true, divergence: { mode: "none" } });
  });
}
