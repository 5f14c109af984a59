import { basename } from "node:path";
import { Command } from "commander";
import { toPyTorch } from "../../src/pytorch/entry.ts";
import { besideOutput, type Context, printResult, UsageError } from "../context.ts";
import { checkPythonEnding } from "../endings.ts";
import { readModel } from "../model.ts";
import { claimOutput, writeOutput } from "../outputs.ts";
import { options } from "./shared-options.ts";

interface ExportOptions {
  pytorch: boolean;
  output: string;
  json: boolean;
}

const examples = `
The module has class Velocity(torch.nn.Module), whose forward(t, x) is the flow's velocity, and load(path), which reads the weights
from the flow's own file. It needs PyTorch 1.10 or newer and nothing else. No GPU is used.

Examples:
  pushforward export flow.safetensors --pytorch -o flow.py
  python3 -c "import flow, torch; print(flow.load('flow.safetensors')(0.5, torch.zeros(1, 2)))"`;

export function exportCommand(context: Context): Command {
  return new Command("export")
    .description("Write a flow's network as a module of another framework.")
    .argument("<flow.safetensors>", "flow saved by train")
    .option("--pytorch", "as Python for PyTorch", false)
    .requiredOption("-o, --output <file>", "where the module goes; - for stdout")
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((model: string, o: ExportOptions) => write(context, model, o));
}

async function write(context: Context, path: string, o: ExportOptions): Promise<void> {
  if (!o.pytorch) throw new UsageError("export writes a module for PyTorch, and for nothing else yet: add --pytorch");
  const target = await claimOutput(context, o.output, false, [{ name: "the flow", path }]);
  checkPythonEnding(target);
  const { options: flow, conditions } = await readModel(path);
  const { names = [], normalization: units = { mean: [], scale: [] } } = conditions.context ?? {};
  const called = [...names, ...(conditions.shortcut ? ["the length of a step (0: one of a solver)"] : [])];
  const text = toPyTorch(
    { velocitySpec: flow.velocity, normalization: flow.normalization, transform: flow.transform },
    { file: basename(path), ...(called.length > 0 && { context: { ...units, names: called } }) },
  );
  await writeOutput(context, target, text);
  printResult(besideOutput(context, target), o.json, { output: o.output, weights: path }, [
    `wrote ${o.output}, which reads its weights from ${basename(path)}`,
  ]);
}
