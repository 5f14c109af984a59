import { parseArgs } from "node:util";

export interface Settings {
  /** What of the recipe is trained: all of it, this share of it, or as much as fits into `seconds`. */
  share: number | "what fits";
  /** For the whole program. */
  seconds: number;
  /** Particles drawn at the end. */
  samples: number;
  /** N midpoint steps of samples, and of likelihoods; every likelihood is also computed with 2N to see what N costs. */
  sampleSteps: number;
  solverSteps: number;
  /** Cells along x of the maps, and of the large picture of the samples. */
  columns: number;
  fineColumns: number;
  /** Candidates of the baselines; validation chooses. */
  components: readonly number[];
  bandwidths: readonly number[];
  seed: number;
  /** Folder of the pictures, the flow and the report. */
  out: string;
}

const usual = {
  share: "what fits",
  seconds: 180,
  samples: 200_000,
  sampleSteps: 8,
  solverSteps: 16,
  columns: 200,
  fineColumns: 500,
  components: [16, 32, 64],
  bandwidths: [0.01, 0.015, 0.02, 0.03],
} as const;
const full = { ...usual, share: 1 };
const quick = {
  ...usual,
  share: 0.01,
  samples: 20_000,
  columns: 60,
  fineColumns: 120,
  components: [4],
  bandwidths: [0.03],
};

/** Reads --full, --quick, --samples, --seed and --out; a wrong one ends the program with code 2. */
export function readSettings(): Settings {
  try {
    const { values } = parseArgs({
      options: {
        samples: { type: "string" },
        seed: { type: "string", default: "0" },
        out: { type: "string", default: "out" },
        full: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
      },
    });
    if (values.full && values.quick) throw new RangeError("--full trains for long and --quick hardly at all: pass one");
    const chosen = values.quick ? quick : values.full ? full : usual;
    return {
      ...chosen,
      samples: whole("--samples", values.samples, 1) ?? chosen.samples,
      seed: whole("--seed", values.seed, 0) ?? 0,
      out: values.out,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(2);
  }
}

function whole(name: string, text: string | undefined, least: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new RangeError(`${name} is "${text}", but it is a whole number of at least ${least}`);
}
