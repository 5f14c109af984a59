import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** The parts of a TopoJSON file that are used here (topojson-specification 1.0, §2.1). */
interface Topology {
  transform: { scale: [number, number]; translate: [number, number] };
  arcs: [number, number][][];
  objects: { states: { geometries: { arcs?: unknown }[] } };
}

async function topology(): Promise<Topology> {
  const file = fileURLToPath(new URL("../data/us-10m.json", import.meta.resolve("vega-datasets")));
  return JSON.parse(await readFile(file, "utf8"));
}

/**
 * Coasts and state borders of the US as lines of [longitude, latitude] pairs, row-major [n, 2] each. Points of an arc are
 * stored as integer steps from one to the next; each border is one arc, shared by the states on both sides.
 */
export async function loadOutline(): Promise<Float32Array[]> {
  return outlineOf(await topology());
}

export function outlineOf(topology: Topology): Float32Array[] {
  return [...timesUsed(topology).keys()].map((index) => arcOf(topology, index));
}

/** The arcs that bound one state alone: coasts and borders to other countries. */
export async function loadBoundary(): Promise<Float32Array[]> {
  return boundaryOf(await topology());
}

export function boundaryOf(topology: Topology): Float32Array[] {
  return [...timesUsed(topology)].filter(([, times]) => times === 1).map(([index]) => arcOf(topology, index));
}

/** The points outside closed lines, by the even-odd rule: over the sea, the Great Lakes or another country. */
export function pointsOutside(points: Float32Array, boundary: readonly Float32Array[]): Float32Array {
  // segments by the tenths of a degree of latitude that they touch
  const bands = new Map<number, number[]>();
  for (const line of boundary)
    for (let i = 0; i + 3 < line.length; i += 2) {
      const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = line.subarray(i, i + 4);
      for (let band = Math.floor(10 * Math.min(y0, y1)); band <= Math.floor(10 * Math.max(y0, y1)); band++) {
        const own = bands.get(band);
        if (own) own.push(x0, y0, x1, y1);
        else bands.set(band, [x0, y0, x1, y1]);
      }
    }
  const outside: number[] = [];
  for (let i = 0; i + 1 < points.length; i += 2) {
    const [x = 0, y = 0] = points.subarray(i, i + 2);
    const own = bands.get(Math.floor(10 * y)) ?? [];
    let isInside = false;
    for (let j = 0; j < own.length; j += 4) {
      const [x0 = 0, y0 = 0, x1 = 0, y1 = 0] = own.slice(j, j + 4);
      if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) isInside = !isInside;
    }
    if (!isInside) outside.push(x, y);
  }
  return Float32Array.from(outside);
}

function arcOf({ transform, arcs }: Topology, index: number): Float32Array {
  const steps = arcs[index] ?? [];
  const line = new Float32Array(2 * steps.length);
  let x = 0;
  let y = 0;
  for (const [i, [dx, dy]] of steps.entries()) {
    x += dx;
    y += dy;
    line[2 * i] = x * transform.scale[0] + transform.translate[0];
    line[2 * i + 1] = y * transform.scale[1] + transform.translate[1];
  }
  return line;
}

/** How often each arc occurs in the states. */
function timesUsed({ objects }: Topology): Map<number, number> {
  const used = new Map<number, number>();
  for (const { arcs } of objects.states.geometries) collect(arcs, used);
  return used;
}

/** Arc numbers of nested rings; ~i means arc i backwards. */
function collect(indices: unknown, used: Map<number, number>): void {
  if (Array.isArray(indices)) for (const part of indices) collect(part, used);
  else if (typeof indices === "number") {
    const index = indices < 0 ? ~indices : indices;
    used.set(index, (used.get(index) ?? 0) + 1);
  }
}
