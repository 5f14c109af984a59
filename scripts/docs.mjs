// Makes dist/site/docs of the documents of this repository and of the docstrings of the public names.
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import hljs from "highlight.js/lib/common";
import MarkdownIt from "markdown-it";
import MiniSearch from "minisearch";
import { groups, short } from "./documents.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
const entries = {
  pushforward: "src/index.ts",
  paths: "src/path/entry.ts",
  workers: "src/workers/entry.ts",
  cluster: "src/cluster/entry.ts",
  diagnostics: "src/diagnostics/entry.ts",
  pytorch: "src/pytorch/entry.ts",
  "few-steps": "src/few-steps/entry.ts",
  transforms: "src/data/transforms-entry.ts",
  view: "src/view/entry.ts",
};
const indexDocument = "docs/README.md";
const languages = {
  ts: "typescript",
  js: "javascript",
  mjs: "javascript",
  sh: "bash",
  html: "xml",
  py: "python",
  wgsl: "rust",
};

const escaped = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** As GitHub names the anchors of headings. */
const anchorOf = (heading) =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");

/** Where the page of a file of the repository is, below docs of the site. */
function placeOf(path) {
  if (path === indexDocument || path === "README.md") return "index.html";
  return path
    .replace(/^docs\//, "")
    .replace(/\.md$/, ".html")
    .replace(/\.ts$/, ".ts.html");
}

export const highlight = (code, language) => {
  const name = languages[language] ?? language;
  return hljs.getLanguage(name) ? hljs.highlight(code, { language: name }).value : escaped(code);
};

/** x_0 and x_{k+1} with their indices below, e^{at} with its power above. */
const withIndices = (text) =>
  text
    .replace(
      /(?<![\p{L}\p{N}_])(\p{L}\p{M}?)_(?:\{([^}]*)\}|([\p{L}\p{N}]{1,2})(?![\p{L}\p{N}_]))/gu,
      "$1<sub>$2$3</sub>",
    )
    .replace(/([\p{L}\p{M})])\^(?:\{([^}]*)\}|(\p{L}|\d))/gu, "$1<sup>$2$3</sup>");

/** Markdown to HTML; `link` says where a link leads. */
function renderer(link) {
  const markdown = new MarkdownIt({ html: true, highlight });
  const { rules } = markdown.renderer;
  const self = (tokens, i, options, _, renderer) => renderer.renderToken(tokens, i, options);
  rules.heading_open = (tokens, i, options, env, renderer) => {
    const text = plain(tokens[i + 1]);
    const anchor = anchorOf(text);
    const count = env.anchors.get(anchor) ?? 0;
    env.anchors.set(anchor, count + 1);
    const id = count === 0 ? anchor : `${anchor}-${count}`;
    tokens[i].attrSet("id", id);
    env.headings.push({ id, text, level: Number(tokens[i].tag.slice(1)) });
    return self(tokens, i, options, env, renderer);
  };
  rules.heading_close = (tokens, i, options, env, renderer) => {
    const { id, level, text } = env.headings.at(-1);
    const anchor = level > 1 ? `<a class="anchor" href="#${id}" aria-label="Link to ${escaped(text)}">#</a>` : "";
    return anchor + self(tokens, i, options, env, renderer);
  };
  rules.link_open = (tokens, i, options, env, renderer) => {
    tokens[i].attrSet("href", link(tokens[i].attrGet("href"), env));
    return self(tokens, i, options, env, renderer);
  };
  const image = rules.image;
  rules.image = (tokens, i, options, env, renderer) => {
    tokens[i].attrSet("src", link(tokens[i].attrGet("src"), env));
    tokens[i].attrSet("loading", "lazy");
    return image(tokens, i, options, env, renderer);
  };
  rules.text = (tokens, i) => withIndices(escaped(tokens[i].content));
  // indented blocks are equations, fenced ones are code
  rules.code_block = (tokens, i) =>
    `<pre class="equation" tabindex="0">${withIndices(escaped(tokens[i].content.replace(/\n$/, "")))}</pre>\n`;
  rules.table_open = () => '<div class="table" tabindex="0" role="region" aria-label="Table"><table>\n';
  rules.table_close = () => "</table></div>\n";
  const fence = rules.fence;
  // a reader who goes by keys must be able to scroll what is wide
  rules.fence = (...args) => fence(...args).replace("<pre>", '<pre tabindex="0">');
  return markdown;
}

/** The words of a heading or a paragraph. */
const plain = (token) =>
  (token?.children ?? []).map(({ content, type }) => (type === "softbreak" ? " " : content)).join("");

/** What the search knows of a page: the words below each heading. */
function sectionsOf(markdown, text, page) {
  const sections = [{ id: page.place, page: page.title, title: page.title, text: "" }];
  const anchors = new Map();
  const tokens = markdown.parse(text, {});
  for (const [i, token] of tokens.entries()) {
    if (token.type === "heading_open") {
      const title = plain(tokens[i + 1]);
      const anchor = anchorOf(title);
      const count = anchors.get(anchor) ?? 0;
      anchors.set(anchor, count + 1);
      if (token.tag !== "h1")
        sections.push({ id: `${page.place}#${anchor}${count ? `-${count}` : ""}`, page: page.title, title, text: "" });
    } else if (token.type === "inline" && tokens[i - 1]?.type !== "heading_open")
      sections.at(-1).text += `${plain(token)} `;
    else if (token.type === "fence" || token.type === "code_block") sections.at(-1).text += `${token.content} `;
  }
  return sections;
}

function navigation(page) {
  const item = ({ path, place, title }) =>
    `<li><a href="${posix.relative(posix.dirname(page.place), place)}"${place === page.place ? ' aria-current="page"' : ""}>${escaped(short[path] ?? title)}</a></li>`;
  return page.groups.map(([name, pages]) => `<h2>${name}</h2><ul>${pages.map(item).join("")}</ul>`).join("");
}

function html(page, body, headings) {
  const up = posix.relative(posix.dirname(page.place), ".") || ".";
  const own = headings.filter(({ level }) => level === 2);
  const contents =
    own.length < 3
      ? ""
      : `<nav class="contents" aria-label="On this page"><h2>On this page</h2><ul>${own.map(({ id, text }) => `<li><a href="#${id}">${escaped(text)}</a></li>`).join("")}</ul></nav>`;
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>${escaped(page.title)} · pushforward</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="${up}/docs.css">
    <script defer src="${up}/docs.js" data-root="${up}"></script>
  </head>
  <body>
    <a class="skip" href="#text">Skip to the text</a>
    <header>
      <a class="name" href="${up}/index.html">pushforward</a>
      <a href="${up}/../index.html">Playground</a>
      <a href="${up}/api/index.html">API</a>
      <div class="search">
        <input id="search" type="search" placeholder="Search  /" aria-label="Search the documentation" autocomplete="off" aria-controls="found">
        <div id="found" role="region" aria-label="Results" aria-live="polite" hidden></div>
      </div>
    </header>
    <div class="page">
      <details class="all" open><summary>All pages</summary><nav aria-label="Pages">${navigation(page)}</nav></details>
      <main id="text">${body}</main>
      ${contents}
    </div>
  </body>
</html>
`;
}

/** The reference of the public names, as Markdown in a folder of its own. */
async function reference(folder) {
  const { Application, LogLevel, OptionDefaults } = await import("typedoc");
  const staging = join(root, ".cache", "reference");
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  // a module has the name of its entry
  const entryPoints = Object.entries(entries).map(([name, path]) => {
    const file = join(staging, `${name}.ts`);
    writeFileSync(
      file,
      `/** @module ${name === "pushforward" ? name : `pushforward/${name}`} */\nexport * from "../../${path}";\n`,
    );
    return file;
  });
  const tsconfig = join(staging, "tsconfig.json");
  writeFileSync(
    tsconfig,
    JSON.stringify({ extends: "../../tsconfig.json", include: ["*.ts", "../../src", "../../shaders"], exclude: [] }),
  );
  const app = await Application.bootstrapWithPlugins({
    entryPoints,
    tsconfig,
    plugin: ["typedoc-plugin-markdown"],
    blockTags: [...OptionDefaults.blockTags],
    // its own defaults would empty docs/ and write there
    out: folder,
    cleanOutputDir: false,
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: false,
    disableSources: true,
    skipErrorChecking: true,
    readme: "none",
    logLevel: LogLevel.Error,
    validation: false,
    name: "API",
    indexFormat: "table",
    hidePageHeader: true,
    parametersFormat: "table",
    interfacePropertiesFormat: "list",
    typeAliasPropertiesFormat: "table",
    useCodeBlocks: true,
    entryFileName: "index",
  });
  const project = await app.convert();
  if (!project) throw new Error("typedoc could not read the sources: npm run check says what is wrong");
  await app.outputs.writeOutput({ name: "markdown", path: folder }, project);
}

const titleOf = (text, path) => (/^# (.*)$/m.exec(text)?.[1] ?? path).replaceAll(/[`\\]/g, "");

function* filesBelow(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) yield join(entry.parentPath, entry.name);
}

/**
 * Writes the pages to a folder. Throws where a link leads nowhere.
 * @param {string} out
 */
export async function buildDocs(out) {
  const { build: bundle } = await import("esbuild");
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  const api = join(root, ".cache", "api");
  rmSync(api, { recursive: true, force: true });
  await reference(api);

  const read = (path) => readFileSync(join(root, path), "utf8");
  const document = (path) => ({ path, place: placeOf(path), text: read(path), title: titleOf(read(path), path) });
  const shown = groups.map(([name, paths]) => /** @type {const} */ ([name, paths.map(document)]));
  const apiIndex = { place: "api/index.html", title: "API: every public name" };
  for (const [name, pages] of shown) if (name === "Reference") pages.unshift(/** @type {any} */ (apiIndex));
  const sources = readdirSync(join(root, "examples"))
    .filter((file) => file.endsWith(".ts") || file.endsWith(".html"))
    .map((file) => `examples/${file}`);
  const pages = [
    document(indexDocument),
    ...shown.flatMap(([, list]) => list.filter(({ text }) => text !== undefined)),
    ...[...filesBelow(api)].map((file) => {
      const path = relative(api, file).replaceAll("\\", "/");
      const text = readFileSync(file, "utf8");
      return {
        path: `docs/api/${path}`,
        place: `api/${path.replace(/\.md$/, ".html")}`,
        text,
        title: titleOf(text, path),
      };
    }),
    ...sources.map((path) => {
      const text = `# ${path}\n\n\`\`\`\`${path.split(".").at(-1)}\n${read(path)}\`\`\`\`\n`;
      return { path, place: `${path}.html`.replace(".html.html", ".html"), text, title: path };
    }),
  ];

  const known = new Map(pages.map(({ path, place }) => [path, place]));
  known.set("README.md", "index.html");
  known.set("site/index.html", "../index.html");
  /** @type {{ from: string, to: string, anchor: string }[]} */
  const links = [];
  const link = (href, { page }) => {
    if (/^[a-z]+:/.test(href)) return href;
    const [file = "", anchor = ""] = href.split("#");
    const path = file === "" ? page.path : posix.join(posix.dirname(page.path), decodeURI(file));
    let place = known.get(path);
    if (place === undefined && /\.(png|webp|svg)$/.test(path) && existsSync(join(root, path))) {
      place = path.replace(/^docs\//, "");
      mkdirSync(dirname(join(out, place)), { recursive: true });
      copyFileSync(join(root, path), join(out, place));
    }
    // a document that no list has is a page, too
    if (place === undefined && path.endsWith(".md") && existsSync(join(root, path))) {
      place = placeOf(path);
      known.set(path, place);
      pages.push(document(path));
    }
    if (place === undefined) throw new Error(`${page.path}: the link to ${href} leads nowhere`);
    links.push({ from: page.path, to: place, anchor });
    const target = posix.relative(posix.dirname(page.place), place) || posix.basename(place);
    return `${file === "" ? "" : target}${anchor ? `#${anchor}` : ""}`;
  };

  const markdown = renderer(link);
  const sections = [];
  const anchors = new Map();
  for (const page of pages) {
    const env = { page, anchors: new Map(), headings: [] };
    const body = markdown.render(page.text, env);
    anchors.set(page.place, new Set(env.headings.map(({ id }) => id)));
    const file = join(out, page.place);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, html({ ...page, groups: shown }, body, env.headings));
    if (!page.path.startsWith("examples/")) sections.push(...sectionsOf(markdown, page.text, page));
  }
  for (const { from, to, anchor } of links)
    if (anchor && anchors.has(to) && !anchors.get(to).has(anchor))
      throw new Error(`${from}: ${to} has no heading #${anchor}; it has ${[...anchors.get(to)].join(", ")}`);

  const search = new MiniSearch({ fields: ["title", "page", "text"], storeFields: ["title", "page", "start"] });
  search.addAll(sections.map((section) => ({ ...section, start: section.text.replace(/\s+/g, " ").slice(0, 110) })));
  writeFileSync(join(out, "search-index.js"), `globalThis.searchIndex = ${JSON.stringify(JSON.stringify(search))};\n`);
  await bundle({
    absWorkingDir: root,
    entryPoints: { docs: "site/docs/docs.ts" },
    outdir: out,
    bundle: true,
    format: "iife",
    target: "es2022",
    minify: true,
    logLevel: "warning",
  });
  await bundle({
    absWorkingDir: root,
    entryPoints: { docs: "site/docs/docs.css" },
    outdir: out,
    bundle: true,
    minify: true,
    logLevel: "warning",
  });
  return pages.length;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(`${await buildDocs(join(root, "dist", "site", "docs"))} pages`);
}
