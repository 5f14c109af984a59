// The browser bundle: one file that is complete but for training, and a second file that is loaded at the first training.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { smallShader } from "./small-shader.mjs";

const main = "pushforward.min.js";
const training = "pushforward-training.min.js";

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
 * esbuild splits code at an `import()`, but moves what both sides need into a third file, for which the main file then waits.
 * Here that stays in the main file, which hands it over when it loads the other: a page downloads one file, in one go, and
 * whoever copies that file alone can do all but train.
 *
 * @param {string} out the folder for the files
 * @param {import("esbuild").BuildOptions} common
 */
export async function browserBundle(out, common) {
  const folder = mkdtempSync(join(out, "split-"));
  try {
    await build({
      ...common,
      entryPoints: { [main.replace(/\.js$/, "")]: "src/index.ts" },
      outdir: folder,
      splitting: true,
      platform: "browser",
      alias: { "#provider": "./src/gpu/provider-navigator.ts" },
      plugins: [smallShaders],
    });
    handOver(folder);
    await build({
      ...common,
      entryPoints: [main, training].map((name) => join(folder, name)),
      outdir: out,
      platform: "browser",
      minify: true,
      external: [`./${training}`],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const named = (list) => list.split(",").map((item) => item.trim().split(/\s+as\s+/));

/** Rewrites the files that esbuild has split; lines stay where they are, so that the source maps stay right. */
function handOver(folder) {
  const read = (name) => readFileSync(join(folder, name), "utf8");
  const text = read(main);
  const others = readdirSync(folder).filter((name) => name.endsWith(".js") && name !== main);
  const part = others.find((name) => text.includes(`import("./${name}")`));
  const shared = others.find((name) => name !== part);
  if (!part || !shared || others.length !== 2)
    throw new Error(
      `the browser bundle fell into ${[main, ...others].join(", ")}, but one import() makes three files: the main one, the one that it loads, and what both need`,
    );
  const head = /^import \{([^}]*)\} from "[^"]*";$/m;
  const tail = /^export \{([^}]*)\};$/m;
  const taken = named(head.exec(read(part))?.[1] ?? "");
  const body = read(part)
    .replace(head, (_, list) => {
      const locals = list.replace(/\w+\s+as\s+/g, "");
      return `let made; export default (given) => made ??= (([${locals}]) => {`;
    })
    .replace(tail, (_, list) => `return {${list.replace(/(\w+)\s+as\s+(\w+)/g, "$2: $1")}}; })(given);`);
  writeFileSync(join(folder, training), body);
  const handed = taken.map((_, i) => `handed${i}`);
  const imports = taken.map(([name], i) => `${name} as ${handed[i]}`).join(", ");
  writeFileSync(
    join(folder, main),
    `${text.replace(
      `import("./${part}")`,
      `import("./${training}").then(({ default: make }) => make([${handed.join(", ")}]))`,
    )}\nimport { ${imports} } from "./${shared}";\n`,
  );
}
