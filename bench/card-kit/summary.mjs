// One summary of what the phases left, as text and as JSON: whatever is missing is said to be missing.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";

const [folder, textPath, jsonPath] = process.argv.slice(2);
const read = (name) => {
  try {
    return JSON.parse(readFileSync(join(folder, name), "utf8"));
  } catch {
    return undefined;
  }
};
const phases = existsSync(join(folder, "phases.jsonl"))
  ? readFileSync(join(folder, "phases.jsonl"), "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  : [];
const info = read("info.json");
const suite = read("suite.json");
const tilings = read("tilings.json");
const ours = read("ours.json");
const torch = read("torch.json");
const bench = read("bench.json");
const lines = [];
const say = (text = "") => lines.push(text);
// three digits, whatever the device
const short = (value) => (value > 0 ? Number(value.toPrecision(3)) : "-");
const T = (value) => short(value / 1e12);
const p = (value) => (value > 0 ? value.toExponential(2).replace("e+", "e") : "-");
const us = (value) => (1e6 * value).toFixed(1);

function table(rows) {
  const widths = rows.reduce((all, row) => row.map((cell, i) => Math.max(all[i] ?? 0, String(cell).length)), []);
  for (const row of rows)
    say(row.map((cell, i) => (i === 0 ? String(cell).padEnd(widths[i]) : String(cell).padStart(widths[i]))).join("  "));
}

/** How a phase ended, in words: exit codes are those of timeout, and 99 is run.sh's own. */
function ending(rc) {
  if (rc === 0) return "done";
  if (rc === 124 || rc === 137) return "out of time: what it had by then is below";
  return rc === 99 ? "not run: no time was left" : `ended with code ${rc}: see its part below and its log`;
}

const machinePath = join(folder, "logs", "machine.log");
const machine = existsSync(machinePath) ? readFileSync(machinePath, "utf8") : "";
const machineLines = machine.split("\n");
say(machineLines[0]);
// nvidia-smi's table of one line for each card begins with the names of its columns
const smi = machineLines.findIndex((line) => line.startsWith("name, driver_version"));
for (let i = smi + 1; smi >= 0 && machineLines[i]?.includes(", "); i++) say(machineLines[i]);

say("\n== phases ==");
table(phases.map(({ name, rc, seconds, limit }) => [name, ending(rc), `${seconds} s`, `of ${limit}`]));

say("\n== adapter ==");
const adapter = info?.adapter?.info;
if (adapter) {
  say(
    `${adapter.vendor} | ${adapter.architecture} | ${adapter.device} | ${adapter.description} | subgroups ${adapter.subgroupMinSize}–${adapter.subgroupMaxSize}`,
  );
  const features = info.adapter.features ?? [];
  const has = (name, list = features) => `${name}: ${list.includes(name) ? "yes" : "no"}`;
  say(
    [
      has("timestamp-query"),
      has("shader-f16"),
      has("subgroups"),
      `${has("chromium-experimental-subgroup-matrix", info.unsafe?.features ?? [])} (unsafe APIs)`,
    ].join(", "),
  );
  const l = info.adapter.limits ?? {};
  say(
    `limits: buffer ${l.maxBufferSize}, storage binding ${l.maxStorageBufferBindingSize}, uniform ${l.maxUniformBufferBindingSize}, workgroup memory ${l.maxComputeWorkgroupStorageSize}, invocations ${l.maxComputeInvocationsPerWorkgroup}`,
  );
} else say("NOT KNOWN: see the log of the phase info");
if (info) {
  say(
    `FMA ceiling: f32 ${T(info.ceilingF32?.best)} TFLOP/s, f16 ${T(info.ceilingF16?.best)}; the project's own ceiling bench finds ${T(info.projectCeiling?.flops)} TFLOP/s and ${((info.projectCeiling?.bytes ?? 0) / 1e9).toFixed(0)} GB/s; copy kernel ${((info.copyBandwidth?.best ?? 0) / 1e9).toFixed(0)} GB/s`,
  );
  if (Array.isArray(info.weightReads))
    say(
      `weights from (TFLOP/s, outputs): ${info.weightReads.map(({ space, outputs, flops }) => `${space}×${outputs} ${T(flops)}`).join(", ")}`,
    );
  const o = info.overheads;
  if (o && !o.failed && !o.skipped)
    say(
      `overheads in µs: ${Object.entries(o)
        .map(([name, value]) => `${name} ${us(value)}`)
        .join(", ")}`,
    );
  if (Array.isArray(info.readBack))
    say(
      `read-back: ${info.readBack.map(({ bytes, copyAndMap, slice, bytesPerSecond }) => `${bytes} B ${us(copyAndMap)}+${us(slice)} µs (${(bytesPerSecond / 1e9).toFixed(2)} GB/s)`).join(", ")}`,
    );
  if (Array.isArray(info.upload))
    say(
      `upload: ${info.upload.map(({ bytes, bytesPerSecond }) => `${bytes} B ${(bytesPerSecond / 1e9).toFixed(2)} GB/s`).join(", ")}`,
    );
  if (info.subgroupMatrix?.available)
    say(
      `subgroup matrix: ${(info.subgroupMatrix.rows ?? []).map((r) => `${r.componentType}→${r.resultComponentType} ${r.M}×${r.N}×${r.K} ${r.flops ? `${T(r.flops)} TFLOP/s` : (r.failed ?? r.note ?? "").slice(0, 80)}`).join("; ")}`,
    );
  for (const [name, value] of Object.entries(info))
    if (value?.failed) say(`info/${name} FAILED: ${String(value.failed).split("\n")[0].slice(0, 200)}`);
}

say("\n== GPU suite ==");
if (suite) {
  say(
    `${suite.passed} passed, ${suite.failed.length} failed, ${suite.notRun.length} not run, of ${suite.listed}; ${suite.seconds?.toFixed(0)} s${suite.error ? `; ${suite.error}` : ""}`,
  );
  for (const { name, failures } of suite.failed.slice(0, 25))
    say(
      `✗ ${name}: ${String(failures?.[0]?.message ?? "")
        .replaceAll("\n", " ")
        .slice(0, 220)}`,
    );
  const alone = (suite.failedFirst ?? []).filter((name) => !suite.failed.some((other) => other.name === name));
  if (alone.length > 0) say(`failed beside others, passed alone: ${alone.join("; ").slice(0, 600)}`);
  if (suite.notRun.length > 0) say(`not run: ${suite.notRun.slice(0, 8).join("; ").slice(0, 500)}`);
} else say("NO RESULT");

say("\n== tilings (TFLOP/s by GPU timestamps; the whole table is in tilings.json) ==");
for (const q of tilings?.questions ?? []) {
  if (!q.rows) {
    say(`${q.net} ${q.mode}: ${q.skipped ?? q.failed?.split("\n")[0] ?? "no result"}`);
    continue;
  }
  const done = q.rows.filter((row) => row.tflops > 0).sort((a, b) => b.tflops - a.tflops);
  say(
    `${q.net} ${q.mode}: fixed [${q.fixed}] ${short(q.fixedTflops)}; the library chose [${q.search?.chosen ?? "-"}] in ${q.search?.seconds?.toFixed(1) ?? "-"} s; ${done.length} of ${q.rows.length} timed, ${q.differentBits} with other bits; first compilation ${q.firstCompile?.toFixed(2)} s`,
  );
  for (const row of done.slice(0, 4))
    say(
      `    ${short(row.tflops)}  ${row.tiling}${row.library ? "" : " (not a candidate)"}${row.sameBits ? "" : ` OTHER BITS (worst ${row.worst?.toExponential(1)})`}, compiled in ${row.compile?.toFixed(2)} s`,
    );
}
if (!tilings) say("NO RESULT");

say("\n== ours against PyTorch (particles/s or samples/s; × = ours / PyTorch) ==");
const merged = [];
if (ours) {
  const rows = [
    ["work", "ours", "TFLOP/s", "GPU busy", "untuned ms", "ms", "torch fp32", "×", "tf32", "×", "bf16", "×", "by"],
  ];
  for (const own of ours.results) {
    if (own.skipped || own.failed) {
      rows.push([own.id, own.failed ? "FAILED" : "skipped", "", "", "", "", "", "", "", "", "", "", ""]);
      continue;
    }
    const best = (precision) => {
      const all = (torch?.results ?? []).filter((r) => r.id === own.id && r.precision === precision && r.n === own.n);
      return all.sort((a, b) => b.particlesPerSecond - a.particlesPerSecond)[0];
    };
    const cells = ["fp32", "tf32", "bf16"].map(best);
    merged.push({
      id: own.id,
      ours: own.particlesPerSecond,
      tflops: own.tflops,
      gpuBusyShare: own.gpuBusyShare,
      torch: Object.fromEntries(
        ["fp32", "tf32", "bf16"].map((name, i) => [
          name,
          cells[i] && {
            mode: cells[i].mode,
            particlesPerSecond: cells[i].particlesPerSecond,
            ratio: own.particlesPerSecond / cells[i].particlesPerSecond,
          },
        ]),
      ),
      all: (torch?.results ?? [])
        .filter((r) => r.id === own.id)
        .map(({ mode, precision, particlesPerSecond }) => ({
          mode,
          precision,
          particlesPerSecond,
          ratio: own.particlesPerSecond / particlesPerSecond,
        })),
    });
    rows.push([
      own.id,
      p(own.particlesPerSecond),
      short(own.tflops),
      own.gpuBusyShare >= 0 ? `${(100 * own.gpuBusyShare).toFixed(0)}%` : "-",
      own.untuned?.seconds ? (1000 * own.untuned.seconds).toFixed(2) : "-",
      (1000 * own.seconds).toFixed(2),
      ...cells.flatMap((cell) => [
        cell ? p(cell.particlesPerSecond) : "-",
        cell ? (own.particlesPerSecond / cell.particlesPerSecond).toFixed(2) : "-",
      ]),
      cells
        .map((cell) =>
          cell ? { eager: "e", compile: "c", "compile+graphs": "cg", graph: "g", torchdiffeq: "d" }[cell.mode] : "-",
        )
        .join("/"),
    ]);
  }
  table(rows);
  say(
    "by: the fastest mode of PyTorch for each precision: e eager, c compile, cg compile+graphs, g one CUDA graph, d torchdiffeq",
  );
  const failed = ours.results.filter((r) => r.failed);
  for (const r of failed) say(`${r.id} FAILED: ${r.failed.split("\n")[0].slice(0, 250)}`);
  const faults = Object.entries(ours.faults ?? {}).filter(([, fault]) => fault !== "none");
  say(
    `against f64: ${Object.keys(ours.faults ?? {}).length} works checked, ${faults.length} at fault${faults
      .map(([id, fault]) => `; ${id}: ${fault}`)
      .join("")
      .slice(0, 600)}`,
  );
  if (ours.errors?.length > 0) say(`errors: ${ours.errors.slice(0, 5).join("; ").slice(0, 600)}`);
} else say("NO RESULT of ours");
if (torch) {
  const c = torch.ceilings ?? {};
  say(
    `PyTorch ${torch.version} on ${torch.device}: ${torch.results.length} figures, ${torch.notRun.length} not run, ${torch.faults.length} faults; matmul 8192³ fp32 ${T(c.fp32)}, tf32 ${T(c.tf32)}, bf16 ${T(c.bf16)} TFLOP/s; linear 2^20 rows ${[64, 128, 512].map((w) => `${w}: ${["fp32", "tf32", "bf16"].map((q) => T(c[`linear 2^20x${w} ${q}`])).join("/")}`).join(", ")}; copy ${((c["copy bytes/s"] ?? 0) / 1e9).toFixed(0)} GB/s`,
  );
  for (const fault of torch.faults.slice(0, 6)) say(`torch: ${fault.replaceAll("\n", " ").slice(0, 200)}`);
} else say("NO RESULT of PyTorch");

say("\n== the project's benches, beside its rivals ==");
if (bench) {
  const by = new Map();
  for (const f of bench.figures) {
    const key = `${f.suite}: ${f.work}`;
    by.set(key, [...(by.get(key) ?? []), f]);
  }
  for (const [work, figures] of by) {
    const cells = figures.map(
      (f) =>
        `${f.contender} ${f.median.toPrecision(3)} ${f.unit}${f.flops ? ` (${T(f.flops)} TF)` : ""}${f.oursOver && f.contender !== "pushforward" ? ` ours ${f.oursOver.toFixed(1)}×` : ""}`,
    );
    say(`${work} | ${cells.join(" | ")}`);
  }
  for (const { suite: name, how, errors } of bench.ends ?? [])
    if (how !== "exit code 0")
      say(
        `${name}: ${how} ${String(errors ?? "")
          .split("\n")
          .slice(-3)
          .join(" ")
          .slice(0, 300)}`,
      );
  for (const { contender, work, why } of (bench.leftOut ?? []).slice(0, 6))
    say(`${contender} left out of ${work}: ${String(why).slice(0, 160)}`);
} else say("NO RESULT");

const text = `${lines.join("\n")}\n`;
writeFileSync(textPath, text);
writeFileSync(
  jsonPath,
  JSON.stringify(
    {
      kind: "summary",
      phases,
      machine,
      info,
      suite: suite && { ...suite, times: undefined },
      tilings: tilings?.questions?.map(({ rows, ...rest }) => rest),
      merged,
      text,
    },
    undefined,
    1,
  ),
);
