import type { CatalogEntry } from "./catalog/entry.ts";
import { fusedKernels } from "./catalog/fused.ts";
import { layerKernels } from "./catalog/layers.ts";
import { solveKernels } from "./catalog/solves.ts";
import { tileKernels } from "./catalog/tiles.ts";
import { trainingKernels } from "./catalog/training.ts";
import { wgslKernels } from "./catalog/wgsl.ts";
import { type Drawing, particleDrawing, reliefDrawing } from "./view.ts";

/** Every family and variant of shader that the library generates, at small sizes. Tests compile all of them with Tint and Naga. */
export const catalog: readonly CatalogEntry[] = entries();

function entries(): CatalogEntry[] {
  const all: CatalogEntry[] = [];
  for (const addKernels of [fusedKernels, wgslKernels, tileKernels, layerKernels, solveKernels, trainingKernels])
    addKernels((name, kernel) => all.push({ name, kernel }));
  return all;
}

/** Those that draw, of `pushforward/view`, under the names that `npm run shaders -- <name>` prints them by. */
export const drawings: readonly { readonly name: string; readonly drawing: () => Drawing }[] = [
  { name: "particles of a plane, drawn", drawing: () => particleDrawing({ dim: 2, axes: [0, 1], pulled: false }) },
  {
    name: "two of five axes of particles, drawn",
    drawing: () => particleDrawing({ dim: 5, axes: [4, 1], pulled: false }),
  },
  {
    name: "two of five axes of particles, drawn from storage",
    drawing: () => particleDrawing({ dim: 5, axes: [4, 1], pulled: true }),
  },
  { name: "density, drawn", drawing: reliefDrawing },
];
