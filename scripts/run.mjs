// node scripts/run.mjs <command> [arguments …]: runs a command in the environment of the adapter.
// A command that ends in .js or .mjs is run by Node; commands of the installed packages are found by their names.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { delimiter } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { adapterEnvironment } from "./adapter.mjs";

const [command, ...rest] = process.argv.slice(2);
if (command === undefined) {
  console.error("no command was given: node scripts/run.mjs <command> [arguments …]");
  process.exit(2);
}
const { env } = await adapterEnvironment().catch((error) => {
  console.error(`run: ${error.message}`);
  process.exit(1);
});
const isScript = /\.m?js$/.test(command);
const bin = fileURLToPath(new URL("../node_modules/.bin", import.meta.url));
const child = spawn(isScript ? process.execPath : command, isScript ? [command, ...rest] : rest, {
  env: { ...process.env, ...env, PATH: [process.env.PATH, bin].filter(Boolean).join(delimiter) },
  stdio: "inherit",
});

// A terminal sends Ctrl-C to both processes; only one sent to this process alone is passed on.
const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
const pass = (signal) => {
  if (signal !== "SIGINT" || !hasTerminal) child.kill(signal);
};
const signals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"]);
for (const signal of signals) process.on(signal, pass);

child.once("error", (error) => {
  console.error(`run: ${command} cannot be started (${error.message})`);
  process.exit(127);
});
child.once("close", (code, signal) => {
  for (const name of signals) process.off(name, pass);
  // A shell reads the number of the signal from the exit code.
  process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  if (signal !== null && process.platform !== "win32") process.kill(process.pid, signal);
});
