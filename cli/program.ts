import { inspect } from "node:util";
import { Command, CommanderError } from "commander";
import { evaluateCommand } from "./commands/evaluate.ts";
import { exportCommand } from "./commands/export.ts";
import { infoCommand } from "./commands/info.ts";
import { logProbCommand } from "./commands/log-prob.ts";
import { plotCommand } from "./commands/plot.ts";
import { pushCommand } from "./commands/push.ts";
import { sampleCommand } from "./commands/sample.ts";
import { trainCommand } from "./commands/train.ts";
import { workerCommand } from "./commands/worker.ts";
import { type Context, Interrupted, isPushforwardError, PartialResult, UsageError } from "./context.ts";
import { FileError, ReaderGone } from "./file-errors.ts";
import { stdoutNames } from "./targets.ts";
import { unknownInWords } from "./unknown-errors.ts";
import { inWords } from "./wording.ts";

/** Exit codes, so that scripts can tell what happened. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, partial: 3, interrupted: 130 } as const;

const help = `
A first tour:
  pushforward info                                                          which GPU is used
  pushforward train data.csv --columns longitude,latitude -o flow.safetensors
  pushforward sample flow.safetensors --count 100000 -o samples.csv
  pushforward plot data.csv samples.csv --columns longitude,latitude -o both.png
  pushforward log-prob flow.safetensors data.csv
  pushforward info flow.safetensors                                         what it is, and what can be done with it

Results go to stdout, progress and messages to stderr; --json prints the result as one line of JSON.
Exit codes: 0 done, 1 failed, 2 the command line is wrong, 3 done, but some rows are not finite or their
solves did not end (how many is said, and in JSON as nonFinite and unfinished), 130 stopped by Ctrl-C, SIGTERM or SIGHUP.
With PUSHFORWARD_DEBUG=1 in the environment an error comes with its stack, for reports; the exit code stays.
\`pushforward <command> --help\` explains a command, with its defaults, units and examples.`;

function createProgram(context: Context, version: string): Command {
  const program = new Command("pushforward")
    .description("Flow models on WebGPU: train on a CSV file, sample by the millions, evaluate exact log-likelihoods.")
    .version(version)
    .showSuggestionAfterError()
    .addHelpText("after", help);
  for (const make of [
    trainCommand,
    sampleCommand,
    logProbCommand,
    pushCommand,
    evaluateCommand,
    plotCommand,
    exportCommand,
    infoCommand,
    workerCommand,
  ])
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

/** Tells the user what went wrong and returns the exit code; no text that is not ours is ever shown. */
export function explain(thrown: unknown, words: readonly string[], context: Context): number {
  if (thrown instanceof CommanderError) {
    // Commander has printed its message; asking for help or the version is no error, a missing command is.
    const isAnswer = thrown.code === "commander.helpDisplayed" || thrown.code === "commander.version";
    return isAnswer ? exitCodes.ok : exitCodes.usage;
  }
  if (process.env.PUSHFORWARD_DEBUG) context.stderr.write(`${inspect(thrown)}\n`);
  if (thrown instanceof PartialResult) {
    context.stderr.write(`warning: ${thrown.message}\n`);
    return exitCodes.partial;
  }
  const { aborted, reason } = context.signal;
  // Stdout failed: what the command says of its end is only that it was ended.
  const error = reason instanceof FileError || reason instanceof ReaderGone ? reason : thrown;
  if (error instanceof ReaderGone) return exitCodes.ok;
  const isStopped = aborted && error === thrown;
  const { message, code } = isStopped
    ? { message: error instanceof Interrupted ? error.message : "stopped", code: "interrupted" }
    : describeError(error, words[0] ?? "");
  context.stderr.write(`${isStopped ? "" : "error: "}${message}\n`);
  if (words.includes("--json")) {
    // Where rows go to stdout, all that is said of them goes to stderr.
    const { stdout, stderr } = context;
    (hasRowsOnStdout(words) ? stderr : stdout).write(`${JSON.stringify({ error: { code, message } })}\n`);
  }
  if (isStopped) return exitCodes.interrupted;
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}

function describeError(error: unknown, command: string): { message: string; code: string } {
  if (error instanceof UsageError) return { message: error.message, code: "usage" };
  if (isPushforwardError(error)) return { message: inWords(error.message, command), code: error.code };
  if (error instanceof FileError) return { message: error.message, code: error.code };
  return unknownInWords(error, command);
}

function hasRowsOnStdout(words: readonly string[]): boolean {
  return words.some((word, i) => {
    const value = /^(?:-o|--output)$/.test(word) ? words[i + 1] : /^(?:-o=?|--output=)(.+)$/.exec(word)?.[1];
    return value !== undefined && stdoutNames.includes(value);
  });
}
