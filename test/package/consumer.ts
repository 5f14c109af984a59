/** A program of somebody else: it knows the package by its name and its types only. */
import { Flow, type Gpu, openGpu, PushforwardError, type Trajectory, wgslVelocity } from "pushforward";
import type { C2st, SolverComparison } from "pushforward/diagnostics";
import type { createParticleView } from "pushforward/view";

export type Judged = Pick<C2st, "accuracy"> & Pick<SolverComparison, "solver" | "error">;

export type Canvas = Parameters<typeof createParticleView>[0] & HTMLCanvasElement;

export type Outcome =
  | { readonly x: readonly number[]; readonly nfe: number }
  | { readonly code: PushforwardError["code"]; readonly message: string };

const rotation = wgslVelocity({
  dim: 2,
  code: "fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }",
});

/** Turns (1, 0) by one radian, or tells how the library refused. */
export async function turn(): Promise<Outcome> {
  let gpu: Gpu | undefined;
  try {
    gpu = await openGpu();
    const flow = Flow.create(gpu, { velocity: rotation });
    const trajectory: Trajectory = await flow.push(Float32Array.of(1, 0), { solver: { method: "rk4", steps: 20 } });
    flow.dispose();
    return { x: Array.from(trajectory.x), nfe: trajectory.nfe };
  } catch (error) {
    if (!(error instanceof PushforwardError)) throw error;
    return { code: error.code, message: error.message };
  } finally {
    gpu?.dispose();
  }
}
