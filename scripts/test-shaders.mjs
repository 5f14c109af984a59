// npm run test:shaders -- [--filter "part of a kernel's name"]
// Compiles every shader of the catalogue with Tint (no adapter needed) and with Naga (on the adapter).
import { parseArgs } from "node:util";
import { bundleShaders } from "../test/homes/bundle.mjs";
import { describeResult } from "../test/homes/run-suite.mjs";
import { runShaderTests } from "../test/shaders/run.mjs";

const { values } = parseArgs({ options: { filter: { type: "string", default: "" } } });
const results = await runShaderTests(await bundleShaders(), values.filter);
for (const result of results) console.log(describeResult(result));
process.exitCode = results.some((result) => result.failed.length > 0 || result.passed === 0) ? 1 : 0;
