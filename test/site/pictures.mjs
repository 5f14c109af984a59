// Holds the page to small pictures of it, with a tolerance. npm run pictures makes them anew: look at them before they are committed.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import pixelmatch from "pixelmatch";
import { PNG } from "pngjs";
import { buildSite, siteFolder } from "../../scripts/site.mjs";
import { drawingFlags, endBrowser, startChrome } from "../homes/browser.mjs";
import { serve } from "../homes/file-server.mjs";
import { root } from "../homes/locations.mjs";

const folder = join(root, "test", "site", "pictures");
const seen = join(root, ".cache", "pictures");

/** A difference of colour from which a pixel counts (1: black against white), and the share of pixels that may. Fonts are others elsewhere. */
const threshold = 0.15;
const tolerance = 0.03;

/** What is photographed, each at a quarter of its size: a page of 1280 by 800 takes 18 kB. */
const pictures = [
  {
    name: "page",
    colours: "light",
    width: 1280,
    height: 800,
    address: "target=pinwheel&particles=1000&width=16&layers=2",
  },
  { name: "page-dark", colours: "dark", width: 1280, height: 800 },
  { name: "page-narrow", colours: "light", width: 400, height: 1640 },
];

/** Colours in 17 shades, so that the file is small. */
function coarse(bytes) {
  const png = PNG.sync.read(Buffer.from(bytes));
  for (const [i, value] of png.data.entries())
    png.data[i] = i % 4 === 3 ? 255 : Math.min(255, 16 * Math.round(value / 16));
  return png;
}

const write = (png) => PNG.sync.write(png, { colorType: 2, deflateLevel: 9, deflateStrategy: 0, filterType: 0 });

/** The first weights of a flow, which are the same each time, on their way: nothing moves by itself, and nothing is trained. */
async function prepare(tab, address) {
  await tab.goto(address);
  await tab.evaluate(() => {
    for (const name of ["points", "arrows", "trails"]) document.getElementById(`show-${name}`).click();
  });
  await tab.waitForFunction(
    () =>
      document.getElementById("playground").dataset.state === "resting" &&
      document.getElementById("notice").textContent === "",
    { timeout: 120_000, polling: 50 },
  );
}

/**
 * @param {import("puppeteer-core").Browser} browser
 * @param {string} site address of the page
 * @param {{ renews?: boolean }} [options]
 */
export async function comparePictures(browser, site, { renews = false } = {}) {
  const tab = await browser.newPage();
  const wrong = [];
  for (const { name, colours, width, height, address } of pictures) {
    await tab.emulateMediaFeatures([
      { name: "prefers-reduced-motion", value: "reduce" },
      { name: "prefers-color-scheme", value: colours },
    ]);
    await tab.setViewport({ width, height, deviceScaleFactor: 0.25 });
    if (address) await prepare(tab, `${site}#${address}`);
    // sizes are told in one frame, what they change is drawn in the next ones
    await tab.evaluate(async () => {
      for (let frame = 0; frame < 4; frame++) await new Promise(requestAnimationFrame);
    });
    const found = coarse(await tab.screenshot());
    const file = join(folder, `${name}.png`);
    if (renews) {
      await writeFile(file, write(found));
      continue;
    }
    const wanted = PNG.sync.read(await readFile(file));
    const difference = new PNG(found);
    const isOfSize = wanted.width === found.width && wanted.height === found.height;
    const others = isOfSize
      ? pixelmatch(wanted.data, found.data, difference.data, found.width, found.height, { threshold, includeAA: true })
      : found.width * found.height;
    const share = others / (found.width * found.height);
    if (share <= tolerance) continue;
    await mkdir(seen, { recursive: true });
    await writeFile(join(seen, `${name}.png`), write(found));
    await writeFile(join(seen, `${name}-difference.png`), write(difference));
    wrong.push(`${name}: ${(100 * share).toFixed(1)} % of its pixels`);
  }
  await tab.close();
  if (wrong.length > 0)
    throw new Error(
      `the page looks other than in test/site/pictures, of which ${100 * tolerance} % may differ (${wrong.join(", ")}): see .cache/pictures; where it is meant, npm run pictures makes them anew`,
    );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await buildSite();
  const server = await serve({ site: siteFolder }, {});
  const browser = await startChrome(drawingFlags);
  try {
    await comparePictures(browser, `${server.origin}/site/index.html`, { renews: true });
    console.log(`Made ${pictures.map(({ name }) => `test/site/pictures/${name}.png`).join(", ")}: look at them`);
  } finally {
    await endBrowser(browser);
    await server.close();
  }
}
