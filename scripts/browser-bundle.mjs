// The browser bundle: one file with what nearly every page needs, and a file for each of the other rooms that is loaded when it is first needed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { smallShader } from "./small-shader.mjs";

const main = "pushforward.min.js";
/** The files that are loaded later, by the modules that main imports with `import()`. */
const later = {
  "src/dual/derivatives.ts": "pushforward-derivatives.min.js",
  "src/flow/on-demand.ts": "pushforward-analysis.min.js",
  "src/ode/on-demand.ts": "pushforward-layered.min.js",
  "src/schedule/on-demand.ts": "pushforward-recovery.min.js",
  "src/train/on-demand.ts": "pushforward-training.min.js",
  "src/tune/on-demand.ts": "pushforward-tuning.min.js",
};

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
      entryPoints: { [main.replace(/\.js$/, "")]: "src/index.ts" },
      outdir: folder,
      splitting: true,
      minifySyntax: true,
      metafile: true,
      platform: "browser",
      alias: { "#provider": "./src/gpu/provider-navigator.ts" },
      plugins: [smallShaders],
    });
    const parts = handOver(folder, metafile);
    await build({
      ...common,
      entryPoints: [main, ...parts].map((name) => join(folder, name)),
      outdir: out,
      platform: "browser",
      minify: true,
      external: parts.map((name) => `./${name}`),
      // a part that only lends names has nothing to run
      logOverride: { "ignored-bare-import": "silent" },
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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

/** Makes a function of a file that is loaded later: what it imports, and then `more`, comes as one list, what it exports goes as a record. */
function asFunction(body, more) {
  const count = [...body.matchAll(imports)].length;
  let seen = 0;
  return body
    .replace(imports, (_, list) => {
      const locals = list.replace(/\w+\s+as\s+/g, "");
      seen++;
      const before = seen === 1 ? "let made; export default (given) => made ??= (([" : "";
      return `${before}${locals}${seen === count ? `${more.map((name) => `, ${name}`).join("")}]) => {` : ","}`;
    })
    .replace(tail, (_, list) => `return {${list.replace(/(\w+)\s+as\s+(\w+)/g, "$2: $1")}}; })(given);`);
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

const loaders = "loaders.js";
const loader = (file) => `load_${file.replace(/\W/g, "_")}`;

/** Rewrites the files that esbuild has split, and names those to load later; lines stay where they are, so that the source maps stay right. */
function handOver(folder, metafile) {
  const outputs = new Map(Object.entries(metafile.outputs).map(([path, output]) => [basename(path), output]));
  const inMain = closure(outputs, main);
  const files = partsOf(outputs, inMain);
  /** A file's text with calls of loaders in place of its import()s, and those loaders. */
  const withLoaders = (name) => {
    const used = new Set();
    const text = readFileSync(join(folder, name), "utf8").replace(/\bimport\("\.\/([^"]*)"\)/g, (call, part) => {
      const file = files.get(part);
      if (!file) return call;
      used.add(loader(file));
      return `${loader(file)}()`;
    });
    return { text, used: [...used] };
  };
  for (const name of inMain) {
    const { text, used } = withLoaders(name);
    const line = used.length === 0 ? "" : `\nimport { ${used.join(", ")} } from "./${loaders}";\n`;
    writeFileSync(join(folder, name), text + line);
  }
  const made = [];
  for (const [part, file] of files) {
    const { text: whole, used } = withLoaders(part);
    const given = [];
    const waited = [];
    // Of what is imported for its effects alone, only parts are still to be loaded.
    const text = whole.replace(bareImports, (_, from) => {
      if (files.has(from)) waited.push(files.get(from));
      return "";
    });
    for (const [, list, from] of text.matchAll(imports)) {
      const other = files.get(from);
      if (other) waited.push(other);
      for (const [name] of named(list)) {
        if (other) {
          given.push(`part_${waited.length}.${name}`);
          continue;
        }
        const local = `${file.replace(/\W/g, "_")}_${given.length}`;
        made.push(`import { ${name} as ${local} } from "./${from}";`);
        given.push(local);
      }
    }
    if (given.length === 0) throw new Error(`${part} needs nothing of the main file: load it as it is`);
    writeFileSync(join(folder, file), asFunction(text, used));
    const call = `make([${[...given, ...used].join(", ")}])`;
    const all = [`import("./${file}")`, ...waited.map((other) => `${loader(other)}()`)].join(", ");
    const names = ["{ default: make }", ...waited.map((_, i) => `part_${i + 1}`)].join(", ");
    made.push(
      waited.length === 0
        ? `export function ${loader(file)}() { return ${all}.then((${names}) => ${call}); }`
        : `export function ${loader(file)}() { return Promise.all([${all}]).then(([${names}]) => ${call}); }`,
    );
  }
  writeFileSync(join(folder, loaders), `${made.join("\n")}\n`);
  return [...files.values()];
}
