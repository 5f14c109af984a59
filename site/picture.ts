// The page's picture, for the library's view of particles.
import type { Colour, ParticlePicture } from "pushforward/view";
import type { Origin } from "./origin.ts";
import type { Swarm } from "./swarm.ts";
import type { View } from "./targets.ts";

export interface Theme {
  readonly paper: Colour;
  readonly shade: Colour;
  readonly line: Colour;
  readonly points: Colour;
  /** Of colours by origin, in OKLCH. */
  readonly lightness: number;
}

export interface Scene {
  readonly view: View;
  readonly time: number;
  readonly theme: Theme;
  readonly swarm?: Swarm | undefined;
  readonly origin: Origin;
  /** Whether a streak shows where each particle was a moment ago. */
  readonly hasTrails: boolean;
  readonly density?: { logProb: GPUBuffer; side: number; reference: number } | undefined;
  /** The points to learn. */
  readonly points?: { buffer: GPUBuffer; count: number } | undefined;
}

const moment = 0.125;

/** `pixels` is the width of the canvas. */
export function pictureOf(scene: Scene, pixels: number): ParticlePicture {
  const { view, theme, swarm, points, density } = scene;
  const radius = Math.max(0.8, (0.9 * pixels) / 600);
  return {
    ...view,
    background: theme.paper,
    ...(density && { density: { ...density, shade: theme.shade, line: theme.line } }),
    particles: [
      ...(points ? [{ states: points.buffer, count: points.count, radius, colour: theme.points }] : []),
      ...(swarm
        ? [
            {
              states: swarm.saved,
              count: swarm.count,
              frames: swarm.frames + 1,
              time: scene.time,
              trail: scene.hasTrails ? moment : 0,
              colour: { origin: swarm.origin, ...scene.origin, lightness: theme.lightness },
            },
          ]
        : []),
    ],
  };
}
