// npm run projects [-- NAME …]: the packed tarball in projects of the tools that people build with, made on the spot from the
// registry, each run in Chrome. It needs the network, so `npm test` does not run it.
import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import process from "node:process";
import { gzipSync } from "node:zlib";
import { build } from "../../scripts/build.mjs";
import { startChrome } from "../homes/browser.mjs";
import { serve } from "../homes/file-server.mjs";
import { createProject, execFully, npm } from "./project.mjs";

const index = (script) =>
  `<!doctype html><title>project</title><link rel="icon" href="data:,"><script type="module" src="${script}"></script>\n`;

/** The page's program: the consumer of the package tests, with threads. */
const pageProgram = `import { turn } from "./consumer";
import { spread } from "./workers-consumer";
(globalThis as any).outcome = { turned: await turn(), spread: await spread() };
`;

/** The same in a web worker of the page. */
const workerPage = `const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
worker.onmessage = ({ data }) => { (globalThis as any).outcome = { turned: data }; };
`;
const workerProgram = `import { turn } from "./consumer";
void turn().then((outcome) => postMessage(outcome));
`;

/** What pages of one, three and all names load at once: what they do not use, and what is loaded when it is first needed, is left out. */
async function sizes(folder, bundle) {
  const programs = {
    toyData: 'import { toyData } from "pushforward";\nconsole.log(toyData("moons", 3));\n',
    sampling:
      'import { Flow, mlp, openGpu } from "pushforward";\nconsole.log(Flow.create(await openGpu(), { velocity: mlp({ dim: 2, hidden: [8] }) }).sample(3));\n',
    all: 'import * as pf from "pushforward";\nconsole.log(pf);\n',
  };
  const told = [];
  for (const [name, text] of Object.entries(programs)) {
    await writeFile(join(folder, "part.ts"), text);
    const { outputFiles, metafile } = await bundle("part.ts");
    const contents = new Map(outputFiles.map((file) => [basename(file.path), file.contents]));
    const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output]));
    const first = new Set();
    const load = (file) => {
      if (first.has(file)) return;
      first.add(file);
      for (const { path, kind } of outputs.get(file).imports) if (kind === "import-statement") load(basename(path));
    };
    load("part.js");
    const bytes = [...first].reduce((sum, file) => sum + gzipSync(contents.get(file), { level: 9 }).length, 0);
    told.push(`${name} ${(bytes / 1000).toFixed(1)} kB`);
  }
  return `loaded at once, gzipped: ${told.join(", ")}`;
}

async function install(folder, packages) {
  if (packages.length > 0) await npm(["install", "--no-audit", "--no-fund", "--no-save", ...packages], folder);
}

/** Serves a folder and waits for what the page finds. */
async function outcomeOf(folder, page = "index.html") {
  const server = await serve({ site: folder }, {});
  try {
    return await outcomeAt(`${server.origin}/site/${page}`);
  } finally {
    await server.close();
  }
}

async function outcomeAt(url) {
  const browser = await startChrome();
  try {
    const tab = await browser.newPage();
    const thrown = new Promise((_, reject) => tab.once("pageerror", reject));
    await tab.goto(url);
    const found = tab.waitForFunction(() => "outcome" in globalThis, { timeout: 120_000 });
    await Promise.race([found, thrown]);
    return await tab.evaluate(() => globalThis.outcome);
  } finally {
    await browser.close();
  }
}

/** A particle that turned by one radian, and where there are threads, samples equal to those of one device. */
function assertOutcome({ turned, spread }) {
  assert.equal(turned.code, undefined, turned.message);
  assert.ok(Math.abs(turned.x[0] - Math.cos(1)) < 2e-6, JSON.stringify(turned));
  if (spread) assert.equal(spread.isSame, true);
}

const vite = (program, files) => async (folder) => {
  await install(folder, ["vite"]);
  await writeFile(join(folder, "page.ts"), program);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await writeFile(join(folder, "index.html"), index("/page.ts"));
  const config = 'export default { base: "./", build: { target: "esnext" }, worker: { format: "es" } };\n';
  await writeFile(join(folder, "vite.config.js"), config);
  const bin = join(folder, "node_modules", "vite", "bin", "vite.js");
  await execFully(process.execPath, [bin, "build"], { cwd: folder });
  assertOutcome(await outcomeOf(join(folder, "dist")));
  // and its development server, which moves packages into a cache
  const server = spawn(process.execPath, [bin, "--port", "0", "--strictPort"], { cwd: folder });
  try {
    let text = "";
    const url = await new Promise((resolve, reject) => {
      server.stdout.on("data", (chunk) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: colours of a terminal
        text += String(chunk).replace(/\u001b\[[0-9;]*m/g, "");
        const found = /http:\/\/localhost:\d+\//.exec(text);
        if (found) resolve(found[0]);
      });
      server.once("exit", () => reject(new Error(`Vite's server ended: ${text}`)));
    });
    assertOutcome(await outcomeAt(url));
  } finally {
    server.kill();
  }
};

/** @type {Record<string, (folder: string) => Promise<string | void>>} */
const projects = {
  esbuild: async (folder) => {
    const { build: bundle } = await import("esbuild");
    const common = { absWorkingDir: folder, bundle: true, format: "esm", platform: "browser", target: "es2022" };
    await bundle({ ...common, entryPoints: ["page.ts"], outdir: "site", logLevel: "warning" });
    await writeFile(join(folder, "site", "index.html"), index("page.js"));
    const script = "pushforward-thread.min.js";
    await cp(join(folder, "node_modules", "pushforward", "dist", script), join(folder, "site", script));
    assertOutcome(await outcomeOf(join(folder, "site")));
    const lean = { ...common, splitting: true, outdir: "part", write: false, minify: true, metafile: true };
    return sizes(folder, (file) => bundle({ ...lean, entryPoints: [file] }));
  },
  vite: vite(pageProgram, {}),
  "vite, in a web worker": vite(workerPage, { "worker.ts": workerProgram }),
  rollup: async (folder) => {
    await install(folder, ["rollup", "@rollup/plugin-node-resolve"]);
    for (const name of ["consumer", "workers-consumer"])
      await cp(join(folder, `${name}.js`), join(folder, "plain", `${name}.js`));
    const plain = pageProgram.replaceAll(/\.\/[\w-]*consumer/g, "$&.js").replace("(globalThis as any)", "globalThis");
    await writeFile(join(folder, "plain", "page.js"), plain);
    const config = `import resolve from "@rollup/plugin-node-resolve";
export default { input: "plain/page.js", output: { dir: "site", format: "es" }, plugins: [resolve({ browser: true })] };
`;
    await writeFile(join(folder, "rollup.config.js"), config);
    await execFully(process.execPath, [join(folder, "node_modules", "rollup", "dist", "bin", "rollup"), "-c"], {
      cwd: folder,
    });
    await writeFile(join(folder, "site", "index.html"), index("page.js"));
    const script = "pushforward-thread.min.js";
    await cp(join(folder, "node_modules", "pushforward", "dist", script), join(folder, "site", script));
    assertOutcome(await outcomeOf(join(folder, "site")));
  },
  webpack: async (folder) => {
    await install(folder, ["webpack@5", "webpack-cli"]);
    const plain = pageProgram.replaceAll(/\.\/[\w-]*consumer/g, "$&.js").replace("(globalThis as any)", "globalThis");
    await writeFile(join(folder, "page.js"), plain);
    const config = `export default { mode: "production", entry: "./page.js", output: { filename: "page.js", publicPath: "auto" } };\n`;
    await writeFile(join(folder, "webpack.config.js"), config);
    await execFully(process.execPath, [join(folder, "node_modules", "webpack-cli", "bin", "cli.js")], { cwd: folder });
    await writeFile(join(folder, "dist", "index.html"), index("page.js"));
    assertOutcome(await outcomeOf(join(folder, "dist")));
  },
  next: async (folder) => {
    await install(folder, ["next", "react", "react-dom", "typescript", "@types/react", "@types/node"]);
    await mkdir(join(folder, "app"));
    await writeFile(join(folder, "next.config.mjs"), 'export default { output: "export" };\n');
    const layout = `export default function Layout({ children }: { children: React.ReactNode }) {
  return <html lang="en"><body>{children}</body></html>;
}
`;
    await writeFile(join(folder, "app", "layout.tsx"), layout);
    const client = `"use client";
import { useEffect, useState } from "react";
import { toyData } from "pushforward";
import { turn } from "../consumer";
export function Turned() {
  const [text, setText] = useState(\`\${toyData("moons", 3).length} numbers on the server, too\`);
  useEffect(() => {
    void turn().then((turned) => {
      (globalThis as any).outcome = { turned };
      setText(JSON.stringify(turned));
    });
  }, []);
  return <p>{text}</p>;
}
`;
    await writeFile(join(folder, "app", "turned.tsx"), client);
    const page = `import { mlp } from "pushforward";
import { Turned } from "./turned";
export default function Page() {
  return <main><p>{mlp({ dim: 2, hidden: [8] }).dim} axes</p><Turned /></main>;
}
`;
    await writeFile(join(folder, "app", "page.tsx"), page);
    const env = { ...process.env, NEXT_TELEMETRY_DISABLED: "1" };
    const bin = join(folder, "node_modules", "next", "dist", "bin", "next");
    await execFully(process.execPath, [bin, "build"], { cwd: folder, env, timeout: 400_000 });
    const html = await readFile(join(folder, "out", "index.html"), "utf8");
    assert.match(html, /6(<!-- -->)? numbers on the server/);
    // its files have addresses from the root of the site
    const server = await serve({ _next: join(folder, "out", "_next"), site: join(folder, "out") }, {});
    try {
      assertOutcome(await outcomeAt(`${server.origin}/site/index.html`));
    } finally {
      await server.close();
    }
  },
};

await build();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !(name in projects));
if (unknown.length > 0) throw new Error(`${unknown.join()}: the projects are ${Object.keys(projects).join("; ")}`);
let failed = 0;
for (const [name, run] of Object.entries(projects)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  const project = await createProject();
  try {
    await writeFile(join(project.folder, "page.ts"), pageProgram);
    const told = await run(project.folder);
    console.log(`✓ ${name}${told ? `: ${told}` : ""}`);
  } catch (error) {
    failed++;
    console.log(`✗ ${name}: ${error.stack}`);
  } finally {
    await project.dispose();
  }
}
process.exitCode = failed > 0 ? 1 : 0;
