import { parseArgs } from "node:util";

export interface Settings {
  /** Training steps, and places in each. */
  steps: number;
  batchSize: number;
  /** Particles drawn at the end. */
  samples: number;
  /** N midpoint steps; every likelihood is also computed with 2N to see what N costs. */
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

const full = {
  steps: 3_400,
  batchSize: 512,
  samples: 200_000,
  solverSteps: 6,
  columns: 200,
  fineColumns: 500,
  components: [16, 32, 64],
  bandwidths: [0.01, 0.015, 0.02, 0.03],
};
const quick = {
  ...full,
  steps: 200,
  samples: 20_000,
  columns: 60,
  fineColumns: 120,
  components: [4],
  bandwidths: [0.03],
};

/** Reads --samples, --steps, --seed, --out and --quick; a wrong one ends the program with code 2. */
export function readSettings(): Settings {
  try {
    const { values } = parseArgs({
      options: {
        samples: { type: "string" },
        steps: { type: "string" },
        seed: { type: "string", default: "0" },
        out: { type: "string", default: "out" },
        quick: { type: "boolean", default: false },
      },
    });
    const chosen = values.quick ? quick : full;
    return {
      ...chosen,
      samples: whole("--samples", values.samples, 1) ?? chosen.samples,
      steps: whole("--steps", values.steps, 1) ?? chosen.steps,
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
