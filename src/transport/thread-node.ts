// What a thread runs in Node that pairs points.
// biome-ignore lint/correctness/noNodejsModules: only Node loads this file
import { parentPort } from "node:worker_threads";
import { type MatchJob, match } from "./match.ts";

parentPort?.on("message", (job: MatchJob) => parentPort?.postMessage(match(job)));
