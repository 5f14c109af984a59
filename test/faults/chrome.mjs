import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { endBrowser, startChrome } from "../homes/browser.mjs";
import { serve } from "../homes/file-server.mjs";
import { root } from "../homes/locations.mjs";

const html = `<!doctype html>
<meta charset="utf-8" />
<title>pushforward</title>
<link rel="icon" href="data:," />
<script type="module" src="/page/page.mjs"></script>`;

/** After this long without a word a page counts as hung; an undisturbed call says something several times a second. */
const silenceSeconds = 30;

/**
 * Without these, Chrome gives a host name no adapter for two minutes after the second crash of the GPU process, and gives
 * up the GPU for good after the third.
 */
const crashAgain = ["--disable-domain-blocking-for-3d-apis", "--disable-gpu-process-crash-limit"];

/** Headless Chrome whose GPU process can be crashed, and the pages of the tests in it. */
export class FaultyChrome {
  #browser;
  #server;
  #session;

  /** @param {{ limitsCrashes?: boolean }} [options] `limitsCrashes`: as users have it */
  static async start({ limitsCrashes = false } = {}) {
    const chrome = new FaultyChrome();
    const page = fileURLToPath(new URL("./page", import.meta.url));
    chrome.#server = await serve({ dist: join(root, "dist"), page }, { "/": html });
    try {
      chrome.#browser = await startChrome(limitsCrashes ? [] : crashAgain);
      chrome.#session = await chrome.#browser.target().createCDPSession();
    } catch (error) {
      await chrome.close();
      throw error;
    }
    return chrome;
  }

  /** Ends the GPU process as a fault of a driver would; resolves when Chrome has been told, before pages see it. */
  async crashGpu() {
    await this.#session.send("Browser.crashGpuProcess");
  }

  /** @param {{ inWorker?: boolean }} [options] */
  async openPage({ inWorker = false } = {}) {
    const tab = await this.#browser.newPage();
    const page = new FaultyPage(tab, () => this.crashGpu());
    await tab.exposeFunction("tellHost", (event) => page.hear(event));
    await tab.goto(`${this.#server.origin}/`);
    if (inWorker) await page.startWorker();
    return page;
  }

  async close() {
    if (this.#browser) await endBrowser(this.#browser);
    await this.#server.close();
  }
}

/** A page, or its worker, that runs one call at a time. */
class FaultyPage {
  /** What is done at the moments that a call is disturbed at; at first, a crash of the GPU process. */
  act;
  #tab;
  #program;
  #lastWord = "nothing";
  #words = 0;
  /** @type {Promise<unknown>} */
  #loaded = Promise.resolve();
  /** @type {string[]} */
  #thrown = [];

  constructor(tab, act) {
    this.act = act;
    this.#tab = tab;
    this.#program = tab;
    tab.on("pageerror", (error) => this.#thrown.push(error instanceof Error ? error.message : String(error)));
    tab.on("error", (error) => this.#thrown.push(`the page crashed: ${error.message}`));
  }

  async startWorker() {
    const created = new Promise((resolve) => this.#tab.once("workercreated", resolve));
    await this.#tab.evaluate(() => globalThis.startWorker());
    this.#program = await created;
  }

  /** Opens a device for a call; resolves to the adapter's name. */
  open(call, options = {}) {
    return this.#ask("opening a device", (name, given) => globalThis.program.open(name, given), call, options);
  }

  /**
   * @param {import("./page/program.mjs").Moment[]} [moments]
   * @returns {Promise<import("./page/program.mjs").Outcome>}
   */
  async perform(moments = []) {
    const outcome = await this.#ask("the call", (given) => globalThis.program.perform(given), moments);
    outcome.stray.push(...this.#thrown.splice(0));
    return outcome;
  }

  /** Begins a call that the page will not live to end; resolves when it is gone. */
  async performUntilGone(moments) {
    try {
      await this.perform(moments);
    } catch (error) {
      if (/context was destroyed|detached/i.test(error.message)) return;
      throw error;
    }
    throw new Error("the call came to its end before the page was reloaded: make it longer");
  }

  /** Resolves when the page is there again, which {@link loaded} waits for, too. */
  reload() {
    this.#loaded = this.#tab.reload();
    return this.#loaded;
  }

  async loaded() {
    await this.#loaded;
  }

  async close() {
    await this.#tab.close();
  }

  /** What the page tells; resolves when it has been acted on. */
  async hear(event) {
    this.#words++;
    this.#lastWord = event.type === "done" ? `${Math.round(100 * event.done)} % done` : event.type;
    if (event.type === "fault") await this.act();
  }

  async #ask(what, work, ...args) {
    let timer;
    const silence = new Promise((_, reject) => {
      let heard = -1;
      const listen = () => {
        if (heard === this.#words) {
          return reject(new Error(`${what}: not a word for ${silenceSeconds} s, the last one was "${this.#lastWord}"`));
        }
        heard = this.#words;
        timer = setTimeout(listen, 1000 * silenceSeconds);
      };
      listen();
    });
    const answer = this.#program.evaluate(work, ...args);
    answer.catch(() => undefined);
    try {
      return await Promise.race([answer, silence]);
    } finally {
      clearTimeout(timer);
    }
  }
}
