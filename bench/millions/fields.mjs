// The flows that are streamed.
import { Flow, mlp, wgslVelocity } from "pushforward";

/** Two multiplications and two additions a step: nearly nothing but the library's own work around it. */
const rotation = `fn velocity(t: f32, x: array<f32, DIM>) -> array<f32, DIM> { return array<f32, DIM>(-x[1], x[0]); }`;

/** Keeps N(0, I), so that every result is known. */
export const cheap = (gpu) => Flow.create(gpu, { velocity: wgslVelocity({ dim: 2, code: rotation }) });

export const network = (gpu) => Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64] }), seed: 1 });

export const solver = { method: "midpoint", steps: 10 };
export const solverName = "midpoint, 10 steps";
