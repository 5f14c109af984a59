import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { chosenConditions } from "../../cli/conditions.ts";
import { unknownInWords } from "../../cli/unknown-errors.ts";
import { inWords, withColumnNames } from "../../cli/wording.ts";
import { freeRows } from "../../src/data/transform-maps.ts";
import { invalid } from "../../src/errors.ts";
import { loadFlow } from "../../src/flow/file.ts";
import { encodeSafetensors } from "../../src/io/safetensors.ts";
import { mlp } from "../../src/network/mlp.ts";
import { timeGrid } from "../../src/ode/grid.ts";
import type { TrainingPlan } from "../../src/train/plan.ts";
import { planOfPart } from "../../src/train/stepping.ts";
import { checkNetworkFits } from "../../src/velocity/device-fit.ts";
import { inFolder, run } from "./command-line.ts";

function messageOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was refused");
}

const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 } as GPUSupportedLimits;
const weights = encodeSafetensors({ "fc.weight": { shape: [1], data: Float32Array.of(1) } }, {});

test.each([
  [messageOf(() => mlp({ dim: 2, hidden: [1e6] })), "train", "a width of --hidden is 1000000"],
  [messageOf(() => mlp({ dim: 2, hidden: [8], time: { fourier: 99 } })), "train", "--time fourier:K is 99"],
  [
    messageOf(() => checkNetworkFits("Flow.create", mlp({ dim: 2, hidden: [16000, 16000] }), limits)),
    "train",
    "--hidden layers up to",
  ],
  [messageOf(() => loadFlow(weights)), "sample", "give a flow as `pushforward train` saved it"],
  [
    messageOf(() => planOfPart("trainFlowMatching", { batchSize: 33, steps: 1 } as TrainingPlan, 2)),
    "train",
    "--accumulate is 2, which does not divide the --batch-size of 33 into equal parts: pass for example --batch-size 34",
  ],
  [
    'trainFlowMatching: optimizer "muon" is for matrices between two hidden layers, but this network has none that are trained: use "adamw"',
    "train",
    "--optimizer muon is for matrices between two hidden layers, but this network has none that are trained: use --optimizer adamw",
  ],
  [messageOf(() => loadFlow(weights, { velocity: mlp({ dim: 2, hidden: [4] }) })), "sample", "give a flow as"],
  [
    messageOf(() => timeGrid("sampleStream", { method: "midpoint", steps: 1e7 }, 0, 1)),
    "sample",
    "--steps is 10000000",
  ],
  [messageOf(() => timeGrid("logProb", { method: "dopri5", rtol: 1e-9 }, 1, 0)), "log-prob", "--tolerance is 1e-9"],
  [
    "trainFlowMatching: the loss is NaN in step 7: the steps diverged: lower the learning rate (0.5) or set gradientClip; the flow has its weights of step 3, the last good ones that were read",
    "train",
    "the steps diverged: lower --learning-rate (it was 0.5 there) or set --gradient-clip",
  ],
  [
    "trainFlowMatching: resume is a checkpoint of another training: batchSize is 64 there and 128 here. Resume with what it was made with, or load its weights with Flow.load and start anew",
    "train",
    "--batch-size is 64 there and 128 here. Give the options and the data of then, or start a new training from its weights: --from",
  ],
  [
    "trainFlowMatching: resume has done 40 steps, but steps is 30: steps count from the very start, so pass at least 40",
    "train",
    "the checkpoint has done 40 steps, but --steps is 30",
  ],
  ["the file does not hold a flow: dim is undefined, but it is an integer", "sample", "dim is missing"],
  [
    "activations needs a buffer of 9 bytes, but this device allows 8: pass fewer rows at a time (chunkSize, batchSize, a stream) or a smaller network",
    "train",
    "take a smaller --batch-size or narrower --hidden layers",
  ],
  [
    "the device has no room for 9 bytes (x): pass a smaller chunkSize or memoryBudget (validation)",
    "sample",
    "close what else uses the GPU",
  ],
  [
    'there is no hardware WebGPU adapter here: install the driver of the GPU, or pass software: "allow"',
    "info",
    "or use --software allow",
  ],
  ['openCluster: url is "http://x", but it is the address of a Redis', "sample", '--cluster is "http://x"'],
  ['runWorker: url is "http://x", but it is the address of a Redis', "worker", '--redis is "http://x"'],
])("%s is said to who calls %s by options", (message, command, words) => {
  const said = inWords(message, command);
  expect(said).toContain(words);
  expect(said).not.toMatch(/\b(Flow\.|mlp|chunkSize|batchSize|memoryBudget|gradientClip|velocity|tensors:|software:)/);
});

test("a column that an error knows by its number gets its name, and a shuffled row none", () => {
  const error = withColumnNames(
    invalid(
      "trainFlowMatching: row 3, column 1 (from 0) of data is 1e30, 1e29 scales from the normalization's mean: leave such rows out",
    ),
    ["x", "y"],
  ) as Error;
  expect(error.message).toContain('a row of which "y" is 1e30, 1e29 scales');
  const other = withColumnNames(invalid("column 0 (from 0) of data reaches 7"), ["x", "y"]) as Error;
  expect(other.message).toBe('the column "x" reaches 7');
});

test("data where a flow is expected are told as such", () =>
  inFolder(async (folder) => {
    const path = join(folder, "data.csv");
    await writeFile(path, "x,y\n1,2\n");
    for (const words of [
      ["log-prob", path, "flow"],
      ["sample", path, "-n", "1", "-o", "-"],
    ]) {
      const { code, err } = await run(words);
      expect(code).toBe(1);
      expect(err).toContain("is text, but a flow is expected: the file that `pushforward train` saved comes first");
    }
  }));

const coded = (code: string, more: object = {}) => Object.assign(new Error(`${code}: text of Node`), { code, ...more });

test.each([
  [new RangeError("Invalid typed array length: 9e15"), "out-of-memory", /^the training failed \(memory does not hold/],
  [new TypeError("x is not a function\n at f (/a/b.js:3:4)"), "fault", /^the training failed \(x is not a function\)/],
  [new Error("SyntaxError: undefined in file:///a/b.ts:3:4"), "fault", /\(a value that is missing in …\)/],
  ["text", "fault", /^the training failed \(text\)/],
  [undefined, "fault", /^the training failed/],
  [coded("ECONNREFUSED"), "ECONNREFUSED", /\(the system says ECONNREFUSED\)/],
  [coded("EMFILE", { path: "a.csv" }), "EMFILE", /^a\.csv cannot be opened, .*too many files/],
  [coded("EPERM", { path: "a.csv" }), "EPERM", /^not allowed to use a\.csv/],
])("an error that nobody foresaw says what was being done, and why: %s", (error, code, words) => {
  const told = unknownInWords(error, "train");
  expect(told).toEqual({ code, message: expect.stringMatching(words) });
  expect(told.message).not.toMatch(/\w+Error\b|\bundefined\b|[jt]s:\d|\n/);
  if (!("path" in Object(error))) expect(told.message).toContain("PUSHFORWARD_DEBUG=1");
});

test("numbers of --context that are too many or too few are counted", () => {
  const given = (context?: number[]) => () =>
    chosenConditions(
      { ...(context && { context }) },
      { context: { names: ["kind"], normalization: { mean: [0], scale: [1] } } },
      { classes: 0, context: 1 },
    );
  expect(given([1, 2])).toThrow(
    '--context has 2 numbers, but the flow depends on a number ("kind"): give it with --context',
  );
  expect(given()).toThrow(/^the flow depends on a number \("kind"\): give it with --context$/);
});

test("a row outside of --transform is told by its column and its place", () => {
  const outside = messageOf(() =>
    freeRows("logProb", "x", Float32Array.of(0.5, 2, 1.5, 2), [{ kind: "interval", low: 0, high: 1 }, null]),
  );
  const error = withColumnNames(invalid(outside), ["share", "y"], 100) as Error;
  expect(inWords(error.message, "log-prob")).toBe(
    'row 102 has 1.5 in "share", but --transform has it between 0 and 1, without these: correct it, remove that row, or choose another --transform',
  );
});

test("what cannot be trained is refused by the words of the command line, and nothing is replaced", async () => {
  await inFolder(async (folder) => {
    const file = (name: string) => join(folder, name);
    const rows = Array.from({ length: 20 }, (_, i) => `${i % 7},${i % 3},${i % 2},${i - 5}`);
    await writeFile(file("t.csv"), `x,y,kind,c\n${rows.join("\n")}\n`);
    await writeFile(file("header.csv"), "x,y\n");
    const kept = encodeSafetensors({ w: { shape: [1], data: Float32Array.of(1) } }, {});
    await writeFile(file("kept.safetensors"), kept);
    const refusals: [string[], RegExp][] = [
      [["--row-weights", "c"], /the column "c" of --row-weights has -5, but rows count in proportion/],
      [["--source", file("header.csv")], /--source ".*header\.csv" has no rows, but the flow starts from at least one/],
      [
        ["--transform", "circular:360"],
        /--transform is a list of 1, but of columns there are 2, "x", "y": say one for each/,
      ],
      [["--transform", "interval:0:5,none"], /row 1 has 0 in "x", but --transform has it between 0 and 5/],
      [["--classes", "3"], /--classes is about --labels, but there is none/],
      [["--label-dropout", "0.1"], /--label-dropout is about --labels, but there is none/],
      [["--context-dropout", "0.1"], /--context-dropout is about --context, but there is none/],
      [
        ["--checkpoint", file("kept.safetensors")],
        /--checkpoint would replace .*kept\.safetensors, which is no checkpoint/,
      ],
    ];
    for (const [words, message] of refusals) {
      const { code, err } = await run(["train", file("t.csv"), "--columns", "x,y", "-o", file("new.flow"), ...words]);
      expect(err).toMatch(message);
      expect(code).toBeGreaterThan(0);
    }
    expect(new Uint8Array(await readFile(file("kept.safetensors")))).toEqual(kept);
    await expect(readFile(file("new.flow"))).rejects.toThrow("ENOENT");
  });
});

test.each([
  [
    "logProb needs log p of the source, but this flow's source is samples, which have no density: give the flow a source with one",
    /^this flow starts from rows, those of --source .*`pushforward push`$/,
  ],
  [
    'the score follows from the velocity where the source is a Gaussian, but this flow\'s is samples: pass sde.score, a flow that was trained with predict: "score"',
    /name one with --score, a flow that was trained with the same options and --predict score$/,
  ],
  [
    "pushStream: guidance is 2, but there are no labels to guide towards: pass labels too",
    /^--guidance is 2, but there are no labels to guide towards: name a class with --label, or leave it out$/,
  ],
])("the library's advice is that of the command line: %s", (message, words) => {
  expect(inWords(message, "sample")).toMatch(words);
});
