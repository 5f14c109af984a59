// Which draws a picture takes, and their numbers; without a device.
import { numbersOf } from "../../shaders/struct.ts";
import { drawStruct, reliefStruct } from "../../shaders/view.ts";
import { type CheckedParticles, type CheckedPicture, type CheckedRelief, type Colour, isColour } from "./picture.ts";

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** One draw of all particles of a set: the frames on both sides of the head and the tail of the streak, and the numbers of the struct Draw. */
export interface ParticleDraw {
  readonly particles: CheckedParticles;
  /** Frames that are bound as vertex buffers, in the order of the shader. */
  readonly frames: readonly [number, number, number, number];
  readonly numbers: readonly number[];
}

/** Streaks of which a trail consists, one behind the other. */
const streaks = 5;

/** Pixels that stand for a unit of the data. */
const pixelsPerUnit = ({ half }: CheckedPicture, { width, height }: Size) => Math.min(width, height) / (2 * half);

const rgba = ([r, g, b, a = 1]: Colour) => [r, g, b, a];

/** The draws of a set of particles, from behind to the front. */
export function particleDraws(picture: CheckedPicture, particles: CheckedParticles, size: Size): ParticleDraw[] {
  const { count, frames, time, trail, colour } = particles;
  const shorter = Math.min(size.width, size.height);
  const usual = Math.max(0.75, Math.max(0.7, 2.3 * (4000 / Math.max(count, 1)) ** 0.2) * (shorter / 600));
  const radius = particles.radius ?? usual;
  const isOne = isColour(colour);
  const faint = Math.min(0.85, Math.max(0.12, 0.85 * (10_000 / Math.max(count, 1)) ** 0.35));
  const alpha = (isOne ? colour[3] : undefined) ?? faint;
  const look = isOne
    ? { ink: rgba(colour), source: [0, 0], spread: 1, lightness: 0, byOrigin: 0 }
    : { ink: [], source: colour.centre, spread: colour.scale, lightness: colour.lightness, byOrigin: 1 };
  const place = (at: number) => {
    const exact = Math.max(0, Math.min(1, at)) * (frames - 1);
    const before = Math.max(0, Math.min(Math.floor(exact), frames - 2));
    return { before, after: Math.min(before + 1, frames - 1), share: exact - before };
  };
  const draw = (from: number, to: number, own: { alpha: number; radius: number }): ParticleDraw => {
    const [tail, head] = [place(from), place(to)];
    const at = [head.before, head.after, tail.before, tail.after] as const;
    const numbers = numbersOf(drawStruct, {
      ...look,
      ...own,
      centre: picture.centre,
      clip: [2 / size.width, 2 / size.height],
      perUnit: pixelsPerUnit(picture, size),
      head: head.share,
      tail: tail.share,
      count,
      frames: at,
    });
    return { particles, frames: at, numbers };
  };
  const behind = trail === 0 ? 0 : streaks;
  const span = trail / streaks;
  const thin = { radius: Math.max(0.6 * radius, 0.5) };
  return [
    ...Array.from({ length: behind }, (_, i) => {
      const k = behind - i;
      const fade = 0.3 * (1 - k / (streaks + 1));
      return draw(time - k * span, time - (k - 1) * span, { ...thin, alpha: alpha * fade });
    }),
    draw(time, time, { radius, alpha }),
  ];
}

/** The numbers of the struct Relief. */
export function reliefNumbers(picture: CheckedPicture, density: CheckedRelief, size: Size): number[] {
  const { centre = picture.centre, half = picture.half, side, reference, shade, line } = density;
  return numbersOf(reliefStruct, {
    background: rgba(picture.background),
    shade: rgba(shade),
    line: rgba(line),
    middle: picture.centre,
    size: [size.width, size.height],
    centre,
    half,
    perUnit: pixelsPerUnit(picture, size),
    side,
    reference,
  });
}
