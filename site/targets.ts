// What there is to learn: rows of points, those that are held out, and the part of the plane to look at.
import { type ToyName, toyData, toyNames } from "pushforward";
import { type Darkness, drawn, strewn } from "./drawing.ts";

/** A line that was drawn, in the units of the plane: x, y, x, y, … */
export type Stroke = readonly number[];

export type Target =
  | { kind: "toy"; name: ToyName }
  | { kind: "drawing"; strokes: readonly Stroke[] }
  | { kind: "text"; text: string; darkness: Darkness }
  | { kind: "picture"; name: string; darkness: Darkness }
  /** `units` says what the numbers are, where they are not those of the table. */
  | { kind: "table"; name: string; points: Float32Array; units?: string };

/** The square that is shown, in data units. */
export interface View {
  readonly centre: readonly [number, number];
  readonly half: number;
}

/** Rows [n, 2] in data units. */
export interface Rows {
  readonly train: Float32Array;
  readonly heldOut: Float32Array;
}

export interface Data extends Rows {
  readonly view: View;
  /** Where particles start, of a flow from rows to rows. */
  readonly start?: Rows | undefined;
  /** The least held-out NLL that there can be, in nats, where it is known. */
  readonly entropy?: number | undefined;
}

export const plane: View = { centre: [0, 0], half: 4.2 };

/** Differential entropies of the toy sets in nats, by quadrature (docs/quality.md). */
const entropies: Record<ToyName, number> = {
  "8gaussians": 2.832,
  moons: 2.394,
  circles: 3.268,
  swissroll: 2.67,
  rings: 2.623,
  pinwheel: 2.318,
  "2spirals": 2.645,
  checkerboard: 3.466,
};

export const toyTitles: Record<ToyName, string> = {
  "8gaussians": "Eight Gaussians",
  moons: "Moons",
  circles: "Circles",
  rings: "Rings",
  swissroll: "Swiss roll",
  "2spirals": "Two spirals",
  pinwheel: "Pinwheel",
  checkerboard: "Checkerboard",
};

export const isToy = (name: string): name is ToyName => (toyNames as readonly string[]).includes(name);

/** Fewer points than this tell nothing of a density. */
const fewestRows = 20;

/** Points of a target, or undefined where there are none yet. */
export function dataOf(target: Target, rows: number, heldOutRows: number): Data | undefined {
  switch (target.kind) {
    case "toy":
      return {
        train: toyData(target.name, rows, 0),
        heldOut: toyData(target.name, heldOutRows, 1),
        view: plane,
        entropy: entropies[target.name],
      };
    case "drawing":
      if (target.strokes.length === 0) return undefined;
      return {
        train: drawn(target.strokes, rows, 1),
        heldOut: drawn(target.strokes, heldOutRows, 2),
        view: plane,
      };
    case "text":
    case "picture":
      if (!target.darkness.values.some((value) => value > 0)) return undefined;
      return {
        train: strewn(target.darkness, rows, 1),
        heldOut: strewn(target.darkness, heldOutRows, 2),
        view: plane,
      };
    case "table":
      return target.points.length < 2 * fewestRows ? undefined : split(target.points, heldOutRows);
  }
}

/** Points of a target together with those to start from; or undefined where one of them has none yet. */
export function dataOfBoth(target: Target, start: Target, rows: number, heldOutRows: number): Data | undefined {
  const [to, from] = [dataOf(target, rows, heldOutRows), dataOf(start, rows, heldOutRows)];
  if (!to || !from) return undefined;
  // of what has no density there is no likelihood that an entropy bounds
  return { train: to.train, heldOut: to.heldOut, view: viewOfBoth(to.view, from.view), start: from };
}

/** The least square that has two others. */
function viewOfBoth(a: View, b: View): View {
  const along = (axis: 0 | 1) => {
    const low = Math.min(a.centre[axis] - a.half, b.centre[axis] - b.half);
    const high = Math.max(a.centre[axis] + a.half, b.centre[axis] + b.half);
    return { middle: (low + high) / 2, half: (high - low) / 2 };
  };
  const [across, up] = [along(0), along(1)];
  return { centre: [across.middle, up.middle], half: Math.max(across.half, up.half) };
}

/** Every so many-th row of a table is held out, a fifth at most. */
function split(points: Float32Array, heldOutRows: number): Data {
  const n = points.length / 2;
  const every = Math.max(5, Math.ceil(n / heldOutRows));
  const isHeldOut = (row: number) => row % every === 0;
  const taken = (wanted: boolean) => points.filter((_, i) => isHeldOut(i >> 1) === wanted);
  return { train: taken(false), heldOut: taken(true), view: viewOf(points) };
}

/** A square that has nearly all points, with a margin. */
function viewOf(points: Float32Array): View {
  const ends = [0, 1].map((axis) => {
    const values = points.filter((_, i) => i % 2 === axis).sort();
    const at = (part: number) => values[Math.floor(part * (values.length - 1))] as number;
    return [at(0.005), at(0.995)] as const;
  }) as [readonly [number, number], readonly [number, number]];
  const middle = (axis: 0 | 1) => (ends[axis][0] + ends[axis][1]) / 2;
  const width = Math.max(...ends.map(([low, high]) => high - low));
  return { centre: [middle(0), middle(1)], half: 0.7 * width || 1 };
}
