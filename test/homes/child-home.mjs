import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { adapterEnvironment } from "../../scripts/adapter.mjs";
import { workFolder } from "./locations.mjs";

const launcher = fileURLToPath(new URL("./launcher.mjs", import.meta.url));
const mark = "\u001epushforward ";

/** How to start Deno: its executable, and flags that come before the script. */
export function denoCommand() {
  // The npm package's own command starts Deno as a grandchild, which would outlive a kill: ask for the executable.
  const { runInstall } = createRequire(import.meta.url)("deno/install_api.cjs");
  // The package lies in a node_modules folder that Deno did not make: take it as it is.
  return { file: runInstall(), flags: ["run", "--quiet", "--allow-all", "--no-lock", "--node-modules-dir=manual"] };
}

/**
 * Runs a program in Node or Deno, as a child process with the environment of the adapter.
 * @param {"node" | "deno"} home
 * @param {import("./run-in-home.mjs").HomeRun} run
 */
export async function runInChild(home, { bundle, args, onEvent, signal, needsAdapter }) {
  const { file, flags } = home === "node" ? { file: process.execPath, flags: [] } : denoCommand();
  const { env } = needsAdapter ? await adapterEnvironment() : { env: {} };
  const child = spawn(file, [...flags, launcher, pathToFileURL(bundle).href, JSON.stringify(args), mark], {
    cwd: workFolder,
    env: { ...process.env, ...env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stop = () => child.kill("SIGKILL");
  signal.addEventListener("abort", stop);
  let isDone = false;
  let errorOutput = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!line.startsWith(mark)) {
      if (line !== "") console.log(`  | ${line}`);
      return;
    }
    const value = JSON.parse(line.slice(mark.length));
    if (value === "done") isDone = true;
    else onEvent(value);
  });
  child.stderr.on("data", (chunk) => {
    errorOutput = (errorOutput + chunk).slice(-10_000);
  });
  try {
    const [code, name] = await new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (...end) => resolve(end));
    });
    signal.throwIfAborted();
    if (isDone) return;
    const end = name ? `was ended by ${name}` : `ended with exit code ${code}`;
    throw new Error(`the ${home} process ${end}\n${errorOutput.trim()}`.trim());
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
