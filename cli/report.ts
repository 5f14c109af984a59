import cliProgress from "cli-progress";

/** Where a command writes; tests pass their own. */
export interface Output {
  stdout: NodeJS.WritableStream & { isTTY?: boolean };
  stderr: NodeJS.WritableStream & { isTTY?: boolean };
}

/** A running count of work: a bar on a terminal, else a plain line now and then. */
export interface Progress {
  /** `note` is a short live figure such as "loss 1.234". */
  update(done: number, note?: string): void;
  stop(): void;
}

const secondsBetweenLines = 10;

/** Progress goes to stderr, so that stdout holds results alone. */
export function startProgress(output: Output, label: string, total: number): Progress {
  return output.stderr.isTTY ? terminalBar(output, label, total) : plainLines(output, label, total);
}

function terminalBar(output: Output, label: string, total: number): Progress {
  const bar = new cliProgress.SingleBar(
    {
      format: `${label} {bar} {percentage}% · {value}/{total} · {eta_formatted} left{note}`,
      stream: output.stderr,
      hideCursor: true,
      clearOnComplete: false,
      barCompleteChar: "━",
      barIncompleteChar: "─",
      barsize: 28,
      fps: 8,
      etaBuffer: 50,
      // Its own handler would end the process before the command can save what was finished.
      gracefulExit: false,
    },
    cliProgress.Presets.legacy,
  );
  bar.start(total, 0, { note: "" });
  return {
    update: (done, note) => bar.update(Math.min(done, total), { note: note === undefined ? "" : ` · ${note}` }),
    stop: () => bar.stop(),
  };
}

function plainLines(output: Output, label: string, total: number): Progress {
  let last = performance.now();
  let tenth = 0;
  return {
    update(done, note) {
      const now = performance.now();
      const reached = Math.floor((10 * done) / Math.max(1, total));
      const isDue = now - last > 1000 * secondsBetweenLines;
      if (done < total && (reached === tenth || now - last < 1000) && !isDue) return;
      if (done >= total && tenth === 10) return;
      tenth = reached;
      last = now;
      const share = Math.floor((100 * done) / Math.max(1, total));
      output.stderr.write(`${label} ${share} % · ${done}/${total}${note === undefined ? "" : ` · ${note}`}\n`);
    },
    stop() {},
  };
}

/** A running count whose end is not known: one line that is rewritten on a terminal, else a line now and then. */
export function startCounter({ stderr }: Output, label: string): { update(done: number): void; stop(): void } {
  let last = performance.now();
  let isShown = false;
  return {
    update(done) {
      const now = performance.now();
      if (now - last < 1000 * (stderr.isTTY ? 0.2 : secondsBetweenLines)) return;
      last = now;
      isShown = true;
      stderr.write(stderr.isTTY ? `\r${label} ${count(done)}` : `${label} ${count(done)}\n`);
    },
    stop() {
      if (isShown && stderr.isTTY) stderr.write("\n");
    },
  };
}

/** "12,345": numbers as people read them. */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** "1 row", "12,345 incomplete rows". */
export function rowsText(rows: number, kind = ""): string {
  return `${count(rows)} ${kind === "" ? "" : `${kind} `}${rows === 1 ? "row" : "rows"}`;
}

/** "4.2 s", "2 min 05 s". */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
}
