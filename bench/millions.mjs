// Streams of millions of particles, in figures: `npm run millions -- --quick`, or one part of it with --section.
// Every figure comes with a look at what was computed: a wrong result ends the program with an error.
import process from "node:process";
import { parseArgs } from "node:util";
import { openGpu } from "pushforward";
import { abort } from "./millions/abort.mjs";
import { backPressure } from "./millions/back-pressure.mjs";
import { fairness } from "./millions/fairness.mjs";
import { losses } from "./millions/losses.mjs";
import { meterDevice } from "./millions/meters.mjs";
import { scale, workNames } from "./millions/scale.mjs";

const sections = { scale, abort, losses, fairness, "back-pressure": backPressure };
const { values } = parseArgs({
  options: {
    section: { type: "string", multiple: true, default: [] },
    count: { type: "string", multiple: true, default: [] },
    call: { type: "string", multiple: true, default: [] },
    seed: { type: "string", default: "1" },
    quick: { type: "boolean", default: false },
  },
});
const listed = (name, known) => {
  const list = values[name].flatMap((value) => value.split(","));
  for (const value of list)
    if (!known.includes(value)) throw new Error(`--${name} is "${value}", but it is one of ${known.join(", ")}`);
  return list.length > 0 ? list : known;
};
const chosen = listed("section", Object.keys(sections));
const names = listed("call", workNames);
const counts = values.count.flatMap((value) => value.split(",")).map(Number);
for (const count of counts)
  if (!(Number.isInteger(count) && count > 0)) throw new Error("--count is a number of particles, such as 1e7");

let state = (Number(values.seed) * 7919 + 12345) % 2147483647;
const random = () => {
  state = (state * 16807) % 2147483647;
  return state / 2147483647;
};

const gpu = await openGpu();
const faults = [];
gpu.device.addEventListener("uncapturederror", ({ error }) => faults.push(error.message));
const print = console.log;
const { description, architecture, software } = gpu.info;
print(`# ${description || architecture}${software ? " (software)" : ""}, Node ${process.version}\n`);
const bench = {
  gpu,
  device: meterDevice(gpu),
  print,
  names,
  quick: values.quick,
  random,
  counts: counts.length > 0 ? counts : values.quick ? [1e5, 1e6] : [1e6, 1e7, 1e8],
};
for (const section of chosen) {
  await sections[section](bench);
  print("");
  if (faults.length > 0) throw new Error(`WebGPU found fault: ${faults[0]}`);
}
gpu.dispose();
