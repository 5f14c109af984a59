import { Command } from "commander";
import type { JobEvent } from "pushforward/cluster";
import { decimalWithin } from "../arguments.ts";
import type { Context, GpuChoice } from "../context.ts";
import { withoutNotices } from "../quiet.ts";
import { count, duration } from "../report.ts";
import { options } from "./shared-options.ts";

interface WorkerOptions extends GpuChoice {
  redis: string;
  queue: string;
  name?: string;
  lockSeconds: number;
  json: boolean;
}

const examples = `
Start one on each machine (one for each GPU), then call with --cluster and the same address from anywhere. Flows come through
Redis; nothing else is needed here. Ctrl-C gives the range in work back. A worker that dies is noticed after --lock-seconds, and
its range goes to another one.

Examples:
  pushforward worker --redis redis://10.0.0.1:6379
  pushforward worker --redis redis://localhost:6379 --json      a line of JSON for each thing that happens`;

export function workerCommand(context: Context): Command {
  return new Command("worker")
    .description("Compute for calls on other machines until Ctrl-C.")
    .requiredOption("--redis <url>", "Redis through which the machines meet, as in redis://localhost:6379")
    .addOption(options.queue())
    .option("--name <name>", "name in messages; default: host and process id")
    .option("--lock-seconds <number>", "silence after which a range is taken from a worker", decimalWithin(1, 3600), 10)
    .addOption(options.software())
    .addOption(options.json())
    .addHelpText("after", examples)
    .action((o: WorkerOptions) => work(context, o));
}

async function work(context: Context, o: WorkerOptions): Promise<void> {
  const { openGpu } = await import("pushforward");
  const { runWorker } = await import("pushforward/cluster");
  const print = (event: object, text: string) => context.stdout.write(`${o.json ? JSON.stringify(event) : text}\n`);
  const { served } = await runWorker(() => withoutNotices(() => openGpu({ software: o.software })), {
    url: o.redis,
    queue: o.queue,
    ...(o.name !== undefined && { name: o.name }),
    lockSeconds: o.lockSeconds,
    signal: context.signal,
    onReady: ({ name, adapter }) =>
      print({ phase: "ready", worker: name, adapter }, `worker ${name} on ${adapter} waits for ranges; Ctrl-C ends it`),
    onJob: (event) => print(event, describe(event)),
    onNotice: (text) => context.stderr.write(`${text}\n`),
  });
  print({ phase: "end", served }, `ended after ${count(served)} ranges`);
}

function describe({ phase, what, start, count: particles, total, seconds, message }: JobEvent): string {
  const range = `${what} ${count(start)} … ${count(start + Math.max(1, particles) - 1)} of ${count(total)}`;
  const time = seconds === undefined ? "" : ` after ${duration(seconds)}`;
  return `${range}: ${phase}${time}${message === undefined ? "" : `: ${message}`}`;
}
