// npm run site:build writes dist/site, npm run site serves it.
import { cpSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const source = join(root, "site");
export const siteFolder = join(root, "dist", "site");

/** Builds the page with the library in it, of which the rooms that are not needed at once are files of their own. */
export async function buildSite(out = siteFolder) {
  const { build } = await import("esbuild");
  const { smallShaders } = await import("./browser-bundle.mjs");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: { main: "site/main.ts", style: "site/style.css" },
    outdir: out,
    bundle: true,
    splitting: true,
    chunkNames: "part-[hash]",
    format: "esm",
    platform: "browser",
    target: "es2022",
    minify: true,
    alias: {
      "#provider": "./src/gpu/provider-navigator.ts",
      "#threads": "./src/workers/threads-web.ts",
      pushforward: "./src/index.ts",
    },
    plugins: [smallShaders],
    logLevel: "warning",
  });
  for (const name of readdirSync(source))
    if (/\.(html|webp|svg)$/.test(name)) cpSync(join(source, name), join(out, name));
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await buildSite();
  console.log(`Built ${siteFolder.slice(root.length)}`);
  if (process.argv.includes("--serve")) {
    const { serve } = await import("../test/homes/file-server.mjs");
    const { origin } = await serve({ site: siteFolder }, {});
    console.log(`${origin}/site/index.html (Ctrl-C ends it)`);
  }
}
