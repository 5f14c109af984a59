// npm run site:build writes dist/site with the documentation in dist/site/docs, npm run site serves it.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "./build.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "site");
export const siteFolder = join(root, "dist", "site");

/** The library is what every page takes: its bundle, whose other files are loaded when they are first used. */
const bundleOfLibrary = {
  name: "the library's bundle",
  setup({ onResolve }) {
    onResolve({ filter: /^pushforward(\/\w+)?$/ }, ({ path }) => ({
      path: `./${path.replace("/", "-")}.min.js`,
      external: true,
    }));
  },
};

/** Writes the page beside a copy of the library, which has to be built. */
export async function buildSite() {
  const { build: bundle } = await import("esbuild");
  rmSync(siteFolder, { recursive: true, force: true });
  mkdirSync(siteFolder, { recursive: true });
  await bundle({
    absWorkingDir: root,
    entryPoints: { main: "site/main.ts", style: "site/style.css" },
    outdir: siteFolder,
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    plugins: [bundleOfLibrary],
    logLevel: "warning",
  });
  for (const [folder, kind] of [
    [source, /\.(html|webp|svg)$/],
    [join(root, "dist"), /^pushforward.*\.min\.js$/],
  ])
    for (const name of readdirSync(folder)) if (kind.test(name)) cpSync(join(folder, name), join(siteFolder, name));
  await addProgram(join(siteFolder, "index.html"));
}

/** The page shows the program with which the README begins, which the tests of the documents run. */
async function addProgram(path) {
  const { highlight } = await import("./docs.mjs");
  const [, program] = /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];
  const page = readFileSync(path, "utf8");
  const place = "<!-- the first program of README.md -->";
  if (!program || !page.includes(place)) throw new Error("README.md has no program, or the page has no place for it");
  writeFileSync(
    path,
    page.replace(place, () => highlight(program.trim(), "ts")),
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await build();
  await buildSite();
  if (process.argv.includes("--serve")) {
    const { serve } = await import("../test/homes/file-server.mjs");
    const { origin } = await serve({ site: siteFolder }, {});
    console.log(`${origin}/site/index.html (Ctrl-C ends it)`);
  }
  const { buildDocs } = await import("./docs.mjs");
  const pages = await buildDocs(join(siteFolder, "docs"));
  console.log(`Built ${siteFolder.slice(root.length)}, with ${pages} pages of documentation`);
}
