// npm start: sets up what is missing, builds, and runs the main job. Arguments go to the main job.
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { setup } from "./setup.mjs";

const root = fileURLToPath(new URL("../", import.meta.url));
try {
  await setup();
  const { build } = await import("./build.mjs");
  await build();
  const { runWithAdapter } = await import("./run.mjs");
  process.exitCode = await runWithAdapter(join(root, "dist", "examples", "us-places.js"), process.argv.slice(2));
} catch (error) {
  console.error(`npm start: ${error.message}`);
  process.exitCode = 1;
}
