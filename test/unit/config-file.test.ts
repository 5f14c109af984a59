import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { inFolder, run } from "./command-line.ts";

test.each([
  ['{"stepz": 3}', '"stepz", which is no option of train: did you mean "steps"?'],
  ['{"learningRate": 3}', 'did you mean "learning-rate"?'],
  ['{"steps": "many"}', '"steps" is "many": expected a whole number of at least 1'],
  ['{"steps": {"a": 1}}', '"steps" is {"a":1}, but it is a number, a text or a list of these'],
  ['{"keep-best": 1}', '"keep-best" is 1, but it is true or false'],
  ['{"field": "cnn"}', '"field" is "cnn": Allowed choices are mlp, residual, concat-squash'],
  ["[1]", "holds no JSON object"],
  ["steps: 3", "is no JSON"],
])("the file of --config %s is refused in words", (text, words) =>
  inFolder(async (folder) => {
    const config = join(folder, "config.json");
    await writeFile(config, text);
    const { code, err } = await run(["train", "x.csv", "-o", "f", "--config", config]);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(words) });
  }),
);

test("a value of --config that no option can have is told also where the command line has another", () =>
  inFolder(async (folder) => {
    const config = join(folder, "config.json");
    await writeFile(config, '{"steps": "many"}');
    const { code, err } = await run(["train", "x.csv", "-o", "f", "--steps", "9", "--config", config]);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining('"steps" is "many": expected') });
  }));

test("what is printed for --config is what is read, and an option that does not belong is told", () =>
  inFolder(async (folder) => {
    const config = join(folder, "config.json");
    const words = ["train", "x.csv", "-o", "f", "--print-config"];
    const given = [
      ...["--columns", '"a, b",c', "--hidden", "8,9", "--time", "fourier:3", "--features", "4:2:1", "--keep-best"],
      ...["--time-distribution", "beta:2,1", "--initial", "first=1..30,output=zero", "--betas", "0.8,0.9"],
      ...["--noise", "neighbours:0.3", "--coupling", "sinkhorn", "--group", "64", "--no-header"],
      ...["--transform", "interval:0:2.5,none,simplex:2,positive"],
    ];
    const printed = await run([...words, ...given]);
    expect(printed.code).toBe(0);
    expect(JSON.parse(printed.out)).toMatchObject({ transform: "interval:0:2.5,none,simplex:2,positive" });
    await writeFile(config, printed.out);
    expect((await run([...words, "--config", config])).out).toBe(printed.out);
    const { code, err } = await run([...words, "--config", config, "--objective", "likelihood"]);
    expect({ code, err }).toEqual({
      code: 2,
      err: "error: --coupling is for --objective flow-matching, but --objective is likelihood: leave it out, or choose that\n",
    });
  }));

test.each([
  [["--blocks", "3"], "--blocks is for --field residual, but --field is mlp"],
  [["--group", "3"], "--group is for --coupling optimal-transport or sinkhorn, but --coupling is independent"],
  [["--momentum", "0.9"], "--momentum is for --optimizer muon, but --optimizer is adam"],
  [["--patience", "3", "--holdout", "0"], "--holdout 0 keeps none"],
  [["--label-dropout", "2"], "expected a finite number from 0 to 1"],
  [["--columns", "a,b", "--labels", "a"], '"a" is named twice among --columns, --labels'],
])("train with %j says what does not go together", async (more, words) => {
  const { code, err } = await run(["train", "-", "-o", "f.safetensors", ...more], "a,b\n1,2\n3,5\n4,4\n");
  expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining(words) });
});
