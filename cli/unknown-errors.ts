import { item } from "../src/must.ts";
import { FileError, fileError } from "./file-errors.ts";

/** What each command was doing when an error came that none of its parts knows. */
const work: Record<string, string> = {
  train: "the training",
  sample: "the sampling",
  "log-prob": "the scoring",
  push: "the solve",
  evaluate: "the comparison",
  plot: "the drawing",
  info: "the look at the GPU",
  worker: "the worker",
};

/** JavaScript's ways to say that there is not enough memory. */
const memory =
  /invalid (typed )?array (buffer )?length|array buffer allocation failed|invalid string length|cannot create a string longer|out of memory|allocation failed|maximum size exceeded/i;

const report =
  "If it stays so, run the same again with PUSHFORWARD_DEBUG=1 in the environment and report what it prints, with the command line";

/** An error that nobody foresaw, in words: what was being done, the cause in parentheses, and how to report it. */
export function unknownInWords(error: unknown, command: string): { message: string; code: string } {
  const doing = work[command] ?? "the command";
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : undefined;
  const told = fileError(error, path ?? "a file");
  if (told instanceof FileError) {
    const cause = path === undefined ? `${doing} failed (the system says ${told.code}). ${report}` : told.message;
    return { message: cause, code: told.code };
  }
  const text = error instanceof Error ? error.message : String(error);
  if (memory.test(text))
    return {
      message: `${doing} failed (memory does not hold what it needs): ask for less at a time, or close what else takes memory. ${report}`,
      code: "out-of-memory",
    };
  return { message: `${doing} failed (${causeOf(text)}), which is a fault of pushforward. ${report}`, code: "fault" };
}

/** The first line of a text that is not ours, without names of classes, places in the source and what would steer a terminal. */
function causeOf(text: string): string {
  const line = item(text.split("\n"), 0)
    .replace(/, which is a fault of pushforward: please report it$/, "")
    .replace(/\b(Type|Range|Reference|Syntax|Eval|URI|Aggregate|DOM)?(Error|Exception)\b:? ?/g, "")
    .replace(/(file:\/\/)?\S*[/\\]\S+\.[cm]?[jt]s(:\d+)*/g, "…")
    .replace(/\bundefined\b/g, "a value that is missing")
    .replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, "\ufffd")
    .trim();
  if (line === "") return "no cause was given";
  return line.length > 200 ? `${line.slice(0, 200)}…` : line;
}
