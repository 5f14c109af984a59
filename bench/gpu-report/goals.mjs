// What is asked of the kernels for GPUs, and what limits those that stay below it, by their registers, memory and listings.

/** The part of a kind of work that a kernel must have to be looked at. */
const leastPart = 0.05;

/** Registers that a lane of a SIMD has for subgroups of 32. */
const registersOf = { navi31: 1536, navi21: 1024 };

/** Multiply-adds among 100 vector instructions. */
const leastShare100 = { navi31: 170, navi21: 94 };

/** Numbers of workgroup memory for each multiply-add, in kernels with subgroups and without. */
const mostLocal = { with: 0.125, without: 0.25 };

const mostSeconds = 1;

/** Waves of a SIMD: a whole Jacobian has more to keep in registers. */
const leastWaves = (work) => (/^log p(, exact| of the steps)/.test(work) ? 6 : 8);

export const goalsText = `Goals: nothing spilled; at least ${leastShare100.navi21} multiply-adds among 100 vector instructions on RDNA 2 and ${leastShare100.navi31} on RDNA 3; at least ${leastWaves("sample")} waves on RDNA 3, ${leastWaves("log p, exact")} where log p takes a whole Jacobian; on both at most ${mostLocal.with} numbers of workgroup memory for each multiply-add, ${mostLocal.without} in kernels without subgroups; at most ${mostSeconds} s of compilation. Each kernel with at least ${100 * leastPart} % of a kind of work counts, by the worst of its loops.`;

/** What a loop is for. Layers have their weights in workgroup memory. */
const purposeOf = ({ label }, { readsDevice }) =>
  readsDevice || label.startsWith("dense") ? "products" : "gradients of weights";

const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** What the vector instructions of a loop are. */
function instructionsText({ multiplyAdds, vector, besides, alone }, wave, family) {
  const others = besides.map(([name, found]) => `${found} ${name}`);
  const pairs =
    wave === 64 ? "subgroups of 64, where nothing is paired" : `${plural(alone, "multiply-add")} without a partner`;
  return [`${vector} for ${multiplyAdds} multiply-adds`, ...others, ...(family === "navi31" ? [pairs] : [])].join(", ");
}

/** The waves that a kernel's registers leave room for. */
const wavesByRegisters = ({ registers, wave }, family) =>
  (wave / 32) * Math.floor((registersOf[family] * 32) / wave / registers);

/** What of a kernel is below the goals: which one, what there is, how bad that is, and what limits it. */
function belowIn(kernel, family, work) {
  const { registers, waves, local, invocations, subgroups, spills, scratch, seconds, bytes, loops, wave } = kernel;
  const found = [];
  const kib = (size) => `${(size / 1024).toFixed(0)} KiB`;
  if (spills + scratch > 0)
    found.push({
      goal: "no spills",
      got: `${spills} registers, ${kib(scratch)} scratch`,
      by: spills + scratch,
      limit: `${registers} registers`,
    });
  if (seconds > mostSeconds)
    found.push({
      goal: `compiled in ${mostSeconds} s`,
      got: `${seconds.toFixed(1)} s`,
      by: seconds,
      limit: `${kib(bytes)} of machine code`,
    });
  if (!(family in registersOf)) return found;
  if (family === "navi31" && waves < leastWaves(work))
    found.push({
      goal: `${leastWaves(work)} waves`,
      got: `${waves}`,
      by: -waves,
      limit:
        waves >= wavesByRegisters(kernel, family)
          ? `${registers} registers`
          : `${kib(local)} of workgroup memory for ${invocations} invocations`,
    });
  for (const loop of loops) {
    const purpose = purposeOf(kernel, loop);
    if (loop.share100 < leastShare100[family])
      found.push({
        goal: `${leastShare100[family]} of 100, ${purpose}`,
        got: `${loop.share100}`,
        by: -loop.share100,
        limit: instructionsText(loop, wave, family),
      });
    const most = subgroups ? mostLocal.with : mostLocal.without;
    if (loop.local > most)
      found.push({
        goal: `${most} numbers, ${purpose}`,
        got: loop.local.toFixed(3).replace(/0+$/, ""),
        by: loop.local,
        limit: `${loop.local * loop.multiplyAdds} read for ${loop.multiplyAdds} multiply-adds`,
      });
  }
  return found;
}

/** The same of a kind of work: the worst for each goal. */
export function below(kernels, family, work) {
  const worst = new Map();
  for (const kernel of kernels) {
    if (kernel.share < leastPart) continue;
    for (const found of belowIn(kernel, family, work))
      if (!(worst.get(found.goal)?.by >= found.by)) worst.set(found.goal, found);
  }
  return [...worst.values()];
}
