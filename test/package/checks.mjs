import { strict as assert } from "node:assert";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { watch } from "node:fs";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { build, transform } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { adapterEnvironment } from "../../scripts/adapter.mjs";
import { startChrome } from "../homes/browser.mjs";
import { denoCommand } from "../homes/child-home.mjs";
import { serve } from "../homes/file-server.mjs";
import { root } from "../homes/locations.mjs";
import { execFully, link } from "./project.mjs";

/** What the consumer computes where all is well: (cos 1, sin 1) by 20 steps of rk4, to f32. */
function assertTurned(outcome) {
  assert.equal(outcome.code, undefined, outcome.message);
  assert.equal(outcome.nfe, 80);
  for (const [i, wanted] of [Math.cos(1), Math.sin(1)].entries()) {
    assert.ok(Math.abs(outcome.x[i] - wanted) < 2e-6, `x[${i}] is ${outcome.x[i]}, wanted ${wanted}`);
  }
}

async function runMain(project, file, args) {
  const { env } = await adapterEnvironment();
  const output = await execFully(file, [...args, "main.js"], { cwd: project.folder, env: { ...process.env, ...env } });
  return JSON.parse(output);
}

/** What a page leaves in `outcome`. */
async function outcomeOf(tab) {
  await tab.waitForFunction(() => "outcome" in globalThis, { timeout: 60_000 });
  return tab.evaluate(() => globalThis.outcome);
}

/** Opens a page of a folder in Chrome and waits for what it finds. */
async function inChrome(folder, page, read = outcomeOf) {
  const server = await serve({ site: folder }, {});
  const browser = await startChrome();
  try {
    const tab = await browser.newPage();
    const thrown = new Promise((_, reject) => tab.once("pageerror", reject));
    await tab.goto(`${server.origin}/site/${page}`);
    return await Promise.race([read(tab), thrown]);
  } finally {
    await browser.close();
    await server.close();
  }
}

/** What the workers' consumer finds where all is well. */
function assertSpread(outcome) {
  assert.deepEqual(outcome, {
    starts: [0, 1024, 2048],
    threads: 2,
    isSame: true,
    late: "these workers have been closed: open new ones with openWorkers()",
  });
}

/** Runs the workers' consumer in Node or Deno; it has to end by itself. */
async function runWorkers(project, file, args) {
  await writeFile(
    join(project.folder, "workers.js"),
    'import { spread } from "./workers-consumer.js";\nconsole.log(JSON.stringify(await spread()));\n',
  );
  const { env } = await adapterEnvironment();
  const options = { cwd: project.folder, env: { ...process.env, ...env } };
  return JSON.parse(await execFully(file, [...args, "workers.js"], options));
}

/** A training by pairs that is left after its first step, as a program: it has to end by itself. */
const leftTraining = `import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
const flow = Flow.create(await openGpu(), { velocity: mlp({ dim: 2, hidden: [4] }) });
const coupling = { method: "exact", group: 64, threads: 2 };
const training = trainFlowMatching(flow, toyData("moons", 99), { steps: 9, batchSize: 64, logEvery: 1, coupling });
const { value } = await training.next();
console.log(JSON.stringify(value.transportCost));
`;

/** The examples of the documentation, as they stand in the declarations that users read; a cluster's need a Redis. */
async function* documentedExamples(folder) {
  for (const entry of await readdir(folder, { recursive: true })) {
    if (!entry.endsWith(".d.ts") || /^cluster[/\\]/.test(entry)) continue;
    const text = await readFile(join(folder, entry), "utf8");
    for (const [, comment] of text.matchAll(/\/\*\*(.*?)\*\//gs)) {
      const [, ...examples] = comment.replace(/^\s*\* ?/gm, "").split("@example\n");
      for (const [i, example] of examples.entries())
        yield { name: `${entry} ${i}`, code: example.replace(/^@(?!example).*$/gm, "") };
    }
  }
}

/** Every path that an `exports` or `imports` value leads to. */
function* targets(value) {
  if (typeof value === "string") yield value;
  else for (const inner of Object.values(value ?? {})) yield* targets(inner);
}

async function typeCheck(project, moduleResolution) {
  const config = {
    compilerOptions: {
      module: moduleResolution === "bundler" ? "esnext" : "node16",
      moduleResolution,
      target: "es2022",
      lib: ["es2022", "esnext.disposable", "dom"],
      types: ["@webgpu/types"],
      strict: true,
      skipLibCheck: false,
      noEmit: true,
    },
    files: ["consumer.ts", "cluster-consumer.ts", "workers-consumer.ts"],
  };
  const path = join(project.folder, `tsconfig.${moduleResolution}.json`);
  await writeFile(path, JSON.stringify(config));
  const unlink = await link(project.folder, "@webgpu/types");
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  await execFully(process.execPath, [tsc, "-p", path], { cwd: project.folder }).finally(unlink);
}

/** @type {readonly { name: string, run: (project: Awaited<ReturnType<import("./project.mjs").createProject>>) => Promise<void> }[]} */
export const checks = [
  {
    name: "the tarball has no dependencies and holds the built files only",
    run: async ({ manifest, files }) => {
      assert.deepEqual(Object.keys(manifest.dependencies ?? {}), []);
      const strangers = files.filter((file) => !/^(dist\/|README|LICENSE|CHANGELOG|package\.json)/.test(file));
      assert.deepEqual(strangers, []);
      assert.ok(
        files.includes("README.md") && files.includes("LICENSE"),
        "README.md and LICENSE belong in the tarball",
      );
    },
  },
  {
    name: "every source map that a script names is in the tarball, and no other; all of it takes less than 14.5 MB",
    run: async ({ folder, files }) => {
      const installed = join(folder, "node_modules", "pushforward");
      let bytes = 0;
      const named = [];
      for (const file of files) {
        const content = await readFile(join(installed, file));
        bytes += content.length;
        if (!file.endsWith(".js")) continue;
        const [, map] = /\/\/# sourceMappingURL=(\S+)\s*$/.exec(content.toString()) ?? [];
        if (map !== undefined) named.push(join(dirname(file), map));
      }
      assert.ok(named.length > 0, "no script names a map");
      assert.deepEqual(files.filter((file) => file.endsWith(".map")).sort(), named.sort());
      assert.ok(bytes < 14.5e6, `${(bytes / 1e6).toFixed(1)} MB`);
    },
  },
  {
    name: "every file that package.json names is in the tarball",
    run: async ({ manifest, files }) => {
      const named = [...targets(manifest.exports), ...targets(manifest.imports), ...targets(manifest.bin)];
      assert.ok(named.length > 0, "package.json has no exports");
      const missing = named
        .map((path) => path.replace(/^\.\//, ""))
        .filter((path) => !path.includes("*") && !files.includes(path));
      assert.deepEqual(missing, []);
    },
  },
  {
    name: "Node without the package webgpu is told to install it",
    run: async (project) => {
      const outcome = await runMain(project, process.execPath, []);
      assert.equal(outcome.code, "no-adapter");
      assert.match(outcome.message, /npm install webgpu/);
    },
  },
  {
    name: "Node with the package webgpu pushes a particle",
    run: async (project) => {
      const unlink = await link(project.folder, "webgpu");
      assertTurned(await runMain(project, process.execPath, []).finally(unlink));
    },
  },
  {
    name: "Node imports pushforward/cluster without its packages, and a call says what to install",
    run: async (project) => {
      await writeFile(
        join(project.folder, "cluster.js"),
        `import { PushforwardError } from "pushforward";
import { openCluster } from "pushforward/cluster";
const error = await openCluster({ url: "redis://127.0.0.1:1" }).catch((error) => error);
console.log(JSON.stringify({ isOurs: error instanceof PushforwardError, code: error.code, message: error.message }));
`,
      );
      const run = async () => JSON.parse(await execFully(process.execPath, ["cluster.js"], { cwd: project.folder }));
      const without = await run();
      assert.deepEqual([without.isOurs, without.code], [true, "unsupported"]);
      assert.match(without.message, /npm install bullmq@6 ioredis@5/);
      const unlink = [await link(project.folder, "bullmq"), await link(project.folder, "ioredis")];
      const found = await run().finally(() => Promise.all(unlink.map((undo) => undo())));
      assert.equal(found.code, "connection", found.message);
    },
  },
  {
    name: "Deno imports the installed package and pushes a particle",
    run: async (project) => {
      const { file, flags } = denoCommand();
      assertTurned(await runMain(project, file, flags));
    },
  },
  {
    name: "JSR takes the sources: deno publish --dry-run, which checks their types and needs no network",
    run: async () => {
      await execFully(denoCommand().file, ["publish", "--dry-run", "--allow-dirty", "--quiet"], { cwd: root });
    },
  },
  {
    name: "Deno runs the sources as JSR gets them, threads included",
    run: async (project) => {
      const manifest = JSON.parse(await readFile(join(root, "jsr.json"), "utf8"));
      assert.equal(manifest.version, project.manifest.version);
      const here = (path) => pathToFileURL(join(root, path)).href;
      const names = Object.entries(manifest.exports).map(([name, path]) => [`pushforward${name.slice(1)}`, here(path)]);
      const own = Object.entries(manifest.imports).map(([name, path]) => [name, here(path)]);
      const map = join(project.folder, "jsr-imports.json");
      await writeFile(map, JSON.stringify({ imports: Object.fromEntries([...names, ...own]) }));
      const { file, flags } = denoCommand();
      assertTurned(await runMain(project, file, [...flags, `--import-map=${map}`]));
      assertSpread(await runWorkers(project, file, [...flags, `--import-map=${map}`]));
    },
  },
  {
    name: "esbuild bundles it for the browser without webgpu or Node's modules, and the bundle runs in Chrome",
    run: async (project) => {
      const site = join(project.folder, "bundled");
      await build({
        entryPoints: [join(project.folder, "consumer.ts")],
        outfile: join(site, "consumer.js"),
        bundle: true,
        format: "esm",
        platform: "browser",
        logLevel: "silent",
      });
      assert.doesNotMatch(
        await readFile(join(site, "consumer.js"), "utf8"),
        /(from|import|require)\s*\(?\s*["'](webgpu|node:)/,
      );
      await writeFile(join(site, "index.html"), "<!doctype html><title>bundled</title><link rel='icon' href='data:,'>");
      assertTurned(
        await inChrome(site, "index.html", (tab) => tab.evaluate(async () => (await import("./consumer.js")).turn())),
      );
    },
  },
  {
    name: "publint finds nothing to say",
    run: async (project) => {
      const pkgDir = join(project.folder, "node_modules", "pushforward");
      const { messages } = await publint({ pkgDir, strict: true, pack: false });
      assert.deepEqual(
        messages.map((message) => formatMessage(message, project.manifest, { color: false })),
        [],
      );
    },
  },
  {
    name: "arethetypeswrong finds nothing wrong with the types of an ES module",
    run: async (project) => {
      const attw = join(root, "node_modules", "@arethetypeswrong", "cli", "dist", "index.js");
      const options = ["--profile", "esm-only", "--no-definitely-typed", "--format", "ascii"];
      await execFully(process.execPath, [attw, project.tarball, ...options]);
    },
  },
  {
    name: "Node requires it from a CommonJS module",
    run: async (project) => {
      const file = join(project.folder, "required.cjs");
      const names =
        '["", "/paths", "/workers", "/cluster", "/diagnostics", "/pytorch", "/few-steps", "/transforms", "/view"]';
      await writeFile(
        file,
        `for (const name of ${names}) console.log(Object.keys(require("pushforward" + name)).length);\n`,
      );
      const { features } = process;
      // since 20.19 and 22.12
      if (!features.require_module) return;
      const counts = (await execFully(process.execPath, [file], { cwd: project.folder })).trim().split("\n");
      assert.ok(
        counts.length === JSON.parse(names).length && counts.every((count) => Number(count) > 0),
        counts.join(),
      );
    },
  },
  {
    name: "what package.json has for browsers works in a plain page through an import map, threads included",
    run: async (project) => {
      const site = join(project.folder, "mapped");
      await cp(join(project.folder, "node_modules", "pushforward", "dist"), join(site, "dist"), { recursive: true });
      for (const file of ["consumer.js", "workers-consumer.js"]) await cp(join(project.folder, file), join(site, file));
      const names = ["", "/paths", "/workers", "/diagnostics", "/pytorch", "/few-steps", "/transforms", "/view"];
      const imports = names.map((name) => [`pushforward${name}`, project.manifest.exports[`.${name}`].browser]);
      const map = JSON.stringify({ imports: Object.fromEntries(imports) });
      const page = await readFile(join(root, "test", "package", "workers.html"), "utf8");
      const mapped = page.replace('<script type="module">', `<script type="importmap">${map}</script>\n$&`);
      await writeFile(join(site, "index.html"), mapped);
      await inChrome(site, "index.html", async (tab) => {
        assertSpread(await outcomeOf(tab));
        assertTurned(await tab.evaluate(async () => (await import("./consumer.js")).turn()));
      });
    },
  },
  {
    name: "importing dist/pushforward.min.js downloads one file of at most 60 kB gzipped, 90 kB with training",
    run: async (project) => {
      const dist = join(project.folder, "node_modules", "pushforward", "dist");
      const text = await readFile(join(dist, "pushforward.min.js"));
      const zipped = (bytes) => gzipSync(bytes, { level: 9 }).length;
      const size = zipped(text);
      const training = zipped(await readFile(join(dist, "pushforward-training.min.js")));
      const told = `the browser bundle is ${size} bytes gzipped, and ${training} more with training`;
      assert.ok(size <= 60_000 && size + training <= 90_000, `${told}: see what grew with esbuild's metafile`);
      assert.ok(!/\bfrom\s*"\.|\bimport\s*"/.test(text), "the browser bundle waits for another file");
      const loaded = [...text.toString().matchAll(/\bimport\s*\("\.\/([^"]*)"\)/g)].map(([, name]) => name);
      for (const room of [
        "analysis",
        "coupling",
        "layered",
        "measures",
        "drawing",
        "muon",
        "seldom",
        "spreading",
        "training",
        "tuning",
      ])
        assert.ok(loaded.includes(`pushforward-${room}.min.js`), `nothing loads the file for ${room}`);
      for (const name of loaded) {
        const part = await readFile(join(dist, name), "utf8");
        assert.ok(!/\bfrom\s*"\.|\bimport\s*["(]/.test(part), `${name} waits for another file by itself`);
      }
    },
  },
  {
    name: "dist/pushforward.min.js works in a plain HTML page",
    run: async (project) => {
      const site = join(project.folder, "plain");
      await mkdir(site, { recursive: true });
      await cp(
        join(project.folder, "node_modules", "pushforward", "dist", "pushforward.min.js"),
        join(site, "pushforward.min.js"),
      );
      await cp(join(root, "test", "package", "page.html"), join(site, "index.html"));
      assertTurned(await inChrome(site, "index.html"));
    },
  },
  {
    name: "pushforward/workers starts threads in Node and in Deno, and lets the program end",
    run: async (project) => {
      const unlink = await link(project.folder, "webgpu");
      assertSpread(await runWorkers(project, process.execPath, []).finally(unlink));
      const { file, flags } = denoCommand();
      assertSpread(await runWorkers(project, file, flags));
    },
  },
  {
    name: "pushforward/diagnostics measures in Node, in Deno and in a plain HTML page, and lets the program end",
    run: async (project) => {
      const measure = `import { toyData } from "pushforward";
import { wasserstein2 } from "pushforward/diagnostics";
export const outcome = await wasserstein2(toyData("moons", 40), toyData("circles", 40), 2);
`;
      await writeFile(join(project.folder, "measure.js"), measure);
      await writeFile(
        join(project.folder, "measured.js"),
        'import { outcome } from "./measure.js";\nconsole.log(outcome);\n',
      );
      const run = (file, flags) => execFully(file, [...flags, "measured.js"], { cwd: project.folder });
      const { file, flags } = denoCommand();
      const found = [Number(await run(process.execPath, [])), Number(await run(file, flags))];
      const site = join(project.folder, "diagnostics");
      await cp(join(project.folder, "node_modules", "pushforward", "dist"), join(site, "dist"), { recursive: true });
      const names = { pushforward: "pushforward.min.js", "pushforward/diagnostics": "pushforward-diagnostics.min.js" };
      const imports = Object.fromEntries(Object.entries(names).map(([name, path]) => [name, `./dist/${path}`]));
      await writeFile(
        join(site, "index.html"),
        `<!doctype html><title>diagnostics</title><link rel="icon" href="data:,">
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">${measure.replace("export const outcome", "globalThis.outcome")}</script>`,
      );
      found.push(await inChrome(site, "index.html"));
      for (const distance of found) assert.equal(distance, found[0]);
      assert.ok(found[0] > 0.5 && found[0] < 2, `W₂ is ${found[0]}`);
    },
  },
  {
    name: "threads make pairs in Node and in Deno, and a training that is left lets the program end",
    run: async (project) => {
      const unlink = await link(project.folder, "webgpu");
      await writeFile(join(project.folder, "left-training.js"), leftTraining);
      const { env } = await adapterEnvironment();
      const options = { cwd: project.folder, env: { ...process.env, ...env } };
      const run = (file, flags) => execFully(file, [...flags, "left-training.js"], options);
      const { file, flags } = denoCommand();
      const costs = [await run(process.execPath, []).finally(unlink), await run(file, flags)];
      for (const cost of costs.map((text) => JSON.parse(text))) assert.ok(cost.coupled < cost.independent);
    },
  },
  {
    name: "pushforward/workers works in a bundle for the browser beside which the thread's script lies",
    run: async (project) => {
      const site = join(project.folder, "bundled-workers");
      await build({
        entryPoints: [join(project.folder, "workers-consumer.ts")],
        outdir: site,
        bundle: true,
        format: "esm",
        platform: "browser",
        logLevel: "silent",
      });
      assert.doesNotMatch(await readFile(join(site, "workers-consumer.js"), "utf8"), /["'](webgpu|node:)/);
      const script = "pushforward-thread.min.js";
      await cp(join(project.folder, "node_modules", "pushforward", "dist", script), join(site, script));
      await cp(join(root, "test", "package", "workers.html"), join(site, "index.html"));
      assertSpread(await inChrome(site, "index.html"));
    },
  },
  {
    name: "dist/pushforward-workers.min.js works in a plain HTML page, which may take it from another origin",
    run: async (project) => {
      const dist = join(project.folder, "node_modules", "pushforward", "dist");
      const cdn = await serve({ dist }, {});
      try {
        for (const place of ["/site/dist", `${cdn.origin}/dist`]) {
          const site = join(project.folder, "plain-workers");
          await cp(dist, join(site, "dist"), { recursive: true });
          await cp(join(project.folder, "workers-consumer.js"), join(site, "workers-consumer.js"));
          const names = { "": "pushforward.min.js", "/workers": "pushforward-workers.min.js" };
          const imports = Object.entries(names).map(([name, file]) => [`pushforward${name}`, `${place}/${file}`]);
          const map = JSON.stringify({ imports: Object.fromEntries(imports) });
          const page = await readFile(join(root, "test", "package", "workers.html"), "utf8");
          const mapped = page.replace('<script type="module">', `<script type="importmap">${map}</script>\n$&`);
          await writeFile(join(site, "index.html"), mapped);
          assertSpread(await inChrome(site, "index.html"));
        }
      } finally {
        await cdn.close();
      }
    },
  },
  {
    name: "the examples in the documentation of functions and options run as they stand",
    run: async (project) => {
      const types = join(project.folder, "node_modules", "pushforward", "dist", "types", "src");
      const names = [];
      for await (const { name, code } of documentedExamples(types)) {
        const file = `example-${names.length}.mjs`;
        await writeFile(join(project.folder, file), (await transform(code, { loader: "ts" })).code);
        names.push({ name, file });
      }
      assert.ok(names.length >= 25, `only ${names.length} examples were found`);
      // some begin with a file of weights
      const program = `import { writeFile } from "node:fs/promises";
import { Flow, mlp, openGpu } from "pushforward";
const gpu = await openGpu();
await writeFile("flow.safetensors", await Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [8] }) }).save());
gpu.dispose();
console.log = () => undefined;
for (const { name, file } of ${JSON.stringify(names)})
  await import("./" + file).catch((error) => { throw new Error(name + ": " + error.message, { cause: error }); });
`;
      await writeFile(join(project.folder, "examples.mjs"), program);
      const unlink = await link(project.folder, "webgpu");
      const { env } = await adapterEnvironment();
      const options = { cwd: project.folder, env: { ...process.env, ...env } };
      await execFully(process.execPath, ["examples.mjs"], options).finally(unlink);
    },
  },
  {
    name: "the installed command line says how to use it",
    run: async (project) => {
      const file = join(project.folder, "node_modules", "pushforward", project.manifest.bin.pushforward);
      const help = await execFully(process.execPath, [file, "--help"], { cwd: project.folder });
      for (const command of ["train", "sample", "log-prob", "plot", "info", "worker"])
        assert.ok(help.includes(command), help);
    },
  },
  {
    name: "the installed command line tells of the package that plots need before it reads or solves anything",
    run: async (project) => {
      const file = join(project.folder, "node_modules", "pushforward", project.manifest.bin.pushforward);
      const words = ["plot", "not-there.safetensors", "-o", join(project.folder, "flow.png")];
      await assert.rejects(
        execFully(process.execPath, [file, ...words], { cwd: project.folder }),
        /npm install @napi-rs\/canvas/,
      );
    },
  },
  {
    name: "the installed command line resumes a training that was killed, with the same bytes in the end",
    run: async (project) => {
      const file = join(project.folder, "node_modules", "pushforward", project.manifest.bin.pushforward);
      const folder = join(project.folder, "killed");
      await mkdir(folder);
      const points = Array.from({ length: 300 }, (_, i) => `${Math.cos(i)},${Math.sin(2 * i)}`);
      await writeFile(join(folder, "data.csv"), `a,b\n${points.join("\n")}\n`);
      const { env } = await adapterEnvironment();
      const options = { cwd: folder, env: { ...process.env, ...env } };
      const words = (name) =>
        `train data.csv -o ${name} --checkpoint ${name}.state --steps 40 --batch-size 64 --hidden 16 --checkpoint-every 7`;
      const train = (name, ...more) => execFully(process.execPath, [file, ...words(name).split(" "), ...more], options);
      const unlink = await link(project.folder, "webgpu");
      await train("whole");
      const cut = spawn(process.execPath, [file, ...words("cut").split(" ")], { ...options, stdio: "ignore" });
      const watcher = watch(folder, (_, name) => {
        if (name === "cut.state") cut.kill("SIGKILL");
      });
      await once(cut, "exit");
      watcher.close();
      await train("cut", "--resume").finally(unlink);
      for (const end of ["", ".state"]) {
        const [whole, resumed] = await Promise.all(["whole", "cut"].map((name) => readFile(join(folder, name + end))));
        assert.ok(whole.equals(resumed), `the resumed training wrote other bytes to cut${end}`);
      }
    },
  },
  { name: "types check in a project with moduleResolution node16", run: (project) => typeCheck(project, "node16") },
  { name: "types check in a project with moduleResolution bundler", run: (project) => typeCheck(project, "bundler") },
];
