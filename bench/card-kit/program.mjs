// What the kit's phases share: their arguments, their clock, reports that are never half-written, and programs in processes of their own.
import { spawn } from "node:child_process";
import { renameSync, writeFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

/** As JSON on the command line: launcher, bundle and cwd of the programs, `out`, `budget` in seconds, and what a phase has besides. */
export const args = JSON.parse(process.argv[2]);
const mark = "\u001epushforward ";
const start = performance.now();
export const elapsed = () => (performance.now() - start) / 1000;
export const log = (text) => process.stdout.write(`[${elapsed().toFixed(1)}s] ${text}\n`);

export function writeReport(report) {
  writeFileSync(`${args.out}.part`, JSON.stringify(report, undefined, 1));
  renameSync(`${args.out}.part`, args.out);
}

/** Starts a program of the bundle; `onEvent` hears what it says, `onLine` all other lines of its standard output. */
export function startProgram(programArgs, onEvent, onLine = () => {}) {
  const child = spawn(
    process.execPath,
    [args.launcher, pathToFileURL(args.bundle).href, JSON.stringify(programArgs), mark],
    { cwd: args.cwd, env: { ...process.env, NO_COLOR: "1" }, stdio: ["ignore", "pipe", "pipe"] },
  );
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (line.startsWith(mark)) onEvent(JSON.parse(line.slice(mark.length)));
    else onLine(line);
  });
  return child;
}
