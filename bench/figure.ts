import type { Home } from "./contender.ts";
import type { Spread } from "./statistics.ts";

/** One number of a report: who did what how fast. */
export interface Figure extends Spread {
  readonly suite: string;
  /** What was done, the same text for every contender. */
  readonly work: string;
  readonly contender: string;
  readonly unit: string;
  /** Particles of one run, and the widest layer: what plots are drawn against. */
  readonly n?: number;
  readonly width?: number;
  /** Floating-point operations per second by the formulas of flops.ts, at the median. */
  readonly flops?: number;
  /** Share of the multiply-add ceiling measured in the same rounds. */
  readonly share?: number;
  /** The median of ours divided by this one's, round by round: how many times faster we are. */
  readonly oursOver?: number;
  readonly remark?: string;
}

/** What a home tells the host, one JSON value at a time. */
export type BenchEvent =
  | { readonly type: "adapter"; readonly adapter: Adapter }
  | { readonly type: "contender"; readonly name: string; readonly version: string }
  | { readonly type: "progress"; readonly text: string }
  | { readonly type: "figure"; readonly figure: Figure }
  | { readonly type: "left out"; readonly work: string; readonly contender: string; readonly why: string };

export interface Adapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly software: boolean;
}

/** Arguments of the program that runs in a home. */
export interface BenchArguments {
  readonly home: Home;
  readonly suites: readonly string[];
  readonly quick: boolean;
  /** Names of the rivals that take part; their bundle lies beside the program. */
  readonly rivals: readonly string[];
}

/** The document that `--json` writes and `bench:compare` reads. */
export interface Report {
  readonly schema: 1;
  readonly date: string;
  readonly commit: string;
  readonly home: Home;
  readonly quick: boolean;
  readonly adapter: Adapter;
  readonly note: string;
  readonly versions: Readonly<Record<string, string>>;
  readonly figures: readonly Figure[];
  readonly leftOut: readonly { readonly work: string; readonly contender: string; readonly why: string }[];
}
