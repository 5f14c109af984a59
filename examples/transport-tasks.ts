import type { Flow } from "pushforward";
import { wasserstein2 } from "pushforward/diagnostics";
import { seededUniform } from "../cli/split.ts";

/*
 * The sample sets of torchcfm's tutorials, and what Tong et al. 2024 measure of flows between them.
 */

function normals(seed: number): () => number {
  const uniform = seededUniform(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

export function standardNormals(count: number, seed: number): Float32Array {
  const normal = normals(seed);
  return Float32Array.from({ length: 2 * count }, normal);
}

/** Eight Gaussians of variance √0.1 on a circle of radius 5. */
export function eightGaussians(count: number, seed: number): Float32Array {
  const [uniform, normal] = [seededUniform(seed), normals(seed + 1)];
  const rows = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const angle = (Math.PI / 4) * Math.floor(8 * uniform());
    rows[2 * i] = 5 * Math.cos(angle) + 0.1 ** 0.25 * normal();
    rows[2 * i + 1] = 5 * Math.sin(angle) + 0.1 ** 0.25 * normal();
  }
  return rows;
}

/** Two moons three times as large as usual: half circles of radius 3, moved along the diagonal by uniform noise of up to 0.6. */
export function twoMoons(count: number, seed: number): Float32Array {
  const uniform = seededUniform(seed);
  const rows = new Float32Array(2 * count);
  for (let i = 0; i < count; i++) {
    const angle = Math.PI * uniform();
    const [x, y] = i % 2 === 0 ? [Math.cos(angle), Math.sin(angle)] : [1 - Math.cos(angle), 0.5 - Math.sin(angle)];
    const noise = 0.2 * uniform();
    rows[2 * i] = 3 * (x + noise) - 1;
    rows[2 * i + 1] = 3 * (y + noise) - 1;
  }
  return rows;
}

/** ∫ E|u_t(x_t)|² dt along the paths from `starts`, by midpoint steps: the square of each step over its time. */
export async function pathEnergy(flow: Flow, starts: Float32Array, steps: number): Promise<number> {
  const { saved } = await flow.push(starts, { solver: { method: "midpoint", steps }, saveAt: "steps" });
  const all = saved ?? new Float32Array(0);
  let sum = 0;
  for (let at = starts.length; at < all.length; at++) sum += ((all[at] ?? 0) - (all[at - starts.length] ?? 0)) ** 2;
  return (sum * steps * flow.dim) / starts.length;
}

/** How far the energy of paths is from the least that there can be, W₂² of the two sets, in units of that (Tong et al. 2024, §5.1). */
export async function normalizedPathEnergy(
  flow: Flow,
  starts: Float32Array,
  ends: Float32Array,
  steps = 100,
): Promise<number> {
  const least = (await wasserstein2(starts, ends, flow.dim)) ** 2;
  return Math.abs((await pathEnergy(flow, starts, steps)) - least) / least;
}
