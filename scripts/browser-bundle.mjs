// The browser bundle: one file that is complete but for training and tuning, and a file for each of them that is loaded when it is first needed.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { smallShader } from "./small-shader.mjs";

const main = "pushforward.min.js";
/** The files that are loaded later, by the modules that main imports with `import()`. */
const later = {
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
 * whoever copies that file alone can do all but train and tune.
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
      metafile: true,
      platform: "browser",
      alias: { "#provider": "./src/gpu/provider-navigator.ts" },
      plugins: [smallShaders],
    });
    handOver(folder, metafile);
    await build({
      ...common,
      entryPoints: [main, ...Object.values(later)].map((name) => join(folder, name)),
      outdir: out,
      platform: "browser",
      minify: true,
      external: Object.values(later).map((name) => `./${name}`),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const named = (list) => list.split(",").map((item) => item.trim().split(/\s+as\s+/));
const imports = /^import \{([^}]*)\} from "([^"]*)";$/gm;
const tail = /^export \{([^}]*)\};$/m;

/** Rewrites the files that esbuild has split; lines stay where they are, so that the source maps stay right. */
function handOver(folder, { outputs }) {
  const entries = new Map(Object.entries(outputs).map(([path, { entryPoint }]) => [entryPoint, basename(path)]));
  let text = readFileSync(join(folder, main), "utf8");
  const known = new Set([...text.matchAll(imports)].map(([, , from]) => from));
  for (const [module, file] of Object.entries(later)) {
    const part = entries.get(module);
    const call = `import("./${part}")`;
    if (!part || !text.includes(call)) throw new Error(`the browser bundle's main file does not import("${module}")`);
    const body = readFileSync(join(folder, part), "utf8");
    const needed = [...body.matchAll(imports)].map(([, list, from]) => ({ list, from }));
    const stranger = needed.find(({ from }) => !known.has(from));
    if (stranger)
      throw new Error(`${module} needs ${stranger.from}, which the main file does not have: import it there too`);
    let seen = 0;
    const made = body
      .replace(imports, (_, list) => {
        const locals = list.replace(/\w+\s+as\s+/g, "");
        seen++;
        const before = seen === 1 ? "let made; export default (given) => made ??= (([" : "";
        return `${before}${locals}${seen === needed.length ? "]) => {" : ","}`;
      })
      .replace(tail, (_, list) => `return {${list.replace(/(\w+)\s+as\s+(\w+)/g, "$2: $1")}}; })(given);`);
    writeFileSync(join(folder, file), made);
    const handed = needed.flatMap(({ list, from }) => named(list).map(([name]) => ({ name, from })));
    const local = (i) => `${file.replace(/\W/g, "_")}_${i}`;
    text = text.replace(
      call,
      `import("./${file}").then(({ default: make }) => make([${handed.map((_, i) => local(i)).join(", ")}]))`,
    );
    text += handed.map(({ name, from }, i) => `\nimport { ${name} as ${local(i)} } from "${from}";`).join("");
  }
  writeFileSync(join(folder, main), `${text}\n`);
}
