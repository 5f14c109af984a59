import { Command, CommanderError } from "commander";
import { infoCommand } from "./commands/info.ts";
import { logProbCommand } from "./commands/log-prob.ts";
import { plotCommand } from "./commands/plot.ts";
import { sampleCommand } from "./commands/sample.ts";
import { trainCommand } from "./commands/train.ts";
import { workerCommand } from "./commands/worker.ts";
import { type Context, Interrupted, UsageError } from "./context.ts";

/** Exit codes, so that scripts can tell what happened. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

const help = `
A first tour:
  pushforward info                                                          which GPU is used
  pushforward train data.csv --columns longitude,latitude -o flow.safetensors
  pushforward sample flow.safetensors --count 100000 -o samples.csv
  pushforward plot data.csv samples.csv --columns longitude,latitude -o both.png
  pushforward log-prob flow.safetensors data.csv

Results go to stdout, progress and messages to stderr; --json prints the result as one line of JSON.
Exit codes: 0 done, 1 failed, 2 the command line is wrong, 130 stopped by Ctrl-C.
\`pushforward <command> --help\` explains a command, with its defaults, units and examples.`;

function createProgram(context: Context, version: string): Command {
  const program = new Command("pushforward")
    .description("Flow models on WebGPU: train on a CSV file, sample by the millions, evaluate exact log-likelihoods.")
    .version(version)
    .showSuggestionAfterError()
    .addHelpText("after", help);
  for (const make of [trainCommand, sampleCommand, logProbCommand, plotCommand, infoCommand, workerCommand])
    program.addCommand(make(context));
  for (const command of [program, ...program.commands]) {
    command
      .exitOverride()
      .configureOutput({
        writeOut: (text) => context.stdout.write(text),
        writeErr: (text) => context.stderr.write(text),
      })
      .configureHelp({ showGlobalOptions: false })
      .showHelpAfterError("(add --help for the options and examples)");
  }
  return program;
}

/** Runs one command line (without `node` and the script's name) and resolves to its exit code. */
export async function runCommandLine(words: readonly string[], context: Context, version: string): Promise<number> {
  try {
    await createProgram(context, version).parseAsync([...words], { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    return explain(error, words, context);
  }
}

function explain(error: unknown, words: readonly string[], context: Context): number {
  if (error instanceof CommanderError) {
    // Commander has printed its message; asking for help or the version is no error, a missing command is.
    const isAnswer = error.code === "commander.helpDisplayed" || error.code === "commander.version";
    return isAnswer ? exitCodes.ok : exitCodes.usage;
  }
  const isStopped = context.signal.aborted;
  const { name, message, code } = describeError(error);
  const text = isStopped && name !== Interrupted.name ? "stopped" : message;
  context.stderr.write(`${isStopped ? "" : "error: "}${text}\n`);
  if (words.includes("--json"))
    context.stdout.write(`${JSON.stringify({ error: { code: isStopped ? "interrupted" : code, message: text } })}\n`);
  if (isStopped) return exitCodes.interrupted;
  return name === UsageError.name ? exitCodes.usage : exitCodes.failed;
}

function describeError(error: unknown): { name: string; message: string; code: string } {
  if (!(error instanceof Error)) return { name: "", message: String(error), code: "failed" };
  const code = "code" in error && typeof error.code === "string" ? error.code : "failed";
  if (code === "ENOENT") return { name: error.name, message: `no such file or folder: ${pathOf(error)}`, code };
  if (code === "EACCES") return { name: error.name, message: `not allowed to use ${pathOf(error)}`, code };
  if (code === "EISDIR")
    return { name: error.name, message: `${pathOf(error)} is a folder, but a file is expected`, code };
  return { name: error.name, message: error.message, code };
}

function pathOf(error: Error): string {
  return "path" in error && typeof error.path === "string" ? error.path : error.message;
}
