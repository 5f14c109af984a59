#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Interrupted } from "./context.ts";
import { exitCodes, runCommandLine } from "./program.ts";

const controller = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // The first asks the command to save what is finished, the second does not wait for that.
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort(new Interrupted("stopped"));
  });
}
// `pushforward sample … -o - | head` closes the pipe early, which is no fault.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.ok);
  throw error;
});

const { stdin, stdout, stderr } = process;
const code = await runCommandLine(
  process.argv.slice(2),
  { stdin, stdout, stderr, signal: controller.signal },
  version(),
);
// A native device may keep the process alive; all that was written is flushed first.
stdout.write("", () => process.exit(code));

/** The package's version: package.json is one folder up from both cli/ and the built file. */
function version(): string {
  for (const place of ["../package.json", "../../package.json"]) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8"));
      if (name === "pushforward") return version;
    } catch {
      // Not there: look one folder higher.
    }
  }
  return "unknown";
}
