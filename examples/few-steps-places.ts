import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Flow, type Gpu, type Solver } from "pushforward";
import { evaluations } from "./few-steps-flows.ts";
import { loadPlaces } from "./places-data.ts";
import { placesSolver } from "./places-recipe.ts";

const shippedFile = fileURLToPath(new URL("../../examples/us-places.safetensors", import.meta.url));

/**
 * The flow of places that ships with the library, which was trained by the likelihood of two midpoint steps from a mixture of 1,300 Gaussians.
 * That source is so near that 1,000 samples of it cannot be told from places by W₂ or a classifier, so what is told is the log-likelihood, in
 * nats, of places that it has not seen, under the very map that the steps compute: samples by these steps have that density.
 */
export async function* fewPlaces(
  gpu: Gpu,
): AsyncGenerator<{ method: string; scores: (number | undefined)[] }, undefined> {
  // the places of another seed would be some that it was trained on
  const { test } = await loadPlaces(0);
  const flow = Flow.load(gpu, await readFile(shippedFile));
  async function by(method: string, solverOf: (nfe: number) => Solver | undefined) {
    const scores: (number | undefined)[] = [];
    for (const nfe of evaluations) {
      const solver = solverOf(nfe);
      scores.push(solver && (await flow.meanLogProb(test, { solver, objective: "discrete" })).mean);
    }
    return { method, scores };
  }
  yield by("its own midpoint steps", (nfe) => (nfe > 1 ? placesSolver(nfe / 2) : undefined));
  yield by("equal midpoint steps", (nfe) => (nfe > 1 ? { method: "midpoint", steps: nfe / 2 } : undefined));
  yield by("Euler steps", (steps) => ({ method: "euler", steps }));
  flow.dispose();
}
