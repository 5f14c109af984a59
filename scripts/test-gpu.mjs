// npm run test:gpu -- [--home node|chrome|deno] [--filter "part of a test's name"]
// Runs the GPU suite on the built package, in all homes or in those named.
import { parseArgs } from "node:util";
import { bundleSuite } from "../test/homes/bundle.mjs";
import { homes } from "../test/homes/locations.mjs";
import { describeResult, runSuite } from "../test/homes/run-suite.mjs";

const { values } = parseArgs({
  options: {
    home: { type: "string", multiple: true, default: [...homes] },
    filter: { type: "string", default: "" },
  },
});
const unknown = values.home.find((home) => !homes.includes(/** @type {any} */ (home)));
if (unknown !== undefined) {
  console.error(`--home is "${unknown}", but it is one of ${homes.join(", ")}: leave it out for all`);
  process.exit(2);
}
const bundle = await bundleSuite();
const results = [];
for (const home of homes.filter((name) => values.home.includes(name))) {
  results.push(await runSuite(home, bundle, { filter: values.filter }));
}
for (const result of results) console.log(describeResult(result));
const passed = results.reduce((sum, result) => sum + result.passed, 0);
const failed = results.reduce((sum, result) => sum + result.failed.length, 0);
if (passed + failed === 0) console.log(`no test has "${values.filter}" in its name`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
