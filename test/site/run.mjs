// Drives the built page in Chrome as a visitor would.
import { strict as assert } from "node:assert";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { transform } from "esbuild";
import { PNG } from "pngjs";
import { buildSite, siteFolder } from "../../scripts/site.mjs";
import { drawingFlags, endBrowser, startChrome } from "../homes/browser.mjs";
import { serve } from "../homes/file-server.mjs";
import { root } from "../homes/locations.mjs";
import { comparePictures } from "./pictures.mjs";

/** Small enough for two cores without a GPU: what is tested is the page. */
const small = "width=16&layers=2&features=8&particles=1000";
/** Particles while frames are counted. */
const many = 100_000;
/** A processor that does the work of a GPU draws so many particles in seconds, so few frames are waited for. */
const least = process.argv.includes("--full") ? { frames: 20, steps: 50 } : { frames: 4, steps: 10 };
/** Waits are long, since other steps of the tests run beside this one. */
const seconds = 120;

const begun = performance.now();
await buildSite();
const folders = Object.fromEntries(["dist", "examples", "node_modules"].map((name) => [name, join(root, name)]));
const server = await serve({ site: siteFolder, ...folders }, {});
const browser = await startChrome(drawingFlags);
const folder = await mkdtemp(join(tmpdir(), "pushforward-site-"));
const stray = [];

const silence = () =>
  new Promise((resolve) => {
    setTimeout(resolve, 5000, "does not answer").unref();
  });

/** The number that the page shows; while it is found anew, there is none. */
const figure = async (tab, id) => {
  await until(tab, `a figure for ${id}`, (own) => /\d/.test(document.getElementById(own).textContent), id);
  return tab.$eval(`#${id}`, (element) => Number(element.textContent.replaceAll(",", "").replace("−", "-")));
};

const until = (tab, what, condition, ...args) =>
  tab.waitForFunction(condition, { timeout: 1000 * seconds, polling: 50 }, ...args).catch(async (error) => {
    // a page that is gone or goes elsewhere has nothing to say
    const says = tab.$eval("#notice, #status", (element) => `says "${element.textContent}"`).catch(() => "is gone");
    const page = await Promise.race([says, silence()]);
    throw new Error(`${what}: not within ${seconds} s (${tab.url()} ${page}; ${error.message})`);
  });

/** Draws on the plane with the mouse, between places in parts of its width. */
async function drawLine(tab, [x0, y0], [x1, y1]) {
  const { x, y, width } = await (await tab.$("#plane")).boundingBox();
  await tab.mouse.move(x + x0 * width, y + y0 * width);
  await tab.mouse.down();
  await tab.mouse.move(x + x1 * width, y + y1 * width, { steps: 10 });
  await tab.mouse.up();
}

const stepsAtLeast = (tab, steps) =>
  until(
    tab,
    `${steps} steps`,
    (least) => Number(document.getElementById("steps").textContent.replaceAll(",", "")) >= least,
    steps,
  );

const resting = (tab) =>
  until(tab, "the training rests", () => document.getElementById("playground").dataset.state === "resting");

/** How many hundredths of the picture are not paper, and of the tenth in its middle, when an event at a control has had it drawn. */
const inked = (tab, control, event) =>
  tab.evaluate(
    async (id, name) => {
      document.getElementById(id).dispatchEvent(new Event(name));
      await new Promise(requestAnimationFrame);
      const sheet = new OffscreenCanvas(100, 100).getContext("2d");
      sheet.drawImage(document.getElementById("view"), 0, 0, 100, 100);
      const { data } = sheet.getImageData(0, 0, 100, 100);
      const found = { all: 0, middle: 0 };
      for (let i = 0; i < data.length; i += 4) {
        if (Math.min(data[i], data[i + 1], data[i + 2]) >= 235) continue;
        const [x, y] = [(i / 4) % 100, Math.floor(i / 400)];
        found.all += 0.01;
        if (Math.max(Math.abs(x - 49.5), Math.abs(y - 49.5)) < 5) found.middle++;
      }
      return found;
    },
    control,
    event,
  );

/** Told by the browser when a download begins, and when its file is whole. */
const downloads = await browser.target().createCDPSession();
await downloads.send("Browser.setDownloadBehavior", {
  behavior: "allowAndName",
  downloadPath: folder,
  eventsEnabled: true,
});

/** What a view says of a buffer that is too small, and when it has been disposed. */
const refusals = (tab) =>
  tab.evaluate(async () => {
    const { Flow, openGpu } = await import("pushforward");
    const { createParticleView } = await import("pushforward/view");
    const { eightGaussians } = await import("./eight-gaussians.js");
    const gpu = await openGpu();
    const view = await createParticleView(document.createElement("canvas"), gpu);
    const flow = Flow.create(gpu, { velocity: eightGaussians });
    const { x } = await flow.sample(2000, { solver: { method: "euler", steps: 1 }, output: "gpu" });
    const said = [];
    const draw = (count) => {
      try {
        view.draw({ particles: [{ states: x, count }] });
      } catch (error) {
        said.push(error.message);
      }
    };
    draw(2001);
    draw(2000);
    view.dispose();
    draw(2000);
    gpu.dispose();
    return said.join(" ");
  });

/** The file that a button gives. */
async function downloaded(tab, button, name) {
  const begun = once(downloads, "Browser.downloadWillBegin");
  const ended = new Promise((resolve, reject) => {
    downloads.on("Browser.downloadProgress", function look({ state }) {
      if (state === "inProgress") return;
      downloads.off("Browser.downloadProgress", look);
      if (state === "completed") resolve();
      else reject(new Error(`the download of ${name} was ${state}`));
    });
  });
  await tab.click(button);
  const [{ guid, suggestedFilename }] = await begun;
  assert.equal(suggestedFilename, name);
  await ended;
  const path = join(folder, guid);
  return { path, bytes: await readFile(path) };
}

/** A tab of which the console is listened to. */
async function newTab() {
  const tab = await browser.newPage();
  tab.setDefaultTimeout(1000 * seconds);
  tab.on("console", (message) => {
    if (["error", "warn"].includes(message.type())) stray.push(message.text());
  });
  tab.on("error", (error) => stray.push(error.message));
  tab.on("pageerror", (error) => stray.push(error instanceof Error ? error.message : String(error)));
  return tab;
}

/** A check of another page, which leaves the one that the visitor is at. */
const inAnotherTab = (check) => async (visited) => {
  const tab = await newTab();
  await check(tab);
  await tab.close();
  await visited.bringToFront();
};

/** @type {[string, (tab: import("puppeteer-core").Page) => Promise<void>][]} */
const checks = [
  [
    "moons are learned: the held-out NLL falls, and there is something to see",
    async (tab) => {
      await stepsAtLeast(tab, 10);
      const first = await figure(tab, "nll");
      await stepsAtLeast(tab, 60);
      await tab.click("#play");
      await resting(tab);
      await until(tab, "a better NLL", (nll) => Number(document.getElementById("nll").textContent) < nll - 0.1, first);
      assert.ok((await inked(tab, "show-density", "change")).all > 2, "the picture is empty");
    },
  ],
  [
    `the page goes on painting while ${many.toLocaleString("en")} particles move and a training runs`,
    async (tab) => {
      await tab.select("#particles", String(many));
      await tab.click("#loop");
      await tab.click("#play");
      await until(tab, "training", () => document.getElementById("playground").dataset.state === "training");
      await until(
        tab,
        "all particles",
        (count) => document.getElementById("view").dataset.particles === String(count),
        many,
      );
      const { frames, taken, passed } = await tab.evaluate(
        async (milliseconds, wanted) => {
          const steps = () => Number(document.getElementById("steps").textContent.replaceAll(",", ""));
          const time = () => document.getElementById("time").value;
          const [begun, first] = [performance.now(), steps()];
          let frames = 0;
          const isDone = () =>
            (steps() >= first + wanted.steps && frames >= wanted.frames) || performance.now() > begun + milliseconds;
          for (let last = time(); !isDone(); ) {
            await new Promise(requestAnimationFrame);
            // a frame in which the particles moved
            if (time() !== last) frames++;
            last = time();
          }
          return { frames, taken: steps() - first, passed: (performance.now() - begun) / 1000 };
        },
        1000 * seconds,
        least,
      );
      console.log(`  | ${(frames / passed).toFixed(1)} frames/s, ${(taken / passed).toFixed(1)} steps/s`);
      await tab.select("#particles", "1000");
      await tab.click("#loop");
      await tab.click("#play");
      await resting(tab);
      // both have their turns, whatever they take: frames that are as slow as these would else keep the device to themselves
      const told = `${frames} frames and ${taken} steps in ${passed.toFixed(0)} s`;
      assert.ok(frames >= least.frames && taken >= least.steps, told);
    },
  ],
  [
    "time is scrubbed to the source, and a point is asked for by keys",
    async (tab) => {
      await tab.focus("#time");
      await tab.keyboard.press("Home");
      assert.equal(await tab.$eval("#shown-time", (element) => element.textContent), "t = 0.00");
      await tab.keyboard.press("End");
      await tab.focus("#plane");
      await tab.keyboard.press("ArrowRight");
      await until(tab, "an answer", () => /log p = −?\d/.test(document.getElementById("asked").textContent));
    },
  ],
  [
    "weights are saved and opened again with the same likelihood, and the program names the settings",
    async (tab) => {
      const nll = await figure(tab, "nll");
      const weights = await downloaded(tab, "#save-weights", "flow.safetensors");
      assert.match(weights.bytes.toString("latin1"), /net\.0\.weight/);
      const code = (await downloaded(tab, "#save-code", "flow.ts")).bytes.toString();
      assert.match(code, /toyData\("moons", [\s\S]*hidden: \[16, 16\]/);
      await transform(code, { loader: "ts" });
      const png = await downloaded(tab, "#save-picture", "flow.png");
      assert.equal(png.bytes.subarray(1, 4).toString(), "PNG");
      const input = await tab.$("#weights-file");
      await input.uploadFile(weights.path);
      await until(tab, "the weights are there", () => /numbers/.test(document.getElementById("notice").textContent));
      assert.equal(await figure(tab, "nll"), nll);
    },
  ],
  [
    "what is drawn with the mouse is learned, and the address keeps it",
    async (tab) => {
      await tab.click('#targets [value="drawing"]');
      await drawLine(tab, [0.3, 0.3], [0.7, 0.6]);
      await stepsAtLeast(tab, 10);
      await until(tab, "the address", () => /drawing=[\w-]{10}/.test(location.hash));
      await tab.click("#play");
      await resting(tab);
      // a click draws until the visitor asks, and the page says so
      const invitation = () => tab.$eval("#asked", (element) => element.textContent);
      assert.match(await invitation(), /^Choose Ask/);
      await tab.click('[name="tool"][value="ask"]');
      assert.match(await invitation(), /^Click in the picture/);
      const steps = await figure(tab, "steps");
      await drawLine(tab, [0.5, 0.5], [0.5, 0.5]);
      await until(tab, "an answer", () => /log p = −?\d/.test(document.getElementById("asked").textContent));
      assert.equal(await figure(tab, "steps"), steps);
    },
  ],
  [
    "solvers are compared with each other, and Euler's ends farther away than the midpoint's",
    async (tab) => {
      await tab.click("#compare summary");
      const words = (id) => tab.$eval(`#compare-${id}-words`, (element) => element.textContent);
      await until(tab, "a comparison", () => /away/.test(document.getElementById("compare-rk4-words").textContent));
      const [euler, midpoint] = await Promise.all(["euler", "midpoint"].map(words));
      assert.match(euler, /^8 steps: /);
      assert.match(midpoint, /^4 steps: /);
      const away = (text) => Number(text.split(" ")[2]);
      assert.ok(away(euler) > away(midpoint), `${euler}; ${midpoint}`);
    },
  ],
  [
    "points are carried from a second drawing: a path and a distance, no likelihood; the weights know where they start",
    async (tab) => {
      await tab.click('#targets [value="moons"]');
      await tab.select("#source", "samples");
      await tab.click('#targets [value="drawing"]');
      await drawLine(tab, [0.2, 0.2], [0.8, 0.2]);
      await until(
        tab,
        "the address",
        () => /source=samples/.test(location.hash) && /from-drawing=[\w-]{10}/.test(location.hash),
      );
      await stepsAtLeast(tab, 20);
      await tab.click("#play");
      await resting(tab);
      assert.equal(await tab.$eval("#score-title", (element) => element.textContent), "Held-out distance");
      assert.ok(await tab.$eval("#show-density", (element) => element.disabled));
      await tab.focus("#plane");
      await tab.keyboard.press("ArrowLeft");
      await until(tab, "an answer", () => /→.*has no log p/.test(document.getElementById("asked").textContent));
      const distance = await figure(tab, "nll");
      assert.ok(distance > -0.1 && distance < 3, `the distance is ${distance}`);
      const weights = await downloaded(tab, "#save-weights", "flow.safetensors");
      assert.match(weights.bytes.toString("latin1"), /source\.samples/);
      const code = (await downloaded(tab, "#save-code", "flow.ts")).bytes.toString();
      assert.match(code, /const start = rowsOf\([\s\S]*samples: normalize\(start, normalization\)/);
      await transform(code, { loader: "ts" });
      await (await tab.$("#weights-file")).uploadFile(weights.path);
      await until(tab, "the weights are there", () => /numbers/.test(document.getElementById("notice").textContent));
      assert.equal(await figure(tab, "nll"), distance);
    },
  ],
  [
    "axe finds nothing serious",
    async (tab) => {
      const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
      await tab.evaluate(await readFile(axe, "utf8"));
      const { violations } = await tab.evaluate(() => globalThis.axe.run());
      const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
      assert.deepEqual(
        serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(", ")}`),
        [],
      );
    },
  ],
  [
    "examples/page.html draws particles from the buffers of the library",
    inAnotherTab(async (tab) => {
      await tab.goto(`${server.origin}/examples/page.html?steps=20`);
      await until(tab, "an end of the training", () => !document.getElementById("time").disabled);
      assert.ok((await inked(tab, "time", "input")).all > 2, "the picture is empty");
    }),
  ],
  ...[
    ["view", "pushforward/view draws", "time"],
    ["three", "three.js draws", "turn"],
    ["typegpu", "TypeGPU draws", "size"],
  ].map(([name, what, control]) => [
    `examples/${name}.html: ${what} particles from the buffers of the library, with its device`,
    inAnotherTab(async (tab) => {
      await tab.goto(`${server.origin}/examples/${name}.html?count=2000`);
      await until(tab, "a picture", () => document.querySelector("input").disabled === false);
      const { all, middle } = await inked(tab, control, "input");
      assert.ok(all > 2 && all < 70, `${all} % of the picture are drawn on`);
      // eight Gaussians on a circle, but for those that three.js shows on their way
      if (name !== "three") assert.ok(middle < 5, `${middle} % of the middle are drawn on`);
      if (name === "view")
        assert.match(await refusals(tab), /16000 bytes, but 2001 particles of dim 2 take 16008.*has been disposed/);
      assert.deepEqual(
        stray.splice(0).filter((text) => !/external-omitted/.test(text)),
        [],
      );
    }),
  ]),
  [
    "the page looks as it does in test/site/pictures: light, dark and narrow",
    () => comparePictures(browser, `${server.origin}/site/index.html`),
  ],
  [
    "without WebGPU the page says what to do",
    inAnotherTab(async (tab) => {
      await tab.evaluateOnNewDocument(() => Reflect.deleteProperty(Navigator.prototype, "gpu"));
      await tab.goto(`${server.origin}/site/index.html`);
      await until(tab, "words", () => document.getElementById("without").checkVisibility());
      assert.equal(await tab.$eval("#playground", (element) => element.checkVisibility()), false);
      await until(tab, "the recorded picture", () => document.querySelector("#without img").naturalWidth > 0);
    }),
  ],
  [
    "nothing is cut off at the width of a small phone, or of a page at 400 %",
    async (tab) => {
      const before = tab.viewport();
      for (const width of [320, 390]) {
        await tab.setViewport({ width, height: 640 });
        assert.equal(await tab.evaluate(() => document.documentElement.scrollWidth), width);
      }
      await tab.setViewport(before);
    },
  ],
  [
    "a table is opened, of which two columns are learned",
    async (tab) => {
      const path = join(folder, "table.csv");
      const rows = Array.from({ length: 200 }, (_, i) => `${i},${Math.cos(i)},${Math.sin(2 * i)}`);
      await writeFile(path, `row,a,b\n${rows.join("\n")}\n`);
      await tab.click('#targets [value="file"]');
      await (await tab.$("#data-file")).uploadFile(path);
      await until(tab, "columns", () => document.getElementById("column-y").length === 3);
      assert.match(
        await tab.$eval("#units", (element) => element.textContent),
        /^In standard deviations.*row is 99.5 ±/,
      );
      await tab.select("#column-x", "2");
      await stepsAtLeast(tab, 10);
      // what cannot be learned is told while the training of before goes on
      const poor = join(folder, "poor.csv");
      await writeFile(poor, "a,name\n1,x\n2,y\n");
      await (await tab.$("#data-file")).uploadFile(poor);
      await until(tab, "a fault", () => /has one column/.test(document.getElementById("notice").textContent));
      await stepsAtLeast(tab, 10 + (await figure(tab, "steps")));
      assert.match(await tab.$eval("#notice", (element) => element.textContent), /has one column of numbers/);
      // the same table as it is, for the other set
      await tab.click('[name="role"][value="start"]');
      await tab.click('#targets [value="file"]');
      await (await tab.$("#data-file")).uploadFile(path);
      await stepsAtLeast(tab, 10);
      await tab.select("#source", "gaussian");
      await until(tab, "a likelihood", () => document.getElementById("score-title").textContent === "Held-out NLL");
    },
  ],
  ["the console has no errors", async () => assert.deepEqual(stray.splice(0), [])],
  [
    "a device that is lost while it trains is replaced, and training and picture go on",
    async (tab) => {
      const before = await figure(tab, "steps");
      const session = await browser.target().createCDPSession();
      await session.send("Browser.crashGpuProcess");
      await until(tab, "word of it", () => /went away/.test(document.getElementById("notice").textContent));
      await stepsAtLeast(tab, before + 50);
      await tab.click("#play");
      await resting(tab);
      await until(tab, "no word of it", () => document.getElementById("notice").textContent === "");
      // what is on the screen, not what is in the canvas
      await tab.evaluate(async () => {
        for (let frame = 0; frame < 30; frame++) await new Promise(requestAnimationFrame);
      });
      const picture = await (await tab.$("#frame")).screenshot();
      const { data } = PNG.sync.read(Buffer.from(picture));
      const inks = data.filter((value, i) => i % 4 === 1 && value < 235).length;
      assert.ok(inks > 0.02 * (data.length / 4), `the picture is empty: ${inks} pixels are drawn on`);
      // a browser that has lost its GPU process still goes where the visitor wants
      await tab.goto(`${server.origin}/site/index.html#${small}`);
      await stepsAtLeast(tab, 10);
      // what Chrome says of its lost GPU process
      stray.length = 0;
    },
  ],
];

try {
  const tab = await newTab();
  await tab.setViewport({ width: 1280, height: 800 });
  await tab.emulateMediaFeatures([{ name: "prefers-reduced-motion", value: "no-preference" }]);
  await tab.goto(`${server.origin}/site/index.html#${small}`);
  for (const [name, check] of checks) {
    const start = performance.now();
    await check(tab).catch((error) => {
      throw new Error(`${name}: ${error.message}`, { cause: error });
    });
    console.log(`✓ site > ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  }
} catch (error) {
  console.log(`✗ site > ${error.message}${stray.length > 0 ? `\n  the console says: ${stray.join("\n  ")}` : ""}`);
  process.exitCode = 1;
} finally {
  await endBrowser(browser);
  await server.close();
  await rm(folder, { recursive: true, force: true });
}
console.log(`site: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
