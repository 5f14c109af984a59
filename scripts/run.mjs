// node scripts/run.mjs <command> [arguments …]: runs a command in the environment of the adapter.
// A command that ends in .js or .mjs is run by Node; commands of the installed packages are found by their names.
import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import { constants } from "node:os";
import { delimiter } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { adapterEnvironment } from "./adapter.mjs";

const signals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);

/**
 * Runs a command with the environment of the adapter and this process's standard streams; signals are passed on.
 * Rejects when there is no adapter or the command cannot be started.
 * @param {string} command run by Node when it ends in .js or .mjs
 * @param {readonly string[]} args
 * @returns {Promise<number>} the exit code; 128 + its number when a signal ended the command
 * @example process.exitCode = await runWithAdapter("dist/cli.js", ["--help"]);
 */
export async function runWithAdapter(command, args) {
  const { env } = await adapterEnvironment();
  const isScript = /\.m?js$/.test(command);
  const bin = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));
  const child = spawn(isScript ? process.execPath : command, isScript ? [command, ...args] : args, {
    env: { ...process.env, ...env, PATH: [process.env.PATH, bin].filter(Boolean).join(delimiter) },
    stdio: "inherit",
  });
  // A terminal sends Ctrl-C to both processes: then it is not passed on a second time.
  const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  /** @param {NodeJS.Signals} signal */
  const pass = (signal) => {
    if (signal !== "SIGINT" || !hasTerminal) child.kill(signal);
  };
  for (const signal of signals) process.on(signal, pass);
  try {
    return await new Promise((resolve, reject) => {
      child.once("error", (error) => reject(new Error(`${command} cannot be started (${error.message})`)));
      child.once("close", (code, signal) => resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]));
    });
  } finally {
    for (const signal of signals) process.off(signal, pass);
  }
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [command, ...args] = process.argv.slice(2);
  if (command === undefined) {
    console.error("no command was given: node scripts/run.mjs <command> [arguments …]");
    process.exitCode = 2;
  } else {
    try {
      process.exitCode = await runWithAdapter(command, args);
    } catch (error) {
      console.error(`run: ${error.message}`);
      process.exitCode = 1;
    }
  }
}
