// Builds dist/: the ESM library, the minified browser bundle, type declarations, the command line and the examples.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { browserBundle, threadBundles, web } from "./browser-bundle.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const dist = join(root, "dist");
const stampPath = join(dist, ".stamp");
const sourceFolders = ["src", "shaders", "cli", "examples"];
const sourceFiles = [
  "package.json",
  "package-lock.json",
  "tsconfig.json",
  "tsconfig.build.json",
  "scripts/build.mjs",
  "scripts/browser-bundle.mjs",
  "scripts/small-script.mjs",
  "scripts/small-shader.mjs",
];
const libraryTarget = "es2022";

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}

/** A hash over names, sizes and contents of everything that the build reads. */
function sourcesHash() {
  const hash = createHash("sha256");
  const paths = [
    ...sourceFolders.flatMap((folder) => [...filesBelow(join(root, folder))]),
    ...sourceFiles.map((file) => join(root, file)),
  ];
  for (const path of paths.filter((file) => existsSync(file)).sort())
    hash.update(relative(root, path)).update("\0").update(readFileSync(path));
  return hash.digest("hex");
}

async function bundles(out) {
  const { build } = await import("esbuild");
  const common = {
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    target: libraryTarget,
    sourcemap: true,
    metafile: true,
    logLevel: "warning",
  };
  // "pushforward" is named although it is a package: tsconfig.json gives that name to the sources.
  const names = ["cluster", "diagnostics", "few-steps", "pytorch", "transforms", "view", "workers"];
  const own = ["pushforward", ...names.map((name) => `pushforward/${name}`)];
  const tools = { ...common, platform: "node", external: [...own, "webgpu", "@napi-rs/canvas"] };
  const graph = { ...common, outdir: out, splitting: true, chunkNames: "shared-[hash]" };
  // One graph for the library and its providers, so that there is one PushforwardError.
  const library = await build({
    ...graph,
    platform: "neutral",
    entryPoints: {
      index: "src/index.ts",
      paths: "src/path/entry.ts",
      pytorch: "src/pytorch/entry.ts",
      "few-steps": "src/few-steps/entry.ts",
      transforms: "src/data/transforms-entry.ts",
      view: "src/view/entry.ts",
      cluster: "src/cluster/entry.ts",
      diagnostics: "src/diagnostics/entry.ts",
      workers: "src/workers/entry.ts",
      "threads-node": "src/workers/threads-node.ts",
      "threads-deno": "src/workers/threads-deno.ts",
      "threads-web": "src/workers/threads-web.ts",
      "thread-node": "src/workers/thread-node.ts",
      "thread-deno": "src/workers/thread-web.ts",
      "matching-node": "src/transport/matching-node.ts",
      "matching-deno": "src/transport/matching-deno.ts",
      "matching-web": "src/transport/matching-web.ts",
      "matching-thread-node": "src/transport/thread-node.ts",
      "matching-thread-deno": "src/transport/thread-web.ts",
      "provider-node": "src/gpu/provider-node.ts",
      "provider-deno": "src/gpu/provider-deno.ts",
      "provider-navigator": "src/gpu/provider-navigator.ts",
    },
    external: ["#provider", "#threads", "#matching", "webgpu", "bullmq", "ioredis", "node:*"],
  });
  // Another for browsers, where no name stands for a file: a page's import map is told "pushforward" alone.
  await build({
    ...graph,
    platform: "browser",
    entryPoints: {
      web: "src/index.ts",
      "web-paths": "src/path/entry.ts",
      "web-workers": "src/workers/entry.ts",
      "web-diagnostics": "src/diagnostics/entry.ts",
      "web-pytorch": "src/pytorch/entry.ts",
      "web-few-steps": "src/few-steps/entry.ts",
      "web-transforms": "src/data/transforms-entry.ts",
      "web-view": "src/view/entry.ts",
    },
    alias: web,
  });
  await browserBundle(out, common);
  await threadBundles(out, common);
  const cli = await build({
    ...tools,
    entryPoints: { cli: "cli/main.ts" },
    outdir: out,
    // for the tests: the tarball does without it
    sourcemap: "external",
    // Bundled CommonJS packages may ask for `require`.
    banner: {
      js: 'import { createRequire as createRequireOfModule } from "node:module"; const require = createRequireOfModule(import.meta.url);',
    },
  });
  // Examples run in the checkout, beside its packages.
  await build({ ...tools, entryPoints: examplePrograms(), outdir: join(out, "examples"), packages: "external" });
  writeFileSync(join(out, "third-party-licenses.txt"), licenses([library.metafile, cli.metafile]));
}

/** The examples that are programs: the others are their parts. */
function examplePrograms() {
  const files = readdirSync(join(root, "examples")).filter((file) => file.endsWith(".ts"));
  const texts = files.map((file) => readFileSync(join(root, "examples", file), "utf8"));
  return files
    .filter((file) => !texts.some((text) => text.includes(`"./${file}"`)))
    .map((file) => join(root, "examples", file));
}

/** The licences of the packages whose code the bundles hold: most ask to go along with every copy. */
function licenses(metafiles) {
  const inputs = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  const folders = inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]).filter(Boolean);
  const sections = [...new Set([...folders, "node_modules/dejavu-fonts-ttf"])].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    const file = readdirSync(join(root, folder)).find((entry) => /^licen[cs]e/i.test(entry));
    if (file === undefined)
      throw new Error(`${name} ${version} is bundled, but has no licence file: bundle another package`);
    const text = readFileSync(join(root, folder, file), "utf8")
      .replaceAll("\r\n", "\n")
      .trim();
    return `${name} ${version}${typeof license === "string" ? ` (${license})` : ""}\n\n${text}\n`;
  });
  return sections.join(`\n${"-".repeat(80)}\n\n`);
}

function declarations(out) {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const run = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", join(out, "types")], {
    cwd: root,
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(`the type declarations cannot be made:\n${run.stdout}${run.stderr}`);
  // tsc rewrites the imports' extensions in JavaScript only.
  for (const path of filesBelow(join(out, "types"))) {
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/((?:from|import\() ?"\.[^"]*)\.ts"/g, '$1.js"'));
  }
  // A reference to @webgpu/types would be an error where the DOM library has these types and the package is not installed.
  const index = join(out, "types", "src", "index.d.ts");
  const note =
    '// GPUDevice and the like come from the DOM library where it has them, else from the package @webgpu/types: "types": ["@webgpu/types"] in tsconfig.json.\n';
  writeFileSync(index, note + readFileSync(index, "utf8"));
}

/** Builds what has changed since the last build; quick when nothing has. */
export async function build() {
  const hash = sourcesHash();
  if (existsSync(stampPath) && readFileSync(stampPath, "utf8") === hash) return;
  const out = `${dist}.${process.pid}.part`;
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  try {
    await bundles(out);
    declarations(out);
    const font = join(root, "node_modules", "dejavu-fonts-ttf", "ttf", "DejaVuSans.ttf");
    mkdirSync(join(out, "fonts"));
    copyFileSync(font, join(out, "fonts", "DejaVuSans.ttf"));
    writeFileSync(join(out, ".stamp"), hash);
    // Never a half-written dist: the old one goes when the new one is whole.
    rmSync(dist, { recursive: true, force: true });
    renameSync(out, dist);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const sizes = ["pushforward.min.js", "pushforward-training.min.js", "pushforward-tuning.min.js"].map((name) => {
    const text = readFileSync(join(dist, name));
    return `${name} ${kilobytes(text.length)} (${kilobytes(gzipSync(text, { level: 9 }).length)} gzipped)`;
  });
  console.log(`Built dist: index.js ${kilobytes(statSync(join(dist, "index.js")).size)}, ${sizes.join(", ")}`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await build();
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exitCode = 1;
  }
}
