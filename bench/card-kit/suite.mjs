// Runs the GPU suite of the bundle without vitest or npm: a process for each file of tests, several at a time; what fails is run
// again alone. Results are written as they come. Arguments (JSON): bundle, launcher, out, budget, jobs, home folder (cwd).
import { args, elapsed, log, startProgram, writeReport } from "./program.mjs";

const result = {
  kind: "suite",
  adapter: "",
  listed: 0,
  passed: 0,
  failed: [],
  failedFirst: [],
  notRun: [],
  times: [],
  seconds: 0,
};

function write() {
  result.seconds = elapsed();
  writeReport(result);
}

/** Runs a program in a process of its own; resolves with how it ended. */
function run(programArgs, onEvent, limit) {
  return new Promise((resolve) => {
    let done = false;
    let errors = "";
    const onLine = (line) => {
      if (line !== "") log(`  | ${line}`);
    };
    const child = startProgram(
      programArgs,
      (value) => {
        if (value === "done") done = true;
        else onEvent(value, again);
      },
      onLine,
    );
    let quiet = setTimeout(() => child.kill("SIGKILL"), 1000 * limit());
    const again = (seconds) => {
      clearTimeout(quiet);
      quiet = setTimeout(() => child.kill("SIGKILL"), 1000 * Math.max(0.1, Math.min(seconds, limit())));
    };
    child.stderr.on("data", (chunk) => {
      errors = (errors + chunk).slice(-4000);
    });
    child.once("error", (error) => {
      errors += error.message;
    });
    child.once("close", (code, signal) => {
      clearTimeout(quiet);
      const told = errors
        .split("\n")
        .filter((line) => !/^Warning: max/.test(line))
        .join("\n")
        .trim();
      resolve({ done, how: signal ? `ended by ${signal}` : `exit code ${code}`, errors: told });
    });
  });
}

const budgetLeft = () => args.budget - elapsed();

/** All names, without running one. */
async function list() {
  let names = [];
  const end = await run(
    { home: "node", filter: args.filter ?? "", firstIndex: 1e9 },
    (event) => {
      if (event.type === "tests") names = event.names;
    },
    () => 30,
  );
  if (names.length === 0) throw new Error(`the suite cannot be listed: ${end.how}\n${end.errors}`);
  return names;
}

/** The tests whose names contain `filter`, one after the other; a crash fails its test, and the others go on behind it. */
async function runFilter(filter, onTest) {
  let names = [];
  let next = 0;
  const seen = new Set();
  for (let rounds = 0; rounds < 50; rounds++) {
    let running = -1;
    const end = await run(
      { home: "node", filter, firstIndex: next },
      (event, again) => {
        if (event.type === "tests") names = event.names;
        else if (event.type === "adapter") result.adapter = event.description;
        else if (event.type === "started") {
          running = event.index;
          again(Math.min(event.timeoutSeconds, args.testLimit ?? 120) + 5);
        } else if (event.type === "finished") {
          running = -1;
          next = event.index + 1;
          seen.add(event.index);
          onTest(names[event.index], event.seconds, event.failures);
          again(60);
        }
      },
      () => Math.max(1, budgetLeft()),
    );
    if (end.done) break;
    if (budgetLeft() < 1.5) break;
    const at = running >= 0 ? running : next;
    if (running >= 0)
      onTest(names[at], NaN, [{ message: `the process did not survive: ${end.how}\n${end.errors.slice(-1500)}` }]);
    else if (names.length === 0) {
      onTest(filter, NaN, [{ message: `the process could not begin: ${end.how}\n${end.errors.slice(-1500)}` }]);
      break;
    }
    if (running >= 0) seen.add(at);
    next = at + 1;
    if (running < 0 || next >= names.length) break;
  }
  return names.filter((_, index) => !seen.has(index));
}

try {
  const names = await list();
  result.listed = names.length;
  const files = [...new Set(names.map((name) => name.slice(0, name.indexOf(": ") + 2)))];
  // the slow ones first (measured on lavapipe): the end is not one long file
  const slow = args.order ?? [];
  files.sort(
    (a, b) => (slow.indexOf(b) >= 0 ? 100 - slow.indexOf(b) : 0) - (slow.indexOf(a) >= 0 ? 100 - slow.indexOf(a) : 0),
  );
  log(`${names.length} tests in ${files.length} files, ${args.jobs} processes at a time`);
  const queue = [...files];
  const ran = new Set();
  const first = [];
  const worker = async () => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      if (budgetLeft() < 2) break;
      await runFilter(file, (name, seconds, failures) => {
        // a filter is part of a name: "flow: " is in no other file's names, but be sure
        if (!name?.startsWith(file) && name !== file) return;
        ran.add(name);
        result.times.push([name, Math.round(1000 * seconds) / 1000]);
        if (failures.length === 0) result.passed++;
        else {
          first.push({ name, failures });
          log(`✗ ${name}\n    ${failures.map(({ message }) => String(message).slice(0, 600)).join("\n    ")}`);
        }
        result.failed = first;
        write();
      });
    }
  };
  await Promise.all(Array.from({ length: args.jobs }, worker));
  result.failedFirst = first.map(({ name }) => name);
  // Alone, what failed beside others may pass: then its neighbours were to blame.
  const final = [];
  for (const fault of first) {
    if (budgetLeft() < 5 || !names.includes(fault.name)) {
      final.push(fault);
      continue;
    }
    let again;
    await runFilter(fault.name, (name, _seconds, failures) => {
      if (name === fault.name) again = failures;
    });
    if (again && again.length === 0) {
      result.passed++;
      log(`passed when it ran alone: ${fault.name}`);
    } else final.push(again ? { name: fault.name, failures: again, first: fault.failures } : fault);
  }
  result.failed = final;
  result.notRun = names.filter((name) => !ran.has(name));
} catch (error) {
  result.error = error.message;
  log(error.message);
}
result.times.sort((a, b) => b[1] - a[1]);
write();
log(
  `${result.passed} passed, ${result.failed.length} failed, ${result.notRun.length} not run of ${result.listed} on ${result.adapter}`,
);
process.exit(result.failed.length === 0 && result.notRun.length === 0 && !result.error ? 0 : 1);
