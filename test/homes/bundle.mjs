import { cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { build } from "esbuild";
import { root, workFolder } from "./locations.mjs";

/**
 * Puts the built package where the bundles of Node and Deno find it by its name, as an installation would:
 * package.json and dist, nothing else of the checkout. The bundles get a package.json of their own, so that the name
 * does not mean the checkout around them.
 */
async function installBuiltPackage() {
  const target = join(workFolder, "node_modules", "pushforward");
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await writeFile(join(workFolder, "package.json"), '{ "private": true, "type": "module" }\n');
  await cp(join(root, "package.json"), join(target, "package.json"));
  await cp(join(root, "dist"), join(target, "dist"), { recursive: true });
}

/**
 * Bundles a program for every home; "pushforward" stays outside, so that each home loads the built package.
 * The program exports `main(args, emit)`.
 * @param {string} name of the bundle
 * @param {string} source TypeScript, with imports relative to the checkout
 * @returns {Promise<string>} the bundle's path
 */
export async function bundleProgram(name, source) {
  await installBuiltPackage();
  return bundle(name, source);
}

async function bundle(name, source) {
  const outfile = join(workFolder, `${name}.mjs`);
  await mkdir(workFolder, { recursive: true });
  await build({
    stdin: { contents: source, resolveDir: root, sourcefile: `${name}.ts`, loader: "ts" },
    outfile,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    external: ["pushforward", "webgpu", "node:*"],
    sourcemap: true,
    keepNames: true,
    logLevel: "warning",
  });
  return outfile;
}

/** Bundles the compilation of every shader in the catalogue; it needs no built package. */
export function bundleShaders() {
  return bundle("shaders", `export { main } from "./test/shaders/compile.ts";`);
}

/** Bundles the GPU suite: every `*.suite.ts` of test/gpu. */
export async function bundleSuite() {
  const folder = join(root, "test", "gpu");
  const files = (await readdir(folder)).filter((file) => file.endsWith(".suite.ts")).sort();
  if (files.length === 0) throw new Error(`there is no *.suite.ts in ${relative(root, folder)}`);
  const imports = files.map((file) => {
    const name = JSON.stringify(basename(file, ".suite.ts"));
    return `  beginFile(${name});\n  await import("./test/gpu/${file}");`;
  });
  return bundleProgram(
    "suite",
    [
      `import { beginFile } from "./test/homes/registry.ts";`,
      `import { runSuite } from "./test/homes/suite-program.ts";`,
      "export async function main(args, emit) {",
      ...imports,
      "  await runSuite(args, emit);",
      "}",
    ].join("\n"),
  );
}
