// Finds a Redis server, or unpacks Debian's into .cache without installing it; built-ins only.
// node scripts/redis.mjs runs one on port 6379 until Ctrl-C.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Debian's server, and what it needs of libraries that a small system lacks. */
const debianPackages = [
  "redis-server",
  "redis-tools",
  "libjemalloc2",
  "liblzf1",
  "liblua5.1-0",
  "lua-cjson",
  "lua-bitop",
  "libatomic1",
];

/**
 * The server's command and the environment that it needs.
 * Throws when there is neither a redis-server on the path nor a Debian to get one from, and says what to install.
 * @returns {{ command: string, env: Record<string, string> }}
 */
function findRedis() {
  const name = process.platform === "win32" ? "redis-server.exe" : "redis-server";
  const found = (process.env.PATH ?? "").split(delimiter).find((folder) => folder && existsSync(join(folder, name)));
  if (found !== undefined) return { command: join(found, name), env: {} };
  const folder = join(root, ".cache", `redis-debian-${process.arch}`);
  if (!existsSync(folder)) unpackDebian(folder);
  const libraries = readdirSync(join(folder, "usr", "lib"))
    .map((entry) => join(folder, "usr", "lib", entry))
    .filter((path) => existsSync(join(path, "liblzf.so.1")) || existsSync(join(path, "libjemalloc.so.2")));
  const path = [...libraries, process.env.LD_LIBRARY_PATH].filter(Boolean).join(delimiter);
  return { command: join(folder, "usr", "bin", "redis-server"), env: { LD_LIBRARY_PATH: path } };
}

function unpackDebian(folder) {
  mkdirSync(join(root, ".cache"), { recursive: true });
  const draft = mkdtempSync(`${folder}.part-`);
  const run = (command, args) => {
    const { error, status, stderr } = spawnSync(command, args, { cwd: draft, encoding: "utf8", timeout: 120_000 });
    if (status !== 0) throw new Error(`${command} ${args[0]}: ${error?.message ?? stderr.trim()}`);
  };
  try {
    run("apt-get", ["download", ...debianPackages]);
    for (const file of readdirSync(draft)) run("dpkg-deb", ["-x", file, "root"]);
    renameSync(join(draft, "root"), folder);
  } catch (error) {
    throw new Error(
      `there is no redis-server on the path, and Debian's cannot be had (${error.message}): install Redis 6.2 or newer (apt install redis-server, brew install redis)`,
    );
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  server.close();
  await once(server, "close");
  return port;
}

/**
 * Starts a Redis of one's own in a temporary folder, which keeps nothing on disk.
 * @param {{ port?: number }} [options] default: a free port
 * @returns {Promise<{ url: string, port: number, close: () => Promise<void> }>}
 * @example const redis = await startRedis();
 */
export async function startRedis({ port } = {}) {
  const { command, env } = findRedis();
  const folder = mkdtempSync(join(tmpdir(), "pushforward-redis-"));
  const chosen = port ?? (await freePort());
  const args = ["--port", String(chosen), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  const lines = [];
  const reader = createInterface({ input: child.stdout });
  const ready = new Promise((resolve) => {
    reader.on("line", (line) => {
      if (lines.length < 100) lines.push(line);
      if (line.includes("Ready to accept connections")) resolve(undefined);
    });
  });
  const end = await Promise.race([ready, ended]);
  if (end !== undefined) {
    rmSync(folder, { recursive: true, force: true });
    throw new Error(`${command} ended (${end}):\n${lines.join("\n")}`);
  }
  const close = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { url: `redis://127.0.0.1:${chosen}`, port: chosen, close };
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  try {
    const redis = await startRedis({ port: 6379 });
    console.log(`Redis runs at ${redis.url}; Ctrl-C ends it`);
    for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void redis.close());
  } catch (error) {
    console.error(`redis: ${error.message}`);
    process.exitCode = 1;
  }
}
