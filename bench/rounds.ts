import type { Gpu } from "pushforward";
import type { Ceiling } from "./ceiling.ts";
import { faultOf } from "./check.ts";
import type { Contender, Home, Prepared, Work } from "./contender.ts";
import type { BenchEvent, Figure } from "./figure.ts";
import { flopsOf, particlesOf } from "./flops.ts";
import { median, spread } from "./statistics.ts";

/** What a suite runs with. */
export interface Bench {
  readonly gpu: Gpu;
  readonly home: Home;
  readonly quick: boolean;
  readonly rounds: number;
  /** Ours first. */
  readonly contenders: readonly Contender[];
  readonly ceiling: Ceiling;
  emit(event: BenchEvent): void;
}

/** A piece of work with what the report calls it. */
export interface Case {
  readonly suite: string;
  readonly name: string;
  readonly work: Work;
}

/** Seconds that a run took. */
export async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** A contender slower than this per run would hold the whole report up. */
const longestRun = 30;

/**
 * Prepares the work for every contender, compares each result with f64, then times them in interleaved rounds (ours, rival, ours, …)
 * together with the ceiling. Throws when ours is wrong; a rival that is wrong or cannot do it is left out with its reason.
 * Returns the seconds of ours per round.
 */
export async function compare(bench: Bench, { suite, name, work }: Case): Promise<number[]> {
  const { emit } = bench;
  emit({ type: "progress", text: `${suite}: ${name}` });
  const taking: { contender: Contender; prepared: Prepared; times: number[] }[] = [];
  try {
    for (const contender of bench.contenders) {
      const leave = (why: string) => emit({ type: "left out", work: name, contender: contender.name, why });
      const isOurs = contender === bench.contenders[0];
      try {
        const prepared = await contender.prepare(work);
        if (typeof prepared === "string") {
          leave(prepared);
          continue;
        }
        taking.push({ contender, prepared, times: [] });
        await prepared.run();
        const fault = faultOf(work, await prepared.result());
        if (fault) throw new Error(fault);
        // the second run is warm
        if ((await seconds(() => prepared.run())) > longestRun) throw new Error(`a run takes over ${longestRun} s`);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        if (isOurs) throw new Error(`${suite}, ${name}: ${why}: nothing is reported`, { cause: error });
        leave(why);
        const bad = taking.findIndex((entry) => entry.contender === contender);
        if (bad >= 0) taking.splice(bad, 1)[0]?.prepared.dispose();
      }
    }
    const ceilings: number[] = [];
    for (let round = 0; round < bench.rounds; round++) {
      ceilings.push(await bench.ceiling.measure());
      for (const { prepared, times } of taking) times.push(await seconds(() => prepared.run()));
    }
    const [first] = taking;
    for (const { contender, times } of taking) {
      bench.emit({
        type: "figure",
        figure: figureOf({ suite, name, work }, contender, times, first?.times ?? times, ceilings),
      });
    }
    return first?.times ?? [];
  } finally {
    for (const { prepared } of taking) prepared.dispose();
  }
}

function figureOf(
  { suite, name, work }: Case,
  contender: Contender,
  times: readonly number[],
  ours: readonly number[],
  ceilings: readonly number[],
): Figure {
  const particles = particlesOf(work);
  const rate = spread(times.map((time) => particles / time));
  const flops = (rate.median * flopsOf(work)) / particles;
  return {
    suite,
    work: name,
    contender: contender.name,
    unit: work.kind === "train" ? "samples/s" : "particles/s",
    n: particles,
    width: Math.max(...work.network.hidden),
    ...rate,
    flops,
    share: flops / median(ceilings),
    oursOver: median(times.map((time, round) => time / (ours[round] ?? Number.NaN))),
  };
}

/** Reports a ratio of two times that were measured round by round. */
export function reportRatio(
  bench: Bench,
  o: { suite: string; work: string; unit: string; times: readonly number[]; base: readonly number[]; remark?: string },
): void {
  const ratios = o.times.map((time, round) => time / (o.base[round] ?? Number.NaN));
  bench.emit({
    type: "figure",
    figure: {
      suite: o.suite,
      work: o.work,
      contender: "pushforward",
      unit: o.unit,
      ...spread(ratios),
      ...(o.remark ? { remark: o.remark } : {}),
    },
  });
}
