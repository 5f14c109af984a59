// Finds a WebGPU adapter for Node and Deno, and a Chrome: on a machine without a GPU both come from npm.
// Built-ins only: setup.mjs imports this file before there are packages.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { unpackChromium, unpackLoader, unpackSwiftShader, whyNotFromNpm } from "./unpack.mjs";

/**
 * @typedef {"gpu" | "lavapipe" | "swiftshader" | "warp"} Kind
 * @typedef {{ env: Record<string, string>, picked: Kind, description: string }} Adapter `env` goes on top of process.env
 * @typedef {{ description: string, error: string }} Probed one of the two is ""
 * @typedef {object} Host what the choice depends on
 * @property {string} platform as process.platform
 * @property {Record<string, string | undefined>} environment
 * @property {(env: Record<string, string>) => Promise<Probed>} probe asks for an adapter with `env` on top
 * @property {() => string[]} lavapipeDrivers the driver files of lavapipe that are installed
 * @property {() => string} whyNotFromNpm
 * @property {() => { folder: string, icd: string }} unpackSwiftShader
 * @property {() => string} unpackLoader
 */

const root = fileURLToPath(new URL("../", import.meta.url));
const verdicts = join(root, ".cache", "adapter.json");
const driverFolders = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"];
const wishes = ["auto", "gpu", "lavapipe", "swiftshader"];
/** Dawn finds no adapter in the lavapipe of Mesa 22.3; 25 is the oldest that this project is measured on. */
const oldestMesa = 25;
const probeSeconds = 20;

// The object from create() is kept: without it, the adapter's backend is collected as garbage.
const probeProgram = `
import { create } from "webgpu";
globalThis.kept = create([]);
const adapter = await globalThis.kept.requestAdapter();
const { device = "", description = "" } = adapter?.info ?? {};
if (adapter !== null) globalThis.device = await adapter.requestDevice();
process.stdout.write(JSON.stringify(adapter && { device, description }), () => process.exit(0));`;

/** @type {Promise<Adapter> | undefined} */
let found;

/**
 * The environment in which WebGPU has an adapter in Node and Deno: the one of a GPU, else of lavapipe, else of SwiftShader
 * from npm. The variable PUSHFORWARD_ADAPTER (auto, gpu, lavapipe, swiftshader) forces one.
 * Rejects when none is to be had; the message says what to install.
 * @returns {Promise<Adapter>}
 * @example spawn("node", ["program.mjs"], { env: { ...process.env, ...(await adapterEnvironment()).env } })
 */
export function adapterEnvironment() {
  found ??= lookUp();
  return found;
}

async function lookUp() {
  const key = machineKey();
  const known = readVerdicts();
  const verdict = known[key];
  if (verdict && pathsOf(verdict).every((path) => existsSync(path))) return verdict;
  const host = {
    platform: process.platform,
    environment: process.env,
    probe,
    lavapipeDrivers,
    whyNotFromNpm,
    unpackSwiftShader,
    unpackLoader,
  };
  const adapter = await pickAdapter(host);
  // A run inside of `run.mjs` has another environment: some verdicts are kept, the newest first.
  const kept = Object.entries(known).filter(([other]) => other !== key);
  const draft = `${verdicts}.${process.pid}`;
  mkdirSync(join(root, ".cache"), { recursive: true });
  writeFileSync(draft, JSON.stringify(Object.fromEntries([[key, adapter], ...kept].slice(0, 8)), null, 2));
  renameSync(draft, verdicts);
  return adapter;
}

/** What must still be there for a verdict to hold: drivers, and the folder of libraries of ours that comes first. */
function pathsOf({ env }) {
  const [folder = ""] = (env.LD_LIBRARY_PATH ?? "").split(":");
  return [folder, ...(env.VK_ICD_FILENAMES ?? "").split(":")].filter((path) => path !== "");
}

/**
 * Tries one adapter after the other.
 * @param {Host} host
 * @returns {Promise<Adapter>}
 */
export async function pickAdapter(host) {
  const wish = host.environment.PUSHFORWARD_ADAPTER || "auto";
  if (!wishes.includes(wish)) {
    throw new Error(`PUSHFORWARD_ADAPTER is "${wish}", but it is one of ${wishes.join(", ")}: leave it out for auto`);
  }
  /** @type {string[]} */
  const reasons = [];
  /** @param {Record<string, string>} env @param {(kind: Kind) => boolean} isWanted @param {string} name */
  const attempt = async (name, env, isWanted) => {
    const { adapter, reason } = await tryEnvironment(host, env);
    if (adapter !== undefined && isWanted(adapter.picked)) return adapter;
    reasons.push(`${name}: ${reason || `the adapter is ${adapter?.description}`}`);
    return undefined;
  };

  // Who names the driver files has chosen; so has the parent process, when it has been started with our environment.
  const isChosen = Boolean(host.environment.VK_ICD_FILENAMES || host.environment.VK_DRIVER_FILES);
  const isWanted = (kind) => (wish === "auto" ? kind !== "swiftshader" || isChosen : kind === wish);
  let adapter = await attempt("the environment as it is", {}, isWanted);
  if (adapter) return adapter;
  if (host.platform === "linux" && (wish === "auto" || wish === "lavapipe")) {
    const drivers = host.lavapipeDrivers().join(":");
    if (drivers === "") reasons.push("lavapipe: it is not installed");
    else adapter = await attempt("lavapipe", driverEnvironment(drivers), (kind) => kind === "lavapipe");
    if (adapter) return adapter;
  }
  if (host.platform === "linux" && (wish === "auto" || wish === "swiftshader")) {
    const why = host.whyNotFromNpm();
    if (why !== "") reasons.push(`SwiftShader: ${why}`);
    else {
      const { folder, icd } = host.unpackSwiftShader();
      const env = { ...libraryEnvironment(host.environment, folder), ...driverEnvironment(icd) };
      adapter = await attempt("SwiftShader from npm", env, (kind) => kind === "swiftshader");
    }
    if (adapter) return adapter;
  }
  throw new Error(`${wish === "auto" ? "no WebGPU adapter" : `PUSHFORWARD_ADAPTER is "${wish}", but there is none`}:
${reasons.map((reason) => `  - ${reason}`).join("\n")}
${remedy(wish, host.platform)}`);
}

function remedy(wish, platform) {
  const driver = "install the driver of the GPU";
  if (platform !== "linux") return `${driver}, or set PUSHFORWARD_ADAPTER=auto`;
  if (wish === "gpu")
    return `${driver} and its Vulkan files (/usr/share/vulkan/icd.d), or set PUSHFORWARD_ADAPTER=auto`;
  const lavapipe = `install mesa-vulkan-drivers ${oldestMesa} or newer and libvulkan1`;
  if (wish === "lavapipe") return lavapipe;
  const swiftshader = "run npm ci (x64, glibc), which brings SwiftShader";
  return wish === "swiftshader" ? swiftshader : `${swiftshader}; or ${lavapipe}; or ${driver}`;
}

/** @param {Host} host @param {Record<string, string>} env @returns {Promise<{ adapter?: Adapter, reason: string }>} */
async function tryEnvironment(host, env) {
  let tried = env;
  let result = await host.probe(tried);
  if (result.error.includes("libvulkan.so.1") && host.whyNotFromNpm() === "") {
    // There may be a driver, and only the loader is missing: SwiftShader brings one.
    tried = { ...env, ...libraryEnvironment({ ...host.environment, ...env }, host.unpackLoader()) };
    result = await host.probe(tried);
  }
  if (result.error !== "") return { reason: result.error };
  const { description } = result;
  const picked = kindOf(description);
  if (picked === "lavapipe" && Number(/Mesa (\d+)/.exec(description)?.[1] ?? 0) < oldestMesa) {
    return { reason: `the adapter is ${description}, but Mesa ${oldestMesa} is the oldest that is supported` };
  }
  return { adapter: { env: tried, picked, description }, reason: "" };
}

/** @returns {Kind} */
function kindOf(description) {
  if (/llvmpipe|lavapipe/i.test(description)) return "lavapipe";
  if (/swiftshader/i.test(description)) return "swiftshader";
  return /basic render/i.test(description) ? "warp" : "gpu";
}

// Old loaders know one name of the variable, new ones prefer the other.
function driverEnvironment(files) {
  return { VK_ICD_FILENAMES: files, VK_DRIVER_FILES: files };
}

function libraryEnvironment(environment, folder) {
  const others = (environment.LD_LIBRARY_PATH ?? "").split(":").filter((other) => other !== "" && other !== folder);
  return { LD_LIBRARY_PATH: [folder, ...others].join(":") };
}

function lavapipeDrivers() {
  const named = `${process.env.VK_DRIVER_FILES ?? ""}:${process.env.VK_ICD_FILENAMES ?? ""}`.split(":");
  const installed = driverFolders.flatMap((folder) => filesOf(folder));
  return [...new Set([...named, ...installed])].filter((file) => /lvp_icd[^/]*\.json$/.test(file) && existsSync(file));
}

function filesOf(folder) {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

/** Asks for an adapter and a device in a child: drivers may crash or hang, and libraries are found at a process's start. */
function probe(env) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", probeProgram], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let errors = "";
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      child.kill("SIGKILL");
    }, 1000 * probeSeconds);
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      errors += chunk;
    });
    child.once("error", (error) => resolve({ description: "", error: error.message }));
    child.once("close", (_, signal) => {
      clearTimeout(timer);
      resolve(readProbe(output, errors, isLate ? `no answer in ${probeSeconds} s` : signal && `ended by ${signal}`));
    });
  });
}

/** @returns {Probed} */
function readProbe(output, errors, end) {
  // A driver that crashes at the end has given its answer.
  if (output.startsWith("{") && output.endsWith("}")) {
    const { device, description } = JSON.parse(output);
    return { description: description || device || "an adapter without a name", error: "" };
  }
  if (/ERR_MODULE_NOT_FOUND|dawn\.node/.test(errors)) {
    const line = errors.split("\n").find((text) => text.startsWith("Error")) ?? "";
    return { description: "", error: `the package webgpu cannot be loaded: run npm ci (${line})` };
  }
  const line = errors.split("\n").find((text) => /^Warning|Error/.test(text)) ?? "";
  return { description: "", error: [end || "no adapter", line.trim()].filter(Boolean).join("; ") };
}

/** Names what a verdict depends on; any change of it asks for a new one. */
function machineKey() {
  const version = (name) => {
    const file = join(root, "node_modules", name, "package.json");
    return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")).version : "";
  };
  const variables = Object.entries(process.env)
    .filter(([name]) =>
      /^(PUSHFORWARD_ADAPTER$|LD_LIBRARY_PATH$|VK_|MESA_|LIBGL_|DRI_|CUDA_VISIBLE|NVIDIA_)/.test(name),
    )
    .sort();
  const named = [process.env.VK_DRIVER_FILES, process.env.VK_ICD_FILENAMES].flatMap((list) => list?.split(":") ?? []);
  const places = [
    ...driverFolders,
    ...driverFolders.flatMap(filesOf),
    ...named,
    "/dev/dri",
    "/dev/nvidiactl",
    "/dev/dxg",
  ];
  const times = places.map((place) => statSync(place, { throwIfNoEntry: false })?.mtimeMs ?? 0);
  const versions = [process.version, process.platform, process.arch, version("webgpu"), version("@sparticuz/chromium")];
  return createHash("sha256")
    .update(JSON.stringify([root, versions, variables, places, times]))
    .digest("hex");
}

/** @returns {Record<string, Adapter | undefined>} */
function readVerdicts() {
  try {
    return JSON.parse(readFileSync(verdicts, "utf8"));
  } catch {
    // Missing or damaged: what it saves is found again.
    return {};
  }
}

/**
 * A Chrome to drive: the one that PUPPETEER_EXECUTABLE_PATH names, else on Linux the one from npm, else an installed one.
 * @returns {Promise<{ path: string, env: Record<string, string> }>} `env` goes on top of process.env
 */
export async function chromeExecutable() {
  const own = process.env.PUPPETEER_EXECUTABLE_PATH;
  if (own) {
    if (existsSync(own)) return { path: own, env: {} };
    throw new Error(
      `PUPPETEER_EXECUTABLE_PATH is "${own}", but there is no such file: set it to a Chrome, or leave it out`,
    );
  }
  const why = whyNotFromNpm();
  if (why === "") {
    const { path, libraries, fontConfiguration } = unpackChromium();
    const fonts = existsSync("/etc/fonts/fonts.conf") ? {} : { FONTCONFIG_FILE: fontConfiguration };
    return { path, env: { ...libraryEnvironment(process.env, libraries), ...fonts } };
  }
  const path = installedChromes().find((file) => existsSync(file));
  if (path) return { path, env: {} };
  throw new Error(
    `no Chrome: none is installed in the usual places, and ${why}. Set PUPPETEER_EXECUTABLE_PATH to a Chrome.`,
  );
}

function installedChromes() {
  const { platform, env } = process;
  if (platform === "darwin") {
    return ["Google Chrome", "Chromium", "Microsoft Edge"].map(
      (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
    );
  }
  if (platform === "win32") {
    const folders = [env.PROGRAMFILES, env["PROGRAMFILES(X86)"], env.LOCALAPPDATA].filter(
      (folder) => folder !== undefined,
    );
    const names = [
      join("Google", "Chrome", "Application", "chrome.exe"),
      join("Microsoft", "Edge", "Application", "msedge.exe"),
    ];
    return names.flatMap((name) => folders.map((folder) => join(folder, name)));
  }
  const names = ["google-chrome", "google-chrome-stable", "chromium", "chromium-browser", "microsoft-edge"];
  const folders = (env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.flatMap((folder) => names.map((name) => join(folder, name)));
}
