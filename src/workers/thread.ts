import { openGpu } from "../gpu/gpu.ts";
import { failureIn } from "../spread/range-task.ts";
import { version } from "../spread/version.ts";
import type { FromThread, ToThread } from "./messages.ts";
import { RangeSolver } from "./range-solver.ts";

/**
 * What a thread does, whatever it is: takes what it is told, and answers by `post`; buffers in `transfer` may be moved.
 * One range is in work at a time.
 */
export function serve(post: (message: FromThread, transfer: ArrayBuffer[]) => void): (message: ToThread) => void {
  let solver: RangeSolver | undefined;
  let current = new AbortController();
  let bring: (parcel: Uint8Array) => void = () => undefined;

  const open = async ({ name, gpu }: ToThread & { kind: "open" }) => {
    try {
      solver = new RangeSolver(name, () => openGpu(gpu));
      post({ kind: "ready", version, adapter: await solver.adapter() }, []);
    } catch (error) {
      post({ kind: "failed", failure: failureIn(name, error) }, []);
    }
  };
  const fetchParcel = () =>
    new Promise<Uint8Array>((resolve) => {
      bring = resolve;
      post({ kind: "want" }, []);
    });
  const solve = async ({ hash, task, input }: ToThread & { kind: "range" }) => {
    if (!solver) return;
    current = new AbortController();
    const outcome = await solver.solve({ hash, parcel: fetchParcel }, task, input, current.signal, (compiling) =>
      post({ kind: "compiling", compiling }, []),
    );
    const arrays = outcome.kind === "done" ? Object.values(outcome.arrays) : [];
    post(outcome, [...new Set(arrays.map(({ buffer }) => buffer as ArrayBuffer))]);
  };
  return (message) => {
    // other messages may come from elsewhere: they are not for this
    if (typeof message !== "object" || message === null) return;
    if (message.kind === "open") void open(message);
    else if (message.kind === "range") void solve(message);
    else if (message.kind === "flow") bring(message.parcel);
    else if (message.kind === "abort") current.abort();
  };
}
