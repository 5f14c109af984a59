import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** The parts of a TopoJSON file that are used here (topojson-specification 1.0, §2.1). */
interface Topology {
  transform: { scale: [number, number]; translate: [number, number] };
  arcs: [number, number][][];
  objects: { states: { geometries: { arcs?: unknown }[] } };
}

/**
 * Coasts and state borders of the US as lines of [longitude, latitude] pairs, row-major [n, 2] each. Points of an arc are
 * stored as integer steps from one to the next; each border is one arc, shared by the states on both sides.
 */
export async function loadOutline(): Promise<Float32Array[]> {
  const file = fileURLToPath(new URL("../data/us-10m.json", import.meta.resolve("vega-datasets")));
  return outlineOf(JSON.parse(await readFile(file, "utf8")));
}

export function outlineOf({ transform, arcs, objects }: Topology): Float32Array[] {
  const used = new Set<number>();
  for (const { arcs: indices } of objects.states.geometries) collect(indices, used);
  return [...used].map((index) => {
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
  });
}

/** Arc numbers of nested rings; ~i means arc i backwards. */
function collect(indices: unknown, used: Set<number>): void {
  if (Array.isArray(indices)) for (const part of indices) collect(part, used);
  else if (typeof indices === "number") used.add(indices < 0 ? ~indices : indices);
}
