// What a process of openWorkers() runs in Node.
// biome-ignore lint/correctness/noNodejsModules: only Node loads this file
import process from "node:process";
import type { ToThread } from "./messages.ts";
import { serve } from "./thread.ts";

const receive = serve((message) => process.send?.(message));
process.on("message", (message) => receive(message as ToThread));
// The program that started it has ended. Without Dawn's farewell, which complains of promises that are pending.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
// A terminal sends Ctrl-C to all processes: the program decides.
process.on("SIGINT", () => undefined);
