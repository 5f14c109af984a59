import type { DivergenceText, JacobianTexts } from "../../shaders/field.ts";
import { must } from "../must.ts";
import { type DivergenceMode, tangentsOf } from "./engine.ts";

/** Tangents that go through the network together with one value. */
export function tangentsPerPass(dim: number, mode: DivergenceMode): number {
  if (mode.mode === "exact" || mode.mode === "discrete") return dim <= 3 ? dim : 2;
  return mode.mode === "probes" && mode.count % 2 === 0 ? 2 : 1;
}

export function divergenceText(dim: number, mode: DivergenceMode, jacobian?: JacobianTexts): DivergenceText {
  const { mode: how } = mode;
  if (how === "none") return { mode: how };
  const perPass = tangentsPerPass(dim, mode);
  if (how === "discrete") return { mode: how, perPass, texts: must(jacobian, "the texts of a step's Jacobian") };
  return { mode: how, perPass };
}

/** Work of value and tangents: each tangent costs a forward pass, and the value is computed anew in every pass. */
export function tangentFlops(dim: number, flops: number, mode: DivergenceMode): number {
  if (mode.mode === "none") return flops;
  const perPass = tangentsPerPass(dim, mode);
  return Math.ceil(tangentsOf(dim, mode) / perPass) * (1 + perPass) * flops;
}
