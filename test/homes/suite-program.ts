import { type Gpu, openGpu } from "pushforward";
import { DeviceErrors } from "./device-errors.ts";
import type { Failure, SuiteEvent } from "./events.ts";
import { type Home, type RegisteredTest, registeredTests } from "./registry.ts";
import { checkSelections, isSelected } from "./selection.ts";

interface SuiteArguments {
  readonly home: Home;
  /** Part of the names of the tests to run, in any case. */
  readonly filter: string;
  /** Whether tests run that this home leaves to others: see selection.ts. */
  readonly isFull: boolean;
  /** Where to go on after a crash: tests before it are not run. */
  readonly firstIndex: number;
}

interface Opened {
  readonly gpu: Gpu;
  readonly errors: DeviceErrors;
  isLost: boolean;
}

/** Runs the registered tests on one device. A test that times out may hold the device, so the next gets a new one. */
export async function runSuite(options: SuiteArguments, emit: (event: SuiteEvent) => void): Promise<void> {
  const filter = options.filter.toLowerCase();
  checkSelections(registeredTests());
  const tests = registeredTests().filter(
    (test) => test.name.toLowerCase().includes(filter) && (options.isFull || isSelected(options.home, test)),
  );
  emit({ type: "tests", names: tests.map((test) => test.name) });
  if (options.firstIndex >= tests.length) return;
  let opened = await open();
  const { info } = opened.gpu;
  const description = [info.vendor, info.architecture, info.description].filter(Boolean).join(" ");
  emit({ type: "adapter", description: `${description}${info.software ? " (software)" : ""}` });
  for (const [index, test] of tests.entries()) {
    if (index < options.firstIndex) continue;
    emit({ type: "started", index, timeoutSeconds: test.timeoutSeconds });
    const start = performance.now();
    const { failures, usable } = await runTest(test, opened, options.home);
    emit({ type: "finished", index, seconds: (performance.now() - start) / 1000, failures });
    if (usable) continue;
    close(opened);
    opened = await open();
  }
  close(opened);
}

async function open(): Promise<Opened> {
  const gpu = await openGpu();
  const opened: Opened = { gpu, errors: new DeviceErrors(gpu), isLost: false };
  gpu.lost.then(() => {
    opened.isLost = true;
  });
  return opened;
}

function close({ gpu, errors }: Opened): void {
  errors.dispose();
  gpu.dispose();
}

async function runTest(
  test: RegisteredTest,
  opened: Opened,
  home: Home,
): Promise<{ failures: Failure[]; usable: boolean }> {
  const { gpu, errors } = opened;
  const failures: Failure[] = [];
  const liveBefore = gpu.liveBufferCount;
  errors.open();
  const outcome = await withTimeout(async () => test.body({ gpu, home }), test.timeoutSeconds);
  if (outcome !== "passed") failures.push(outcome.failure);
  if (outcome !== "passed" && outcome.timedOut) return { failures, usable: false };
  for (const message of await errors.close()) failures.push({ message: `the device reported an error: ${message}` });
  if (opened.isLost) failures.push({ message: "the shared device was lost: a test that loses a device opens its own" });
  const left = gpu.liveBufferCount - liveBefore;
  if (left !== 0)
    failures.push({ message: `liveBufferCount changed by ${left}: dispose every flow that the test makes` });
  return { failures, usable: !opened.isLost && left === 0 };
}

type Outcome = "passed" | { readonly failure: Failure; readonly timedOut: boolean };

async function withTimeout(body: () => Promise<void>, seconds: number): Promise<Outcome> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<Outcome>((resolve) => {
    const failure = { message: `the test took longer than ${seconds} s` };
    timer = setTimeout(() => resolve({ failure, timedOut: true }), 1000 * seconds);
  });
  const done = body().then(
    (): Outcome => "passed",
    (error: unknown): Outcome => ({ failure: describeError(error), timedOut: false }),
  );
  const outcome = await Promise.race([done, late]);
  clearTimeout(timer);
  return outcome;
}

function describeError(error: unknown): Failure {
  if (!(error instanceof Error)) return { message: `something other than an Error was thrown: ${String(error)}` };
  const code = "code" in error ? ` [${String(error.code)}]` : "";
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.name}: ${error.cause.message}` : "";
  const message = `${error.name}${code}: ${error.message}${cause}`;
  return error.stack === undefined ? { message } : { message, stack: error.stack };
}
