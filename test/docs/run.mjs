// Runs every program and command of the README and of docs/, and visits the site that is made of them:
// node scripts/run.mjs test/docs/run.mjs [part of a document's path]
import { strict as assert } from "node:assert";
import { spawnSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { transform } from "esbuild";
import { encodeSafetensors, Flow, fitNormalization, mlp, openGpu, toyData } from "../../dist/index.js";
import { documents } from "../../scripts/documents.mjs";
import { startRedis } from "../../scripts/redis.mjs";
import { Workers } from "../cluster/workers.mjs";
import { drawingFlags, endBrowser, startChrome } from "../homes/browser.mjs";
import { serve } from "../homes/file-server.mjs";
import { root } from "../homes/locations.mjs";
import { execFully } from "../package/project.mjs";
import { blocksOf, programOf, small } from "./blocks.mjs";
import { visitSite } from "./site.mjs";

const begun = performance.now();
const filter = process.argv[2] ?? "";
/** Below the checkout, so that the programs find the package by its name. */
const programs = join(root, ".cache", "docs");
/** The files that documents speak of, and a folder for each document with a copy of them. */
const folder = await mkdtemp(join(tmpdir(), "pushforward-docs-"));
let failures = 0;

async function check(name, work) {
  const start = performance.now();
  try {
    const note = await work();
    console.log(`✓ docs > ${name} (${note ? `${note}, ` : ""}${((performance.now() - start) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failures++;
    console.log(`✗ docs > ${name}\n    ${error.message.replaceAll("\n", "\n    ")}`);
  }
}

/** The files that the documents speak of. */
async function writeFiles() {
  await mkdir(join(folder, "files"));
  const gpu = await openGpu();
  const data = toyData("moons", 200);
  const flow = Flow.create(gpu, {
    velocity: mlp({ dim: 2, hidden: [8, 8, 8] }),
    normalization: fitNormalization(data, 2),
  });
  await writeFile(join(folder, "files", "flow.safetensors"), await flow.save());
  const tensors = Object.entries(await flow.weights()).map(([name, values]) => {
    const inputs = name === "net.0.weight" ? 3 : 8;
    const shape = name.endsWith("bias") ? [values.length] : [values.length / inputs, inputs];
    return [name.replace("net.", "layers."), { shape, data: values }];
  });
  await writeFile(join(folder, "files", "model.safetensors"), encodeSafetensors(Object.fromEntries(tensors)));
  const rows = Array.from({ length: 200 }, (_, i) => `${i},${data[2 * i] - 95},${data[2 * i + 1] + 38}`);
  await writeFile(join(folder, "files", "data.csv"), `code,longitude,latitude\n${rows.join("\n")}\n`);
  const training = { columns: ["longitude", "latitude"], steps: 20_000, hidden: [128, 128], activation: "tanh" };
  await writeFile(join(folder, "files", "training.json"), JSON.stringify(training));
  gpu.dispose();
}

const cli = (line) => {
  const words = line
    .replace(/^npx pushforward /, "")
    .replace(/\s+#.*$/, "")
    .split(/\s+/);
  const quick = words.map((word) => (/^\d{4,}$/.test(word) ? "200" : word));
  return [join(root, "dist", "cli.js"), ...quick, ...(words[0] === "train" ? ["--steps", "3", "--hidden", "8"] : [])];
};

/** Commands of the package are run, scripts of the checkout must be there. */
async function runCommands({ code }, scripts, cwd) {
  for (const line of code.trim().split("\n")) {
    const script = /^npm (?:run )?([\w:]+)/.exec(line)?.[1];
    if (/^npx pushforward (?!worker)/.test(line)) await execFully(process.execPath, cli(line), { cwd });
    else if (script && !["install", "ci"].includes(script)) assert.ok(scripts[script], `there is no npm run ${script}`);
  }
}

/** A page ends when its last line has been reached. */
async function openPage(browser, { code }, cwd) {
  const html = code
    .replaceAll("./node_modules/pushforward/dist/", "/dist/")
    .replaceAll('"./node_modules/', '"/node_modules/')
    .replaceAll(/\b\d{1,3}(?:_\d{3})+\b/g, "200");
  const page = `<!doctype html><title>page</title>${html.replace(/<\/script>\s*$/, "document.documentElement.dataset.done = '';</script>")}`;
  const server = await serve(
    { dist: join(root, "dist"), node_modules: join(root, "node_modules"), files: cwd },
    { "/files/page.html": page },
  );
  const tab = await browser.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(error instanceof Error ? error.message : String(error)));
  tab.on(
    "console",
    (message) => message.type() === "error" && !/favicon/.test(message.location().url) && errors.push(message.text()),
  );
  try {
    await tab.goto(`${server.origin}/files/page.html`);
    await tab.waitForSelector("[data-done]", { timeout: 60_000 }).catch(() => errors.push("the script did not end"));
    assert.deepEqual(errors, []);
  } finally {
    await tab.close();
    await server.close();
  }
}

/** Python is read, not run: there is no PyTorch here. */
function parsePython({ code }) {
  const { error, status, stderr } = spawnSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], {
    input: code,
    encoding: "utf8",
  });
  if (!error) assert.equal(status, 0, stderr);
}

const texts = new Map();
for (const path of documents) texts.set(path, await readFile(join(root, path), "utf8"));
const chosen = [...texts].filter(([path]) => path.includes(filter));
if (chosen.length === 0) {
  console.log(`docs: no document has "${filter}" in its path`);
  process.exit(0);
}
const { scripts } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
await rm(programs, { recursive: true, force: true });
await mkdir(programs, { recursive: true });
await writeFiles();

const all = chosen.map(([path, text]) => ({ path, name: path.replaceAll(/[/.]/g, "-"), blocks: blocksOf(text) }));
const withPrograms = all.flatMap((one) => (programOf(one.blocks) ? [{ ...one, program: programOf(one.blocks) }] : []));

await check("all programs have the types that they use", async () => {
  if (withPrograms.length === 0) return "no programs";
  for (const { name, program } of withPrograms) await writeFile(join(programs, `${name}.ts`), program);
  const types = (entry) => [`../../dist/types/src/${entry}.d.ts`];
  const paths = {
    pushforward: types("index"),
    "pushforward/cluster": types("cluster/entry"),
    "pushforward/workers": types("workers/entry"),
    "pushforward/paths": types("path/entry"),
    "pushforward/diagnostics": types("diagnostics/entry"),
    "pushforward/pytorch": types("pytorch/entry"),
    "pushforward/view": types("view/entry"),
  };
  const config = { extends: "../../tsconfig.json", compilerOptions: { paths }, include: ["*.ts"], exclude: [] };
  await writeFile(join(programs, "tsconfig.json"), JSON.stringify(config));
  const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
  await execFully(process.execPath, [tsc, "--noEmit", "-p", join(programs, "tsconfig.json")]);
  return `${withPrograms.length} programs`;
});

const needsRedis = all.some(({ blocks }) => blocks.some(({ code }) => code.includes("redis://")));
const redis = needsRedis ? await startRedis() : undefined;
const workers = redis && new Workers(redis.url);
await workers?.start("docs");
const ours = (text) => (redis ? text.replaceAll("redis://10.0.0.1:6379", redis.url) : text);
const needsBrowser = filter === "" || all.some(({ blocks }) => blocks.some(({ language }) => language === "html"));
const browser = needsBrowser ? await startChrome(drawingFlags) : undefined;
try {
  for (const { path, name, blocks } of all) {
    const cwd = join(folder, name);
    await cp(join(folder, "files"), cwd, { recursive: true });
    const kinds = new Map(
      blocks.map(({ language }) => [language, blocks.filter((block) => block.language === language)]),
    );
    const program = withPrograms.find((one) => one.path === path)?.program;
    if (program)
      await check(`${path}: its program runs`, async () => {
        const { code } = await transform(ours(small(program)), { loader: "ts", format: "esm", target: "es2022" });
        const file = join(programs, `${name}.mjs`);
        await writeFile(file, code);
        await execFully(process.execPath, [file], { cwd });
      });
    for (const block of kinds.get("sh") ?? [])
      await check(`${path}:${block.line}: its commands run`, () =>
        runCommands({ code: ours(block.code) }, scripts, cwd),
      );
    for (const block of kinds.get("html") ?? [])
      await check(`${path}:${block.line}: its page runs in Chrome`, () => openPage(browser, block, cwd));
    for (const block of kinds.get("py") ?? [])
      await check(`${path}:${block.line}: it is Python`, async () => parsePython(block));
    const strangers = [...kinds.keys()].filter((kind) => !["ts", "sh", "html", "py"].includes(kind));
    if (strangers.length > 0)
      await check(path, async () =>
        assert.fail(`nothing runs blocks of ${strangers.map((kind) => `"${kind}"`)}: use ts, sh, html or py`),
      );
  }
  if (filter === "") await visitSite(browser, check);
} finally {
  if (browser) await endBrowser(browser);
  workers?.killAll();
  await redis?.close();
  await rm(folder, { recursive: true, force: true });
}
console.log(`docs: ${failures} failed, ${((performance.now() - begun) / 1000).toFixed(1)} s`);
process.exit(failures === 0 ? 0 : 1);
