import { basename, dirname, join } from "node:path";
import { endBrowser, startChrome } from "./browser.mjs";
import { serve } from "./file-server.mjs";
import { root } from "./locations.mjs";

const page = `<!doctype html>
<meta charset="utf-8" />
<title>pushforward</title>
<link rel="icon" href="data:," />
<script type="importmap">
  {
    "imports": {
      "pushforward": "/dist/pushforward.min.js",
      "pushforward/diagnostics": "/dist/pushforward-diagnostics.min.js",
      "pushforward/pytorch": "/dist/pytorch.js",
      "pushforward/few-steps": "/dist/few-steps.js",
      "pushforward/transforms": "/dist/transforms.js",
      "pushforward/view": "/dist/pushforward-view.min.js",
      "pushforward/workers": "/dist/pushforward-workers.min.js"
    }
  }
</script>`;

/**
 * Runs a program in a page of headless Chrome, on the minified bundle.
 * @param {import("./run-in-home.mjs").HomeRun} run
 */
export async function runInChrome({ bundle, args, onEvent, signal }) {
  const server = await serve({ dist: join(root, "dist"), program: dirname(bundle) }, { "/": page });
  const browser = await startChrome();
  try {
    const tab = await browser.newPage();
    const stopped = new Promise((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      browser.once("disconnected", () => reject(new Error("Chrome ended")));
      tab.once("error", (error) => reject(new Error(`the page crashed: ${error.message}`)));
    });
    stopped.catch(() => {});
    tab.on("console", (message) => console.log(`  | ${message.text()}`));
    tab.on("pageerror", (error) =>
      console.log(`  | the page threw: ${error instanceof Error ? error.message : error}`),
    );
    await tab.goto(`${server.origin}/`);
    await tab.exposeFunction("emitToHost", (json) => onEvent(JSON.parse(json)));
    const running = tab.evaluate(
      async (path, programArgs) => {
        const program = await import(path);
        // Sent at once, so that the host knows which test runs even if that test never lets the page go on.
        const sent = [];
        await program.main(programArgs, (value) => sent.push(globalThis.emitToHost(JSON.stringify(value))));
        await Promise.all(sent);
      },
      `/program/${basename(bundle)}`,
      args,
    );
    running.catch(() => {});
    await Promise.race([running, stopped]);
  } finally {
    await endBrowser(browser);
    await server.close();
  }
}
