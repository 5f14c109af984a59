// The host of `npm run bench` without npm: starts the bench bundle in a child and writes its report as figures come.
import process from "node:process";
import { args, elapsed, log, startProgram, writeReport } from "./program.mjs";

const report = {
  schema: 1,
  date: new Date().toISOString(),
  commit: args.commit ?? "unknown",
  home: "node",
  quick: Boolean(args.quick),
  adapter: { vendor: "", architecture: "", description: "", software: false },
  note: "device kit",
  versions: { pushforward: "kit", node: process.version },
  figures: [],
  leftOut: [],
  ends: [],
};
const write = () => writeReport(report);
// a process for each suite: a fault of one (a wrong result ends it) leaves the others
for (const suite of args.suites) {
  const left = args.budget - elapsed();
  if (left < 5) {
    report.ends.push({ suite, how: "not run: no time left" });
    log(`${suite}: not run, no time left`);
    continue;
  }
  const from = elapsed();
  const programArgs = { home: "node", suites: [suite], quick: report.quick, rivals: ["jax-js", "tfjs"] };
  const child = startProgram(programArgs, (event) => {
    if (event.type === "adapter") report.adapter = event.adapter;
    else if (event.type === "contender") report.versions[event.name] = event.version;
    else if (event.type === "left out") {
      report.leftOut.push({ work: event.work, contender: event.contender, why: event.why });
      log(`  ${event.contender} is left out of ${event.work}: ${String(event.why).slice(0, 300)}`);
    } else if (event.type === "figure") {
      const f = event.figure;
      report.figures.push(f);
      log(
        `  ${f.suite} | ${f.work} | ${f.contender} | ${f.median.toPrecision(4)} ${f.unit}${f.flops ? ` | ${(f.flops / 1e12).toFixed(3)} TFLOP/s` : ""}${f.oursOver ? ` | ours ${f.oursOver.toFixed(2)}×` : ""}${f.remark ? ` | ${f.remark}` : ""}`,
      );
      write();
    }
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 1000 * Math.min(left, args.suiteLimit ?? left));
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors = (errors + chunk).slice(-6000);
  });
  const how = await new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code, signal) => resolve(signal ? `ended by ${signal}` : `exit code ${code}`));
  });
  clearTimeout(timer);
  const tail = errors
    .split("\n")
    .filter((line) => !/^Warning: max/.test(line))
    .join("\n")
    .trim()
    .slice(-1500);
  report.ends.push({ suite, how, seconds: elapsed() - from, ...(how === "exit code 0" ? {} : { errors: tail }) });
  log(`${suite}: ${how} after ${(elapsed() - from).toFixed(1)} s${how === "exit code 0" ? "" : `\n${tail}`}`);
  write();
}
write();
