import { Command } from "commander";
import { type Context, type GpuChoice, printResult, withGpu } from "../context.ts";
import { flowInfo } from "../flow-info.ts";
import { options } from "./shared-options.ts";

const mebibyte = 1 << 20;

const examples = `
Examples:
  pushforward info
  pushforward info --software forbid     fails with exit code 1 where only a CPU adapter is found
  pushforward info flow.safetensors      what a flow is, how it was trained, and what can be done with it
  pushforward info --json | jq .adapter.description`;

export function infoCommand(context: Context): Command {
  return new Command("info")
    .description("Show what a flow's file holds; without one, the WebGPU adapter that the other commands would use.")
    .argument("[flow.safetensors]", "flow saved by train")
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action(async (path: string | undefined, choice: GpuChoice & { json: boolean }) => {
      if (path !== undefined) {
        const { result, lines } = await flowInfo(path);
        return printResult(context, choice.json, result, lines);
      }
      await withGpu(choice, async (gpu) => {
        const { limits } = gpu.device;
        const adapter = { ...gpu.info, features: [...gpu.info.features].sort() };
        const numbers = {
          maxBufferSize: limits.maxBufferSize,
          maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
          maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
          maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
          maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
          maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
        };
        const lines: [string, string][] = [
          ["adapter", adapter.description || adapter.architecture || "(no description)"],
          ["vendor", adapter.vendor || "(not told)"],
          ["architecture", adapter.architecture || "(not told)"],
          ["kind", adapter.software ? "software: runs on the CPU" : "hardware"],
          ["features", adapter.features.join(", ") || "none"],
          ["memory budget of a call", `${Math.round(gpu.memoryBudget / mebibyte)} MiB`],
          ["largest buffer", `${Math.round(numbers.maxBufferSize / mebibyte)} MiB`],
          ["largest storage binding", `${Math.round(numbers.maxStorageBufferBindingSize / mebibyte)} MiB`],
          ["workgroup storage", `${numbers.maxComputeWorkgroupStorageSize} bytes`],
          ["threads of a workgroup", String(numbers.maxComputeInvocationsPerWorkgroup)],
          ["storage buffers of a kernel", String(numbers.maxStorageBuffersPerShaderStage)],
          ["runtime", runtime()],
        ];
        const text = lines.map(([name, value]) => `${name.padEnd(28)} ${value}`);
        printResult(
          context,
          choice.json,
          { adapter, memoryBudget: gpu.memoryBudget, limits: numbers, runtime: runtime() },
          text,
        );
      });
    });
}

function runtime(): string {
  return `Node ${process.versions.node} on ${process.platform} ${process.arch}`;
}
