import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Flow, openGpu } from "pushforward";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readModel } from "../../cli/model.ts";
import { shortcutSteps } from "../../src/few-steps/shortcut.ts";
import { run } from "../unit/command-line.ts";

let folder = "";
const file = (name: string) => join(folder, name);
const rows = 90;

/** Two classes left and right of 0, and a column that shifts `y`; `weight` leaves the last third out. */
function table(): string {
  const lines = Array.from({ length: rows }, (_, i) => {
    const [kind, shift] = [i % 2, (i % 5) * 100];
    return [Math.sin(i) + 4 * kind, Math.cos(3 * i) + shift / 100, kind, shift, i < 60 ? 1 : 0].join();
  });
  return `x,y,kind,shift,weight\n${lines.join("\n")}\n`;
}

const small = ["--hidden", "8,8", "--steps", "12", "--batch-size", "32", "--json"];

async function train(flow: string, ...more: string[]) {
  const { code, out, err } = await run(["train", file("table.csv"), "-o", file(flow), ...more]);
  return { code, err, result: out.startsWith("{") ? JSON.parse(out) : out };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pushforward-training-"));
  await writeFile(file("table.csv"), table());
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("a flow of classes and context is trained, sampled, scored, told of and trained on", async () => {
  const conditioned = ["--labels", "kind", "--context", "shift", "--row-weights", "weight"];
  const all = [...small, ...conditioned, "--label-dropout", "0.1", "--keep-best", "--patience", "50"];
  const { code, result, err } = await train("both.flow", ...all, "--evaluation-steps", "4");
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(err).toContain("FLOP");
  expect(result).toMatchObject({ rows: { training: 81, heldOut: 9 }, bestStep: expect.any(Number) });
  const scores = await run(["log-prob", file("both.flow"), file("table.csv"), "--steps", "4", "--json"]);
  expect(JSON.parse(scores.out)).toMatchObject({ rows, nonFinite: 0 });
  const push = ["push", file("both.flow"), "-o", "-", "--steps", "60"];
  const there = await run([...push, file("table.csv"), "--from", "1", "--to", "0"]);
  const back = await run([...push, "-"], there.out);
  for (const carried of [there, back]) expect(carried.out.split("\n")[0]).toBe("x,y,kind,shift");
  const numbersOf = (text: string) =>
    text
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => line.split(",").slice(0, 4).map(Number));
  const [ends, starts] = [numbersOf(back.out), numbersOf(table())];
  for (const [i, row] of starts.entries())
    for (const [k, value] of row.entries()) expect(ends[i]?.[k]).toBeCloseTo(value, 2);
  const sample = ["sample", file("both.flow"), "-n", "3", "-o", "-", "--steps", "4"];
  const [left, right] = await Promise.all(
    ["0", "1"].map((label) => run([...sample, "--label", label, "--context", "200"])),
  );
  expect(left?.out.split("\n")).toHaveLength(5);
  const given = ["--label", "0", "--context", "200", "--guidance", "1.5", "--steps", "30"];
  const drawn = await run(["sample", file("both.flow"), "-n", "3", "-o", "-", "--log-prob", ...given]);
  const rescored = await run(
    ["log-prob", file("both.flow"), "-", "--columns", "x,y", "-o", "-", "--only-scores", ...given],
    drawn.out,
  );
  const [forward, backward] = [drawn, rescored].map(({ out }) =>
    out
      .trim()
      .split("\n")
      .slice(1)
      .map((line) => Number(line.split(",").at(-1))),
  );
  for (const [i, score] of (forward ?? []).entries()) expect(backward?.[i]).toBeCloseTo(score, 2);
  expect(left?.out.split("\n")[0]).toBe("x,y");
  expect(right?.out).not.toBe(left?.out);
  expect(await run([...sample, "--label", "2", "--context", "1"])).toMatchObject({
    code: 2,
    err: "error: --label is 2, but the flow has the classes 0 to 1\n",
  });
  const needed = await run(sample);
  expect(needed).toMatchObject({ code: 2, err: expect.stringContaining("depends on a number (") });
  const info = await run(["info", file("both.flow"), "--json"]);
  expect(JSON.parse(info.out)).toMatchObject({
    ...{ kind: "mlp", dim: 2, classes: 2, context: 1, columns: ["x", "y"] },
    training: { steps: 12, rows: 81, options: { "--labels": "kind", "--hidden": "8,8" } },
    commands: expect.arrayContaining([expect.stringContaining("--label 0 --context 0")]),
  });
  const longer = await train("longer.flow", "--from", file("both.flow"), ...small.slice(2));
  expect(longer.code).toBe(0);
});

test("each network and each objective trains, and what ran stands in the file", async () => {
  const common = ["--columns", "x,y", "--steps", "4", "--batch-size", "32", "--evaluation-steps", "2", "--json"];
  const residual = ["--field", "residual", "--width", "8", "--blocks", "1", "--features", "4:2", "--optimizer", "muon"];
  const first = await train("residual.flow", ...common, ...residual, "--time-distribution", "logit-normal:0,1");
  expect({ code: first.code, err: first.err }).toMatchObject({ code: 0 });
  const squash = ["--field", "concat-squash", "--hidden", "8", "--objective", "likelihood", "--solver-steps", "2"];
  expect((await train("squash.flow", ...common, ...squash, "--kinetic-energy", "0.1")).code).toBe(0);
  const tuned = ["--from", file("residual.flow"), "--objective", "discrete-likelihood", "--solver-steps", "2"];
  const steps = ["--warp", "1.5", "--jitter", "0.4", "--least-determinant", "0.2", "--row-order", "shuffled"];
  const tuning = await train("tuned.flow", ...common, ...tuned, ...steps, "--freeze", "in", "--schedule", "one-cycle");
  expect({ code: tuning.code, err: tuning.err }).toMatchObject({ code: 0 });
});

test("from data to data: samples start from the rows of --source, and there is no density", async () => {
  const flow = ["--columns", "x,y", "--source", file("table.csv"), "--coupling", "optimal-transport", "--group", "16"];
  const { code, result, err } = await train("moved.flow", ...small, ...flow, "--bridge", "0.5");
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(result).toMatchObject({ transportCost: { coupled: expect.any(Number) } });
  expect(result.heldOut).toBeUndefined();
  const { out } = await run(["sample", file("moved.flow"), "-n", "2", "-o", "-", "--steps", "2"]);
  expect(out.split("\n")).toHaveLength(4);
  expect((await run(["log-prob", file("moved.flow"), file("table.csv")])).code).toBe(1);
});

test("rows are paired row by row: a quarter turn is learned, which no other coupling could find", async () => {
  const starts = Array.from({ length: 144 }, (_, i) => [(i % 12) - 5.5, Math.floor(i / 12) - 5.5] as const);
  const turned = starts.map(([a = 0, b = 0]) => [-b, a, a, b].join());
  await writeFile(file("pairs.csv"), ["x,y,a,b", ...turned].join("\n"));
  const pairs = (output: string, ...more: string[]) =>
    run(["train", file("pairs.csv"), "-o", file(output), "--columns", "x,y", "--json", ...more]);
  const paired = ["--source", file("pairs.csv"), "--source-columns", "a,b", "--coupling", "paired"];
  const steps = ["--steps", "400", "--batch-size", "128", "--hidden", "32,32", "--learning-rate", "1e-2"];
  const { code, err, out } = await pairs("turned.flow", ...paired, ...steps, "--validate-every", "100", "--keep-best");
  expect({ code, err }).toMatchObject({ code: 0 });
  expect(JSON.parse(out).validationLoss).toBeLessThan(0.05);
  await writeFile(file("before.csv"), ["x,y", ...starts.map((row) => row.join())].join("\n"));
  const moved = await run(["push", file("turned.flow"), file("before.csv"), "-o", "-"]);
  const after = moved.out.trim().split("\n").slice(1);
  expect(after).toHaveLength(starts.length);
  const errors = after.map((line, i) => {
    const [x = Number.NaN, y = Number.NaN] = line.split(",").map(Number);
    const [a, b] = starts[i] ?? [Number.NaN, Number.NaN];
    return Math.hypot(x + b, y - a);
  });
  // rows are 1 apart, and up to 7.8 from the middle
  expect(errors.reduce((sum, error) => sum + error, 0) / errors.length).toBeLessThan(0.5);
  await writeFile(file("fewer.csv"), ["x,y", ...starts.slice(1).map((row) => row.join())].join("\n"));
  await writeFile(file("broken.csv"), ["x,y", ",1", ...starts.slice(1).map((row) => row.join())].join("\n"));
  for (const [more, message] of [
    [["--source", file("fewer.csv"), "--coupling", "paired"], /has 144 rows and --source 143 rows/],
    [["--source", file("broken.csv"), "--coupling", "paired", "--skip-invalid"], /left out 0 of .* and 1 of --source/],
    [["--coupling", "paired"], /--coupling paired pairs the rows of --source, but there is none/],
    [["--source-columns", "a,b"], /--source-columns names columns of the rows of --source, but there is none/],
    [[...paired, "--source-columns", "a"], /--source-columns names "?a"?, but 2 columns are learned/],
  ] as const) {
    const refused = await pairs("refused.flow", ...more);
    expect(refused.code).toBe(2);
    expect(refused.err).toMatch(message);
  }
});

test("a flow is trained for few steps: by shortcuts, and by reflow with the pairs that it makes itself", async () => {
  const given = ["--columns", "x,y", "--context", "shift", ...small, "--evaluation-steps", "2"];
  const quick = await train("quick.flow", ...given, "--shortcut", "2");
  expect({ code: quick.code, err: quick.err }).toMatchObject({ code: 0 });
  expect(quick.result).toMatchObject({ heldOut: { logLikelihood: expect.any(Number) } });
  const draw = (...more: string[]) =>
    run(["sample", file("quick.flow"), "-n", "5", "--context", "1", "-o", "-", ...more]);
  const [one, two, solved] = await Promise.all([
    draw("--shortcuts", "1"),
    draw("--shortcuts", "2"),
    draw("--steps", "2"),
  ]);
  expect(one.code + two.code + solved.code).toBe(0);
  expect(new Set([one, two, solved].map(({ out }) => out)).size).toBe(3);
  // as the library has it
  const model = await readModel(file("quick.flow"));
  const gpu = await openGpu();
  const flow = Flow.create(gpu, model.options);
  const {
    normalization: {
      mean: [mean = 0],
      scale: [scale = 1],
    } = { mean: [], scale: [] },
  } = model.conditions.context ?? {};
  const context = new Float32Array(5).fill((1 - mean) / scale);
  const { x } = await flow.sample(5, { ...shortcutSteps(5, 2, context), output: "float64" });
  flow.dispose();
  gpu.dispose();
  const values = two.out
    .trim()
    .split("\n")
    .slice(1)
    .flatMap((line) => line.split(",").map(Number));
  for (const [i, value] of values.entries()) expect(value).toBeCloseTo(x[i] ?? Number.NaN, 4);
  expect((await run(["log-prob", file("quick.flow"), file("table.csv"), "--steps", "2"])).code).toBe(0);
  const info = await run(["info", file("quick.flow")]);
  expect(info.out).toMatch(/context +shift\n.*--shortcuts/s);
  const again = await train("longer.flow", "--from", file("quick.flow"), "--shortcut", "2", ...small.slice(2));
  expect({ code: again.code, err: again.err }).toMatchObject({ code: 0 });

  expect(await train("free.flow", "--columns", "x,y", "--shortcut", "2", ...small)).toMatchObject({ code: 0 });
  expect((await run(["log-prob", file("free.flow"), file("table.csv"), "--steps", "2"])).code).toBe(0);
  const python = await run(["export", file("free.flow"), "--pytorch", "-o", "-"]);
  expect(python.out).toContain("u = velocity(t, x, context=context)\n");
  expect(python.out).toContain("context is [n, 1]: the length of a step (0: one of a solver).\n");
  expect(await train("teacher.flow", "--columns", "x,y", ...small)).toMatchObject({ code: 0 });
  await run(["sample", file("teacher.flow"), "-n", "40", "-o", file("ends.csv"), "--steps", "8"]);
  const back = ["--from", "1", "--to", "0", "--units", "data", "--steps", "8"];
  expect(await run(["push", file("teacher.flow"), file("ends.csv"), ...back, "-o", file("starts.csv")])).toMatchObject({
    code: 0,
  });
  const reflow = ["--from", file("teacher.flow"), "--source", file("starts.csv"), "--coupling", "paired"];
  const words = ["train", file("ends.csv"), "-o", file("straight.flow"), ...reflow, ...small.slice(2)];
  const { code, err } = await run(words);
  expect({ code, err }).toMatchObject({ code: 0 });
  // it starts from the Gaussian of its teacher, so it has a density
  expect((await run(["log-prob", file("straight.flow"), file("ends.csv"), "--steps", "2"])).code).toBe(0);
  for (const [command, message] of [
    [["sample", file("teacher.flow"), "-n", "3", "--shortcuts", "2"], /--shortcuts is for a flow that .*--shortcut 2/],
    [
      ["sample", file("quick.flow"), "-n", "3", "--context", "1", "--shortcuts", "2", "--steps", "4"],
      /and so does --steps/,
    ],
    [
      ["sample", file("quick.flow"), "-n", "3", "--context", "1", "--shortcuts", "2", "--log-prob"],
      /no density of their own/,
    ],
    [["push", file("quick.flow"), file("table.csv"), "--shortcuts", "2", "--from", "0.5"], /from t = 0 to 1/],
    [["train", file("table.csv"), "--from", file("quick.flow")], /was trained with --shortcut.*give it/],
    [
      ["train", file("table.csv"), "--from", file("teacher.flow"), "--shortcut", "2"],
      /was trained without: leave it out/,
    ],
    [["train", file("table.csv"), "--shortcut", "1"], /at least 2/],
  ] as const) {
    const failed = await run([...command, "-o", file(command[0] === "train" ? "refused.flow" : "refused.csv")]);
    expect(failed.code).toBe(2);
    expect(failed.err).toMatch(message);
  }
});

test("rows are sampled and carried with noise: as much as is asked, by a score that was trained on the same bridges", async () => {
  const given = ["--columns", "x,y", ...small, "--holdout", "0"];
  expect(await train("plain.flow", ...given)).toMatchObject({ code: 0 });
  const draw = (n: string, ...more: string[]) => run(["sample", file("plain.flow"), "-n", n, "-o", "-", ...more]);
  const noise = ["--diffusion", "1:0", "--steps", "6"];
  const [many, few, ode, quiet, other] = await Promise.all([
    draw("40", ...noise),
    draw("3", ...noise),
    draw("3", "--method", "heun2", "--steps", "100"),
    draw("3", "--diffusion", "0"),
    draw("3", ...noise, "--seed", "1"),
  ]);
  expect(many.code).toBe(0);
  expect(many.out.startsWith(few.out)).toBe(true);
  expect(quiet.out).toBe(ode.out);
  expect(new Set([few, ode, other].map(({ out }) => out)).size).toBe(3);
  const bridge = [...given, "--source", file("table.csv"), "--bridge", "0.5"];
  expect(await train("bridge.flow", ...bridge)).toMatchObject({ code: 0 });
  expect(await train("score.flow", ...bridge, "--predict", "score")).toMatchObject({ code: 0 });
  const half = [...bridge, "--holdout", "0.5"];
  expect(await train("other.flow", ...half, "--predict", "score")).toMatchObject({ code: 0 });
  const scored = ["--diffusion", "0.5", "--score", file("score.flow"), "--steps", "5"];
  const sampled = await run(["sample", file("bridge.flow"), "-n", "7", "-o", "-", ...scored]);
  expect(sampled.out.trim().split("\n")).toHaveLength(8);
  const push = ["push", file("bridge.flow"), file("table.csv"), "-o", "-", ...scored];
  const [one, again, next] = await Promise.all([run(push), run(push), run([...push, "--seed", "4"])]);
  expect(one).toMatchObject({ code: 0 });
  expect(one.out.trim().split("\n")).toHaveLength(rows + 1);
  expect(again.out).toBe(one.out);
  expect(next.out).not.toBe(one.out);
  for (const [words, message] of [
    [["sample", file("plain.flow"), ...noise, "--log-prob"], /--log-prob tells densities along paths without noise/],
    [
      ["sample", file("plain.flow"), "--diffusion", "1", "--method", "rk4"],
      /--diffusion is solved by --method heun2.*is rk4/,
    ],
    [["sample", file("plain.flow"), "--diffusion", "-1"], /expected a number of at least 0 as in 0\.5, or two/],
    [["sample", file("plain.flow"), "--score", file("score.flow")], /--score is for paths with noise/],
    [
      ["sample", file("plain.flow"), ...scored.slice(0, 3), file("other.flow"), "--cluster", "redis://localhost:1"],
      /has other units than the flow/,
    ],
    [["sample", file("bridge.flow"), "--diffusion", "1"], /this flow's is samples/],
    [["sample", file("bridge.flow"), ...scored.slice(0, 3), file("bridge.flow")], /predict velocities, not a score/],
  ] as const) {
    const { code, err } = await run([...words, ...(words[0] === "sample" ? ["-n", "3", "-o", "-"] : [])]);
    expect(code).not.toBe(0);
    expect(err).toMatch(message);
  }
  expect(await train("none.flow", ...given, "--predict", "score")).toMatchObject({
    code: 2,
    err: expect.stringContaining("--predict score is learned of bridges, but there is no --bridge"),
  });
  const units = await train("units.flow", "--columns", "y,x", ...small, "--holdout", "0");
  expect(units).toMatchObject({ code: 0 });
  const mixed = await run(["sample", file("units.flow"), "-n", "3", "-o", "-", ...scored]);
  expect(mixed).toMatchObject({ code: 2, err: expect.stringContaining("other units than the flow") });
});

test("angles are learned around the circle, and sampled within a turn", async () => {
  const angles = ["--columns", "x,y", "--transform", "circular:6:-3,none", ...small, "--holdout", "0"];
  expect(await train("angles.safetensors", ...angles)).toMatchObject({ code: 0 });
  const { out, code } = await run(["sample", file("angles.safetensors"), "-n", "50", "-o", "-", "--log-prob"]);
  expect(code).toBe(0);
  for (const line of out.trim().split("\n").slice(1)) {
    const [angle = Number.NaN, , logProb] = line.split(",").map(Number);
    expect(angle >= -3 && angle < 3 && Number.isFinite(logProb)).toBe(true);
  }
  const info = await run(["info", file("angles.safetensors")]);
  expect(info.out).toContain("circular:6:-3");
  expect(await train("none.flow", ...angles, "--field", "concat-squash")).toMatchObject({
    code: 2,
    err: expect.stringContaining("choose --field mlp or --field residual"),
  });
  expect(await train("none.flow", ...angles, "--features", "3:0.5")).toMatchObject({
    code: 2,
    err: expect.stringContaining("leave --features out"),
  });
  // the axis ends after a turn, in which the density is counted once
  const plot = [
    "plot",
    file("angles.safetensors"),
    "-o",
    file("angles.png"),
    "--kind",
    "density",
    "--bins",
    "20",
    "--json",
  ];
  const drawn = await run([...plot, "--steps", "4"]);
  expect({ code: drawn.code, err: drawn.err }).toMatchObject({ code: 0 });
  expect(Math.abs(JSON.parse(drawn.out).mass - 1)).toBeLessThan(0.1);
});

test("rows are carried to the source and back, and a flow is drawn", async () => {
  const flow = file("plain.safetensors");
  expect((await train("plain.safetensors", "--columns", "x,y", ...small, "--evaluation-steps", "2")).code).toBe(0);
  const push = ["push", flow, "-", "-o", "-", "--steps", "8", "--from"];
  const rows = "x,y\n0.5,1\n3,2.5\n";
  const there = await run([...push, "1", "--to", "0"], rows);
  expect({ code: there.code, err: there.err }).toMatchObject({ code: 0 });
  const back = await run([...push, "0"], there.out);
  const values = back.out
    .trim()
    .split("\n")
    .slice(1)
    .flatMap((line) => line.split(",").map(Number));
  expect(values).toHaveLength(4);
  for (const [i, value] of [0.5, 1, 3, 2.5].entries()) expect(values[i]).toBeCloseTo(value, 2);
  for (const more of [
    ["density", "--bins", "12", "--steps", "3"],
    ["trajectories", "--paths", "9", "--steps", "3"],
    ["trajectories", "--paths", "9", "--method", "dopri5"],
    ["field", "--at", "0.5", "--steps", "3"],
  ]) {
    const drawn = await run(["plot", flow, "-o", file("x.png"), "--json", "--kind", ...more]);
    expect({ code: drawn.code, err: drawn.err }).toMatchObject({ code: 0 });
    expect((await readFile(file("x.png"))).subarray(1, 4).toString()).toBe("PNG");
    if (more[0] === "density") expect(JSON.parse(drawn.out).mass).toBeCloseTo(1, 0);
  }
});

test("a file of --config gives the same flow as its options typed, and the command line wins", async () => {
  const typed = ["--columns", "x,y", "--noise", "neighbours:0.3,4", "--initial", "first=1..4,output=0.1", ...small];
  const printed = await run(["train", "any.csv", "-o", "any", ...typed, "--print-config"]);
  expect(printed.code).toBe(0);
  await writeFile(file("config.json"), printed.out);
  expect(JSON.parse(printed.out)).toMatchObject({ columns: ["x", "y"], noise: "neighbours:0.3,4", steps: 12 });
  await train("typed.flow", ...typed);
  const read = await train("read.flow", "--config", file("config.json"), "--json");
  expect({ code: read.code, err: read.err }).toMatchObject({ code: 0 });
  expect(await readFile(file("read.flow"))).toEqual(await readFile(file("typed.flow")));
  const won = await run(["train", "a", "-o", "b", "--steps", "5", "--config", file("config.json"), "--print-config"]);
  expect(JSON.parse(won.out)).toMatchObject({ steps: 5, "batch-size": 32 });
});

test("what goes to one file from stdout and stderr stands there one after the other", async () => {
  const log = file("log.txt");
  const place = openSync(log, "w");
  const words = ["train", file("table.csv"), "-o", file("logged.flow"), "--hidden", "4", "--steps", "2"];
  const child = spawn(process.execPath, ["dist/cli.js", ...words], { stdio: ["ignore", place, place] });
  const [code] = await once(child, "exit");
  closeSync(place);
  const text = await readFile(log, "utf8");
  expect({ code, text }).toMatchObject({
    code: 0,
    text: expect.stringMatching(/^90 rows of x, y, kind, shift, weight$/m),
  });
  for (const line of [/^training .* parameters on /m, /^saved .* after 2 steps/m, /^held-out log-likelihood /m])
    expect(text).toMatch(line);
});
