import { strict as assert } from "node:assert";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildDocs } from "../../scripts/docs.mjs";
import { serve } from "../homes/file-server.mjs";
import { root } from "../homes/locations.mjs";

/** Not dist/site, which the tests of the playground make anew. */
const folder = join(root, ".cache", "docs-site");
/** As a file: nothing serves it. */
const page = (path) => pathToFileURL(join(folder, path)).href;

/**
 * Builds the site of the documents, which finds links that lead nowhere, and reads in it as a visitor does.
 * @param {import("puppeteer-core").Browser} browser
 * @param {(name: string, work: () => Promise<string | void>) => Promise<void>} check
 */
export async function visitSite(browser, check) {
  await check("the site is built, and every link leads somewhere", async () => `${await buildDocs(folder)} pages`);
  const tab = await browser.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(error instanceof Error ? error.message : String(error)));
  await tab.setViewport({ width: 1280, height: 800 });

  await check("the search finds a page by its subject and a name by its name, without a server", async () => {
    await tab.goto(page("guide/first-flow.html"));
    for (const [words, wanted] of [
      ["optimal transport", "guide/training.html"],
      ["sampleStream", "api/pushforward/classes/Flow.html"],
      ["state dict", "guide/from-pytorch.html"],
    ]) {
      await tab.goto(page("guide/first-flow.html"));
      await tab.type("#search", words);
      await tab.waitForSelector("#found a", { timeout: 30_000 });
      const found = await tab.$$eval("#found a", (links) => links.slice(0, 5).map((link) => link.href));
      assert.ok(
        found.some((address) => address.startsWith(page(wanted))),
        `"${words}" leads to ${found.join(", ")}, not to ${wanted}`,
      );
    }
    await tab.keyboard.press("Enter");
    await tab.waitForFunction(() => !location.pathname.endsWith("first-flow.html"), { timeout: 30_000 });
  });

  await check("axe finds nothing serious, and nothing is wider than a telephone", async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await tab.setViewport({ width: 390, height: 800 });
    for (const path of [
      "index.html",
      "guide/training.html",
      "api/pushforward/classes/Flow.html",
      "mathematics.html",
      "speed.html",
    ]) {
      await tab.goto(page(path));
      await tab.evaluate(axe);
      const { violations } = await tab.evaluate(() => globalThis.axe.run());
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(
        serious.map(({ id, nodes }) => `${path} ${id}: ${nodes[0].html}`),
        [],
      );
      assert.ok((await tab.evaluate(() => document.documentElement.scrollWidth)) <= 390, `${path} is too wide`);
    }
  });
  await check("every picture of the gallery is shown, as npm run site serves it", async () => {
    const server = await serve({ docs: folder }, {});
    try {
      await tab.goto(`${server.origin}/docs/gallery.html`);
      const empty = await tab.$$eval("main img", async (pictures) => {
        const shown = (picture) =>
          picture.decode().then(
            () => picture.naturalWidth > 0,
            () => false,
          );
        for (const picture of pictures) picture.loading = "eager";
        const all = await Promise.all(pictures.map(shown));
        return pictures.length < 8 ? "too few pictures" : pictures.filter((_, i) => !all[i]).map(({ src }) => src);
      });
      assert.deepEqual(empty, []);
    } finally {
      await server.close();
    }
  });
  assert.deepEqual(errors, []);
  await tab.close();
}
