import type { DivergenceText } from "../field.ts";
import type { Kernel } from "../kernel.ts";

/** One shader that the library can generate, under the name that `npm run shaders -- <name>` prints it by. */
export interface CatalogEntry {
  readonly name: string;
  readonly kernel: () => Kernel;
}

export type Add = (name: string, kernel: () => Kernel) => void;

export const divergences: Record<string, DivergenceText> = {
  none: { mode: "none" },
  exact: { mode: "exact", perPass: 2 },
  hutchinson: { mode: "probes", perPass: 1 },
};
