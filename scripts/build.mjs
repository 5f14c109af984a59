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

const root = fileURLToPath(new URL("../", import.meta.url));
const dist = join(root, "dist");
const stampPath = join(dist, ".stamp");
const sourceFolders = ["src", "shaders", "cli", "examples"];
const sourceFiles = ["package.json", "package-lock.json", "tsconfig.json", "tsconfig.build.json", "scripts/build.mjs"];
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

/** Shaders without comments and indentation for the browser bundle: WGSL needs neither. */
const smallShaders = {
  name: "small shaders",
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]shaders[/\\][^/\\]*\.ts$/ }, ({ path }) => {
      const text = readFileSync(path, "utf8");
      // Only whole lines: what stands beside other text is left alone.
      const contents = text.replace(/^[ \t]*\/\/.*\n/gm, "").replace(/^[ \t]+/gm, " ");
      return { contents, loader: "ts" };
    });
  },
};

async function bundles(out) {
  const { build } = await import("esbuild");
  const common = {
    absWorkingDir: root,
    bundle: true,
    format: "esm",
    target: libraryTarget,
    sourcemap: true,
    logLevel: "warning",
  };
  const tools = {
    ...common,
    platform: "node",
    external: ["pushforward", "webgpu", "@napi-rs/canvas"],
    packages: "bundle",
  };
  const examples = readdirSync(join(root, "examples")).filter((file) => /\.ts$/.test(file));
  // One graph for the library and both providers, so that there is one PushforwardError.
  await build({
    ...common,
    entryPoints: {
      index: "src/index.ts",
      "provider-node": "src/gpu/provider-node.ts",
      "provider-navigator": "src/gpu/provider-navigator.ts",
    },
    outdir: out,
    splitting: true,
    chunkNames: "shared-[hash]",
    platform: "neutral",
    external: ["#provider", "webgpu"],
  });
  await build({
    ...common,
    entryPoints: { "pushforward.min": "src/index.ts" },
    outdir: out,
    platform: "browser",
    minify: true,
    alias: { "#provider": "./src/gpu/provider-navigator.ts" },
    plugins: [smallShaders],
  });
  // Bundled CommonJS packages may ask for `require`.
  const requireBanner =
    'import { createRequire as createRequireOfModule } from "node:module"; const require = createRequireOfModule(import.meta.url);';
  await build({ ...tools, entryPoints: { cli: "cli/main.ts" }, outdir: out, banner: { js: requireBanner } });
  await build({
    ...tools,
    entryPoints: Object.fromEntries(examples.map((file) => [file.replace(/\.ts$/, ""), `examples/${file}`])),
    outdir: join(out, "examples"),
    banner: { js: requireBanner },
  });
}

function declarations(out) {
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  const run = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", join(out, "types")], {
    cwd: root,
    encoding: "utf8",
  });
  if (run.status !== 0) throw new Error(`the type declarations cannot be made:\n${run.stdout}${run.stderr}`);
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
    copyFileSync(join(root, "node_modules", "dejavu-fonts-ttf", "ttf", "DejaVuSans.ttf"), join(out, "DejaVuSans.ttf"));
    copyFileSync(join(root, "node_modules", "dejavu-fonts-ttf", "LICENSE"), join(out, "DejaVuSans.LICENSE"));
    writeFileSync(join(out, ".stamp"), hash);
    // Never a half-written dist: the old one goes when the new one is whole.
    rmSync(dist, { recursive: true, force: true });
    renameSync(out, dist);
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const minified = readFileSync(join(dist, "pushforward.min.js"));
  const library = statSync(join(dist, "index.js")).size;
  console.log(
    `Built dist: index.js ${kilobytes(library)}, pushforward.min.js ${kilobytes(minified.length)} (${kilobytes(gzipSync(minified, { level: 9 }).length)} gzipped)`,
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await build();
  } catch (error) {
    console.error(`build: ${error.message}`);
    process.exitCode = 1;
  }
}
