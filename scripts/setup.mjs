// npm run setup [-- --ci]: installs the packages of the lock file if they are not, and finds a WebGPU adapter.
// Prints one line: what it picked. With --ci, or where no one looks on, there is no note while packages are installed.
import { spawn } from "node:child_process";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { adapterEnvironment } from "./adapter.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));

/**
 * Makes the checkout ready: packages, then an adapter; prints one line that says what it picked.
 * Rejects when npm fails, with its output, and when no adapter is to be had.
 * @param {{ isQuiet?: boolean }} [options] `isQuiet`: no note on standard error while packages are installed
 * @returns {Promise<{ isInstalled: boolean, adapter: import("./adapter.mjs").Adapter }>} `isInstalled`: whether packages
 *   had to be installed
 * @example const { adapter } = await setup({ isQuiet: true });
 */
export async function setup({ isQuiet = !process.stderr.isTTY } = {}) {
  const isInstalled = !matchesLock(join(root, "package-lock.json"), join(root, "node_modules", ".package-lock.json"));
  if (isInstalled) {
    if (!isQuiet) console.error("installing the packages of package-lock.json …");
    await installPackages();
  }
  const adapter = await adapterEnvironment();
  console.log(
    `packages ${isInstalled ? "installed" : "up to date"}; adapter: ${adapter.picked} (${adapter.description})`,
  );
  return { isInstalled, adapter };
}

/**
 * Whether what npm has installed is what the lock file asks for. npm itself writes the second file when it is through.
 * @param {string} lockFile path of package-lock.json
 * @param {string} installedFile path of node_modules/.package-lock.json
 */
export function matchesLock(lockFile, installedFile) {
  if (!existsSync(installedFile)) return false;
  const wanted = readPackages(lockFile);
  const installed = readPackages(installedFile);
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "") continue;
    const other = installed[path];
    // Packages for other platforms are not installed.
    if (other === undefined && !entry.optional && !entry.devOptional) return false;
    if (other !== undefined && (other.version !== entry.version || other.integrity !== entry.integrity)) return false;
  }
  return Object.keys(installed).every((path) => path in wanted);
}

/** @returns {Record<string, { version?: string, integrity?: string, optional?: boolean, devOptional?: boolean }>} */
function readPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

function installPackages() {
  // With NODE_ENV=production npm would leave out the packages that build and test.
  const args = ["ci", "--include=dev", "--loglevel=error"];
  // Under `npm run`, npm says where it lies; on Windows the command is a script, which only a shell starts.
  const own = process.env.npm_execpath;
  const isOwn = own !== undefined && /npm-cli\.c?js$/.test(own);
  const [file, all] = isOwn ? [process.execPath, [own, ...args]] : ["npm", args];
  return new Promise((resolve, reject) => {
    const child = spawn(file, all, {
      cwd: root,
      stdio: ["ignore", "pipe", "pipe"],
      shell: !isOwn && process.platform === "win32",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk) => {
        output += chunk;
      });
    }
    child.once("error", (error) =>
      reject(new Error(`npm cannot be started (${error.message}): install Node.js with npm`)),
    );
    child.once("close", (code, signal) => {
      if (code === 0) resolve(undefined);
      else reject(new Error(`npm ci ended with ${signal ?? `exit code ${code}`}:\n${output.trim()}`));
    });
  });
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const { values } = parseArgs({ options: { ci: { type: "boolean", default: false } } });
    await setup(values.ci ? { isQuiet: true } : {});
  } catch (error) {
    console.error(`setup: ${error.message}`);
    process.exitCode = 1;
  }
}
