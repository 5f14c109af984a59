// npm run card-kit [-- --out file]: one archive with which the library is tested and measured on a bare Linux x86-64 machine that has
// a card and its driver, and neither network nor Node: runtime, package, GPU suite, benches, rivals, PyTorch's side, run.sh.
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { unpackLoader } from "../../scripts/unpack.mjs";
import { bundleProgram, bundleSuite } from "../../test/homes/bundle.mjs";
import { bundleRivals, installRivals } from "../rivals/bundle.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const work = join(root, ".cache", "card-kit");
const kit = join(work, "card-kit");
const homes = join(kit, "homes");
const programs = join(homes, "kit");
const mostBytes = 55 * 1024 * 1024;

const run = (command, args, options = {}) =>
  execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options });

/** Node without its symbols, Dawn, and the C++ runtime of this machine for those that have none. */
function putRuntime() {
  mkdirSync(join(kit, "bin"), { recursive: true });
  mkdirSync(join(kit, "runtime"));
  const node = join(kit, "bin", "node");
  copyFileSync(process.execPath, node);
  run("strip", ["--strip-all", node]);
  if (run(node, ["-p", "6*7"]).trim() !== "42") throw new Error("Node does not start when it is stripped");
  const known = run("/sbin/ldconfig", ["-p"]);
  for (const library of ["libstdc++.so.6", "libgcc_s.so.1"]) {
    const path = known.split("\n").find((line) => line.trim().startsWith(library) && line.includes("x86-64"));
    if (path) copyFileSync(path.split("=> ")[1], join(kit, "runtime", library));
  }
  const dawn = join(root, "node_modules", "webgpu");
  const target = join(homes, "node_modules", "webgpu");
  for (const file of ["package.json", "index.js", "dist/linux-x64/dawn.node"]) {
    mkdirSync(dirname(join(target, file)), { recursive: true });
    copyFileSync(join(dawn, file), join(target, file));
  }
}

/** What an NVIDIA driver may want beside it, by the folder that run.sh brings into play. */
const packages = {
  loaders: ["libegl1", "libglvnd0", "libopengl0", "libgl1", "libglx0", "libgles2"],
  x11: ["libx11-6", "libxext6", "libxcb1", "libxau6", "libxdmcp6", "libbsd0", "libmd0"],
};

/** The loader of Vulkan, and from Debian's packages those of OpenGL and X11, which most machines have or do not need. */
function putLibraries() {
  for (const [folder, names] of Object.entries(packages)) {
    const debs = join(work, "debs", folder);
    mkdirSync(debs, { recursive: true });
    mkdirSync(join(kit, folder));
    const missing = names.filter((name) => !readdirSync(debs).some((file) => file.startsWith(`${name}_`)));
    try {
      if (missing.length > 0) run("apt-get", ["download", "-qq", ...missing], { cwd: debs });
    } catch {
      console.log(`card-kit: without ${missing.join(", ")}, which apt-get could not download`);
    }
    for (const deb of readdirSync(debs).filter((file) => file.endsWith(".deb"))) {
      const unpacked = join(work, "unpacked");
      rmSync(unpacked, { recursive: true, force: true });
      run("dpkg-deb", ["-x", join(debs, deb), unpacked]);
      // links by the names that programs ask for; plain files travel best
      for (const entry of readdirSync(unpacked, { recursive: true, withFileTypes: true }))
        if (/\.so\.\d+$/.test(entry.name))
          copyFileSync(join(entry.parentPath, entry.name), join(kit, folder, entry.name));
    }
  }
  copyFileSync(join(unpackLoader(), "libvulkan.so.1"), join(kit, "loaders", "libvulkan.so.1"));
}

/** The package as an installation has it, without what only editors and browsers read. */
function putPackage() {
  const target = join(homes, "node_modules", "pushforward");
  mkdirSync(target, { recursive: true });
  copyFileSync(join(root, "package.json"), join(target, "package.json"));
  const unread = /\.map$|\/(types|fonts|examples|site)(\/|$)/;
  const dist = join(root, "dist");
  cpSync(dist, join(target, "dist"), {
    recursive: true,
    filter: (from) => !unread.test(from.slice(dist.length)),
  });
}

async function putPrograms() {
  mkdirSync(programs, { recursive: true });
  for (const file of [
    await bundleSuite(),
    await bundleProgram("bench", 'export { main } from "./bench/program.ts";'),
    join(root, "test", "homes", "launcher.mjs"),
  ])
    copyFileSync(file, join(homes, basename(file)));
  writeFileSync(join(homes, "package.json"), '{ "private": true, "type": "module" }\n');
  installRivals();
  await bundleRivals(homes);
  // ONNX Runtime's program is as large as all else
  for (const file of readdirSync(homes)) if (file.endsWith(".wasm")) rmSync(join(homes, file));
  // these read parts of the sources that the package does not export, as the tests do
  await build({
    entryPoints: ["info", "tilings", "ours"].map((name) => join(here, `${name}.mjs`)),
    outdir: programs,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    external: ["pushforward", "webgpu"],
    keepNames: true,
    logLevel: "warning",
  });
  for (const file of [
    "program.mjs",
    "suite.mjs",
    "benches.mjs",
    "summary.mjs",
    "probe.mjs",
    "pytorch.py",
    "works.json",
  ])
    copyFileSync(join(here, file), join(programs, file));
  copyFileSync(join(here, "run.sh"), join(kit, "run.sh"));
}

function commit() {
  try {
    return run("git", ["describe", "--always", "--dirty"], { cwd: root }).trim();
  } catch {
    return "unknown";
  }
}

async function main() {
  const { values } = parseArgs({ options: { out: { type: "string", default: "out/pushforward-card-kit.tar.gz" } } });
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Error(`the kit is for linux x64 and is made there, this machine is ${process.platform} ${process.arch}`);
  if (!existsSync(join(root, "dist", "index.js"))) throw new Error("the library is not built: run npm run build");
  rmSync(kit, { recursive: true, force: true });
  putRuntime();
  putLibraries();
  putPackage();
  await putPrograms();
  writeFileSync(join(kit, "commit"), `${commit()}\n`);
  const out = resolve(values.out);
  mkdirSync(dirname(out), { recursive: true });
  const order = ["--owner=0", "--group=0", "--sort=name", "--use-compress-program=gzip -9"];
  run("tar", ["-C", work, ...order, "-cf", out, "card-kit"]);
  const { size } = statSync(out);
  console.log(`${values.out}: ${(size / 1024 ** 2).toFixed(1)} MiB`);
  console.log("On the machine with the card: tar -xzf pushforward-card-kit.tar.gz && card-kit/run.sh --quick");
  if (size > mostBytes) throw new Error(`the archive has ${size} bytes, at most ${mostBytes} are wanted`);
}

try {
  await main();
} catch (error) {
  console.error(`card-kit: ${error.message}`);
  process.exitCode = 1;
}
