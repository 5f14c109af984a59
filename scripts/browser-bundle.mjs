// The browser bundle: one file with what nearly every page needs, and a file for each of the other rooms that is loaded when it is first needed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { shrinkScript } from "./small-script.mjs";
import { smallShader } from "./small-shader.mjs";

const main = "pushforward.min.js";
/** The files that are loaded later, by the modules that main imports with `import()`. */
const later = {
  "src/diagnostics/entry.ts": "pushforward-measures.min.js",
  "src/dual/derivatives.ts": "pushforward-derivatives.min.js",
  "src/flow/bound-states.ts": "pushforward-spaces.min.js",
  "src/flow/on-demand.ts": "pushforward-analysis.min.js",
  "src/flow/stochastic.ts": "pushforward-stochastic.min.js",
  "src/ode/narrow-engine.ts": "pushforward-narrow.min.js",
  "src/ode/on-demand.ts": "pushforward-layered.min.js",
  "src/train/muon.ts": "pushforward-muon.min.js",
  "src/train/coupled-pairs.ts": "pushforward-coupling.min.js",
  "src/train/on-demand.ts": "pushforward-training.min.js",
  "src/train/seldom.ts": "pushforward-seldom.min.js",
  "src/tune/on-demand.ts": "pushforward-tuning.min.js",
  "src/view/entry.ts": "pushforward-drawing.min.js",
  "src/workers/entry.ts": "pushforward-spreading.min.js",
};

/** What stands for a platform's own part in pages. */
export const web = {
  "#provider": "./src/gpu/provider-navigator.ts",
  "#threads": "./src/workers/threads-web.ts",
  "#matching": "./src/transport/matching-web.ts",
};

/** An entry such as "pushforward/workers" for pages: its names, of the classes that the main file has. */
const entryOf = (load, names) => `import { ${load} } from "./${main}";
const { ${names.join(", ")} } = await ${load}();
export { ${names.join(", ")} };
`;

/** Shaders on a diet: see small-shader.mjs. */
export const smallShaders = {
  name: "small shaders",
  setup({ onLoad }) {
    onLoad({ filter: /[/\\]shaders[/\\][^/\\]*\.ts$/ }, ({ path }) => ({
      contents: smallShader(readFileSync(path, "utf8")),
      loader: "ts",
    }));
  },
};

/**
 * esbuild splits code at an `import()`, but moves what both sides need into further files, for which the main file then waits.
 * Here that stays in the main file, which hands it over when it loads another: a page downloads one file, in one go, and
 * whoever copies that file alone can still sample. What only files that are loaded later share becomes a file like them.
 *
 * @param {string} out the folder for the files
 * @param {import("esbuild").BuildOptions} common
 */
export async function browserBundle(out, common) {
  const folder = mkdtempSync(join(out, "split-"));
  try {
    const { metafile } = await build({
      ...common,
      entryPoints: { [main.replace(/\.js$/, "")]: "src/bundle.ts" },
      outdir: folder,
      splitting: true,
      minifySyntax: true,
      metafile: true,
      platform: "browser",
      alias: web,
      plugins: [smallShaders],
    });
    const parts = handOver(folder, metafile);
    await build({
      ...common,
      entryPoints: [main, ...parts].map((name) => join(folder, name)),
      outdir: out,
      platform: "browser",
      external: parts.map((name) => `./${name}`),
      // a part that only lends names has nothing to run
      logOverride: { "ignored-bare-import": "silent" },
    });
    for (const name of [main, ...parts]) shrinkScript(join(out, name));
    const entries = { workers: "loadWorkers", diagnostics: "loadDiagnostics", view: "loadView" };
    for (const [entry, load] of Object.entries(entries)) {
      const source = `src/${entry}/entry.ts`;
      const { exports } = Object.values(metafile.outputs).find(({ entryPoint }) => entryPoint === source);
      writeFileSync(join(out, `pushforward-${entry}.min.js`), entryOf(load, exports.sort()));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The scripts of web workers: one file each, so that whoever moves it moves it alone. Their maps, which hold the whole library once
 * more, are not in the tarball, so nothing says where they are.
 *
 * @param {string} out the folder for the files
 * @param {import("esbuild").BuildOptions} common
 */
export async function threadBundles(out, common) {
  const entryPoints = {
    "pushforward-thread.min": "src/workers/thread-web.ts",
    "pushforward-matching.min": "src/transport/thread-web.ts",
  };
  await build({ ...common, entryPoints, outdir: out, platform: "browser", alias: web, plugins: [smallShaders] });
  for (const name of Object.keys(entryPoints)) shrinkScript(join(out, `${name}.js`), false);
}

const named = (list) => list.split(",").map((item) => item.trim().split(/\s+as\s+/));
const imports = /^import \{([^}]*)\} from "\.\/([^"]*)";$/gm;
const bareImports = /^import "\.\/([^"]*)";$/gm;
const tail = /^export \{([^}]*)\};$/m;

/** Names of the files that `name` waits for, itself included. */
function closure(outputs, name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const { path, kind } of outputs.get(name).imports)
    if (kind === "import-statement") closure(outputs, basename(path), found);
  return found;
}

/**
 * Makes a function of a file that is loaded later. It gets the list of all that main hands over, of which it takes what it needs by
 * its places, and the records of the parts for which it waits; what it exports goes as a record of its own.
 *
 * @param {string} body
 * @param {(from: string, name: string) => number | undefined} placeOf the place in the list; undefined for what another part exports
 */
function asFunction(body, placeOf, more) {
  const taken = [...more];
  const records = [];
  const text = body
    .replace(imports, (whole, list, from) => {
      const record = [];
      for (const [name, local = name] of named(list)) {
        const place = placeOf(from, name);
        if (place === undefined) record.push(`${name}: ${local}`);
        else taken[place] = local;
      }
      if (record.length > 0) records.push(`{ ${record.join(", ")} }`);
      return whole.replace(/[^\n]/g, "");
    })
    .replace(tail, (_, list) => `return {${list.replace(/(\w+)\s+as\s+(\w+)/g, "$2: $1")}}; })(given, parts);`);
  // Places that are not taken stay empty.
  const list = Array.from(taken, (local) => local ?? "").join(", ");
  return `let made; export default (given, parts) => made ??= (([${list}], [${records.join(", ")}]) => {${text}`;
}

/** The files that main does not wait for: those of `later`, and what only they share. Their final names by the names that esbuild gave them. */
function partsOf(outputs, inMain) {
  const files = new Map();
  for (const [module, file] of Object.entries(later)) {
    const part = [...outputs].find(([, { entryPoint }]) => entryPoint === module)?.[0];
    if (!part) throw new Error(`nothing imports ${module} with import(): take it out of the list, or use it`);
    files.set(part, file);
  }
  const entries = files.size;
  for (const entry of [...files.keys()]) {
    for (const part of closure(outputs, entry))
      if (!inMain.has(part) && !files.has(part))
        files.set(part, `pushforward-shared-${files.size - entries + 1}.min.js`);
  }
  return files;
}

/**
 * The loaders are found in a record, which is filled when all files of the bundle have run. If their names were imported, the
 * loaders would have to run before, and what they hand over would run in their order instead of its own.
 */
const record = { name: "lazyFiles", file: "lazy-files.js" };
const loaders = "loaders.js";
const loader = (file) => `${record.name}.${file.replace(/^pushforward-|\.min\.js$/g, "").replace(/\W/g, "_")}`;

/**
 * The files that main imports, by the folders of their sources: gzip makes 500 bytes less of them in this order than in that in which
 * they are first needed. What a file imports comes before it in any order.
 */
function neighbours(outputs, inMain) {
  const source = (name) => Object.keys(outputs.get(name).inputs)[0] ?? "";
  const files = [...inMain].filter((name) => name !== main);
  return files.sort((a, b) => (source(a) < source(b) ? 1 : -1));
}

/** Rewrites the files that esbuild has split, and names those to load later; lines stay where they are, so that the source maps stay right. */
function handOver(folder, metafile) {
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output]));
  const inMain = closure(outputs, main);
  const files = partsOf(outputs, inMain);
  /** A file's text with calls of loaders in place of its import()s, and what it needs for those. */
  const withLoaders = (name) => {
    let used = [];
    const text = readFileSync(join(folder, name), "utf8").replace(/\bimport\("\.\/([^"]*)"\)/g, (call, part) => {
      const file = files.get(part);
      if (!file) return call;
      used = [record.name];
      return `${loader(file)}()`;
    });
    return { text, used };
  };
  for (const name of inMain) {
    const { text, used } = withLoaders(name);
    const last = used.map((local) => `import { ${local} } from "./${record.file}";`);
    if (name === main) last.push(`import "./${loaders}";`);
    const first = name === main ? neighbours(outputs, inMain).map((file) => `import "./${file}";`) : [];
    writeFileSync(join(folder, name), `${first.join("")}${text}\n${last.join("\n")}\n`);
  }
  writeFileSync(join(folder, record.file), `export const ${record.name} = {};\n`);
  // The package's own says that no file is there for its effects alone.
  writeFileSync(join(folder, "package.json"), "{}");
  const made = [`import { ${record.name} } from "./${record.file}";`];
  /** All that is handed over, by file and name; what is needed by several parts is there once. */
  const given = new Map([[record.name, 0]]);
  const placeOf = (from, name) => {
    if (files.has(from)) return undefined;
    const key = `${from} ${name}`;
    if (!given.has(key)) {
      made.push(`import { ${name} as given_${given.size} } from "./${from}";`);
      given.set(key, given.size);
    }
    return given.get(key);
  };
  const lines = [];
  for (const [part, file] of files) {
    const { text: whole, used } = withLoaders(part);
    // Of what is imported for its effects alone, only parts are still to be loaded.
    const bare = [...whole.matchAll(bareImports)].map(([, from]) => from);
    const text = whole.replace(bareImports, "");
    const waited = [...[...text.matchAll(imports)].map(([, , from]) => from), ...bare].filter((from) =>
      files.has(from),
    );
    writeFileSync(join(folder, file), asFunction(text, placeOf, used));
    const others = waited.map((from) => `, ${loader(files.get(from))}`).join("");
    lines.push(`${loader(file)} = () => load(import("./${file}")${others});`);
  }
  const places = Array.from({ length: given.size - 1 }, (_, i) => `given_${i + 1}`);
  made.push(
    `const given = () => [${[record.name, ...places].join(", ")}];`,
    "const load = (file, ...others) => Promise.all([file, ...others.map((other) => other())])",
    "  .then(([{ default: make }, ...parts]) => make(given(), parts));",
    ...lines,
  );
  writeFileSync(join(folder, loaders), `${made.join("\n")}\n`);
  return [...files.values()];
}
