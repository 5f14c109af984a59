// Crashes of Chrome's GPU process in the middle of calls: node scripts/run.mjs test/faults/run.mjs ["part of a name"]
// Chrome, its GPU process and the crash are the real ones; calls must give the bytes of calls that nothing disturbed.
import process from "node:process";
import { FaultyChrome } from "./chrome.mjs";
import { limits } from "./limits.mjs";
import { recoveries } from "./recoveries.mjs";
import { surroundings } from "./surroundings.mjs";
import { Workbench } from "./workbench.mjs";

const [filter = ""] = process.argv.slice(2);
let passed = 0;
/** @type {string[]} */
const failed = [];

/** @param {string} name @param {() => Promise<void>} work */
async function check(name, work) {
  if (!name.includes(filter)) return;
  const start = performance.now();
  const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
  try {
    await work();
    passed++;
    console.log(`✓ ${name} (${seconds()})`);
  } catch (error) {
    failed.push(name);
    console.log(`✗ ${name} (${seconds()})\n    ${String(error?.message ?? error).replaceAll("\n", "\n    ")}`);
  }
}

const start = performance.now();
for (const [parts, options] of [
  [[recoveries, surroundings], {}],
  [[limits], { limitsCrashes: true }],
]) {
  const chrome = await FaultyChrome.start(options);
  const bench = new Workbench(chrome);
  try {
    for (const part of parts) await part(bench, check);
  } finally {
    await chrome.close();
  }
}
console.log(`${passed} passed, ${failed.length} failed in ${((performance.now() - start) / 1000).toFixed(1)} s`);
if (passed + failed.length === 0) console.log(`no test has "${filter}" in its name`);
process.exitCode = failed.length > 0 || passed === 0 ? 1 : 0;
