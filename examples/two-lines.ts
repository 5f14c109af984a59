/** The shortest program: 1,000 samples of a flow that `npm start` trained, as degrees of longitude and latitude. */
import { readFile } from "node:fs/promises";
import { Flow, openGpu } from "pushforward";

const flow = Flow.load(await openGpu(), await readFile("out/flow.safetensors"));
const { x } = await flow.sample(1000);

process.stdout.write(`${x.length / 2} samples; the first is at ${x[0]?.toFixed(3)}°, ${x[1]?.toFixed(3)}°\n`);
flow.dispose();
process.exit(); // Dawn keeps Node alive while a device is open.
