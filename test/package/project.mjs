import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { root } from "../homes/locations.mjs";

const execute = promisify(execFile);

/** Runs a program to its end; rejects with its output when it fails. */
export async function execFully(file, args, options = {}) {
  try {
    const { stdout } = await execute(file, args, { timeout: 120_000, maxBuffer: 1 << 26, ...options });
    return stdout;
  } catch (error) {
    throw new Error(`${file} ${args[0] ?? ""} failed: ${error.message}\n${error.stdout ?? ""}${error.stderr ?? ""}`);
  }
}

/** npm tells its scripts where it is; started without it, `npm` is on the path (a batch file on Windows, which needs a shell). */
export function npm(args, cwd) {
  const script = process.env.npm_execpath;
  if (script?.endsWith(".js")) return execFully(process.execPath, [script, ...args], { cwd });
  return execFully("npm", args, { cwd, shell: process.platform === "win32" });
}

/**
 * Packs the checkout and installs the tarball in a project of its own, outside the checkout, without the network.
 * @returns {Promise<{ folder: string, tarball: string, files: string[], manifest: any, dispose: () => Promise<void> }>} `files`: what the tarball holds
 */
export async function createProject() {
  const folder = await mkdtemp(join(tmpdir(), "pushforward-package-"));
  try {
    const output = await npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], root);
    const [packed] = JSON.parse(output);
    await writeFile(join(folder, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }));
    await npm(["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${packed.filename}`], folder);
    const manifest = JSON.parse(await readFile(join(folder, "node_modules", "pushforward", "package.json"), "utf8"));
    for (const file of ["consumer.ts", "cluster-consumer.ts", "workers-consumer.ts"])
      await cp(join(root, "test", "package", file), join(folder, file));
    await build({
      entryPoints: ["consumer.ts", "workers-consumer.ts"].map((file) => join(folder, file)),
      outdir: folder,
      logLevel: "warning",
    });
    await writeFile(
      join(folder, "main.js"),
      'import { turn } from "./consumer.js";\nconsole.log(JSON.stringify(await turn()));\nprocess.exit(0);\n',
    );
    const files = packed.files.map((file) => file.path);
    const tarball = join(folder, packed.filename);
    return { folder, tarball, files, manifest, dispose: () => rm(folder, { recursive: true, force: true }) };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Makes a package of the checkout look installed in the project; the tests have no network. */
export async function link(folder, name) {
  const target = join(folder, "node_modules", ...name.split("/"));
  await mkdir(dirname(target), { recursive: true });
  await symlink(join(root, "node_modules", ...name.split("/")), target, "junction");
  return () => rm(target, { recursive: true });
}
