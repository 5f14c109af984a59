import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

/** Makes the folder that a file is going to be in, before the work whose result it is to hold; gives the path back. */
export function placeFor<Path extends string | undefined>(path: Path): Path {
  if (path !== undefined) mkdirSync(dirname(path), { recursive: true });
  return path;
}
