#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { Interrupted } from "./context.ts";
import { exitCodes, explain, runCommandLine } from "./program.ts";
import { streamFault } from "./stream-sink.ts";

const { stdin, stdout, stderr } = process;
const controller = new AbortController();
const words = process.argv.slice(2);
const context = { stdin, stdout, stderr, signal: controller.signal };

for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(name, () => {
    // `nohup` asks for a program that outlives its terminal, which Node forgets when it starts.
    if (name === "SIGHUP" && basename(process.env._ ?? "") === "nohup") return;
    // The first asks the command to save what is finished, the second does not wait for that.
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort(new Interrupted("stopped"));
  });
}
// `pushforward sample … -o - | head` closes the pipe early, and a file behind `>` may find its disk full.
stdout.on("error", (error) => controller.abort(streamFault(error, "stdout")));
// A terminal that has gone takes no messages; the work goes on, or ends by SIGHUP.
stderr.on("error", () => {});
process.on("uncaughtException", (error) => process.exit(explain(error, words, context)));

const code = await runCommandLine(words, context, version());
// A native device may keep the process alive; all that was written is flushed first.
stdout.write("", (error) => {
  const fault = error && code === exitCodes.ok ? streamFault(error, "stdout") : undefined;
  process.exit(fault ? explain(fault, words, context) : code);
});

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
