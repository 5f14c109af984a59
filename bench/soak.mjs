// Random calls on one device for some minutes: `npm run soak -- --minutes 10 --seed 1`.
// The calls (soak/calls.mjs) run in a process of their own, so that a crash of the adapter is told as well: whatever happens, the
// last line on stdout says how it ended, and the exit code is 0 only for a run that came to its end.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";

const calls = fileURLToPath(new URL("soak/calls.mjs", import.meta.url));
const child = spawn(process.execPath, [calls, ...process.argv.slice(2)], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.once("error", (error) => {
  console.log(`FAILED: the soak cannot be started (${error.message})`);
  process.exitCode = 1;
});
child.once("close", (code, signal) => {
  if (code === 0) console.log("PASSED");
  else
    console.log(
      `FAILED: ${signal === null ? `the soak ended with code ${code}` : `its process was ended by ${signal}`}`,
    );
  process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
});
