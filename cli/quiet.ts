import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";

const standardError = 2;

/**
 * Runs `work` with the notices left out that native code writes to the process's standard error by itself: Dawn tells of each
 * limit that it lowers for an adapter, in lines that no option silences and that mean nothing to a user. What the process itself
 * writes to stderr meanwhile is lost with them, so nothing but the opening of a device belongs here. Where the descriptor cannot be
 * opened a second time (Windows, sockets), the notices stay. So they do in a file that is not appended to, as after `2>`, where what is
 * opened again has a place of its own: its lines and those of others who write to that file, such as stdout after `2>&1`, would come
 * to lie on each other.
 */
export async function withoutNotices<T>(work: () => Promise<T>): Promise<T> {
  if (hasOwnPlace()) return work();
  let kept: number;
  try {
    kept = openSync(`/dev/fd/${standardError}`, "a");
  } catch {
    return work();
  }
  point(standardError, "/dev/null");
  try {
    return await work();
  } finally {
    point(standardError, `/dev/fd/${kept}`);
    closeSync(kept);
  }
}

/** Whether standard error is a file of which a second descriptor, as Linux opens it, would not share the place. */
function hasOwnPlace(): boolean {
  if (process.platform !== "linux" || !fstatSync(standardError).isFile()) return false;
  const appends = 0o2000;
  const [, flags] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${standardError}`, "utf8")) ?? [];
  // where the system does not say it, no line is risked
  return flags === undefined || (Number.parseInt(flags, 8) & appends) === 0;
}

/** Makes `descriptor` one of `path`: a file that is opened gets the lowest number that is free. */
function point(descriptor: number, path: string): void {
  const spare: number[] = [];
  closeSync(descriptor);
  for (let got = openSync(path, "a"); got !== descriptor; got = openSync(path, "a")) {
    spare.push(got);
    // a lower one was free, as where the process was started without stdin
    if (got > descriptor) break;
  }
  for (const each of spare) closeSync(each);
}
