import type { Home, RegisteredTest } from "./registry.ts";

/** Which tests of a suite file a home runs: those whose sentences `only` matches, or all but those that `not` matches. */
interface Rule {
  readonly suite: string;
  readonly only?: RegExp;
  readonly not?: RegExp;
}

/** What a home adds to another one, and therefore what it can leave to it. */
interface Selection {
  readonly because: string;
  readonly rules: readonly Rule[];
}

/**
 * What `npm test` leaves out in some homes; `npm run test:full`, and every run with a filter, run all tests everywhere.
 * A file that is not named here runs as a whole.
 */
export const selections: Readonly<Record<Home, Selection>> = {
  node: {
    because:
      "it is the home that runs every kernel: what it leaves out are slow properties, the same formula at one more size, and activations, statistics and orders of convergence that Deno has; in `layered` and `not-finite` it has them all",
    rules: [
      { suite: "adaptive", not: /solved as if it were alone|^bosh3 takes/ },
      {
        suite: "discrete",
        not: /f64: (kinetic energy, heun2|three dimensions, layer by layer|concatSquash|residualMlp, layer by layer|.* gradients on a GPU's tiles)$|own grid: the (flow of|steps of a network)/,
      },
      { suite: "guidance", not: /layered, by class|width 136/ },
      { suite: "hutchinson", not: /gaussian/ },
      { suite: "properties", not: /chunk size and neighbour: layered$/ },
      { suite: "solvers", not: /orders of convergence/ },
      { suite: "theory", not: /the residual falls/ },
      { suite: "network", not: /oracle: (tanh|elu|relu|sin|dim 3, time first)$|digits: (silu|softplus|gelu)$/ },
      {
        suite: "likelihood-training",
        // lavapipe compiles each of these tiles for a minute; Chrome has them on SwiftShader
        not: /tiles .*: (three|five|probes)|residual blocks|spare memory|oracle: ((tanh|elu|relu|sin|selu|mish|softsign), wider.*|one probe|another source|penalties, (relu|probes, layer by layer|no hidden layer))$/,
      },
      {
        suite: "networks",
        not: /(residualMlp|concatSquash|the example|a gated network|a densely connected network|features), width 160|(a gated network|residualMlp), width 48$|steps in f64: width 136$|in f64: (the example|a densely connected network)$|(concatSquash|features)(, width 48)?$|tiles derivatives (?!.*slices)|differences in f64: on a GPU$/,
      },
      { suite: "log-prob-gradient", not: /tiles$/ },
      { suite: "precision", not: /width 128/ },
      { suite: "stochastic", not: /^whatever the noise|eight Gaussians/ },
      { suite: "recovery", not: /guided sample|mean of log p|log p by probes$|WGSL|histogram/ },
      { suite: "recovery-training", not: /twice: flow matching$/ },
      { suite: "shortcut", not: /two points|entropic pairs$/ },
      {
        suite: "training",
        not: /oracle: (gelu|elu|relu|sin)$|moves the source to the target: (cosine|one's)|dim 16|pairs train to the same bits/,
      },
      { suite: "tuning", not: /in passes, one layer|no divergence|in one pass|tiles$/ },
    ],
  },
  chrome: {
    because:
      "its kernels come from the compiler that Node has (Tint), on the same adapter: what a page can change is the device, reading back, streams, recovery, workers and the minified bundle, and one kernel of each family",
    rules: [
      { suite: "adaptive", only: /network agrees with the f64 reference: fused$|labels, context|streams, reductions/ },
      { suite: "checkpoint", only: /flow matching with Adam$|damaged/ },
      { suite: "coupling", only: /threads make/ },
      { suite: "dense", only: /a plain tile, none/ },
      { suite: "flow", not: /Fourier time|layered, conditional|layered, dim 64/ },
      { suite: "guidance", only: /dropped context/ },
      { suite: "hutchinson", only: /formula: rademacher, fused/ },
      { suite: "layered", only: /65 particles/ },
      {
        suite: "likelihood-training",
        only: /one dimension, euler|same bits twice|told at the call|tiles .*: (three|five|probes)|residual blocks .*: probes|spare memory/,
      },
      { suite: "log-prob-gradient", only: /tiles$|same bits/ },
      {
        suite: "network",
        only: /oracle: silu|dim 64, layer by layer|rademacher divergence|weights go in|saved and loaded/,
      },
      { suite: "diagnostics", only: /transforms|draw by draw/ },
      { suite: "discrete", only: /f64: two dimensions, midpoint$/ },
      { suite: "networks", only: /saved and loaded/ },
      { suite: "not-finite", only: /counted: relu|did not end|by row and column/ },
      { suite: "sphere", only: /up to the poles/ },
      {
        suite: "recovery",
        only: /log p at saved times|WGSL|histogram|goes on after every loss|stay on the device|another kind|abort/,
      },
      { suite: "recovery-training", only: /twice: flow matching$/ },
      { suite: "tile-reverse", only: /oracle: classes and context$|residual blocks/ },
      { suite: "circles", only: /log p of angles|within a turn/ },
      { suite: "shared-texts", only: /: two products/ },
      { suite: "chains", only: /three widths/ },
      { suite: "few-steps", only: /closed form|lie in the space/ },
      { suite: "given-pairs", only: /goes with the row/ },
      { suite: "shortcut", only: /agree with the f64 oracle/ },
      { suite: "from-pytorch", only: /time is reversed/ },
      { suite: "sinkhorn", only: /: a plane$/ },
      { suite: "sources", only: /far out in its tails|goes with the flow/ },
      { suite: "stochastic", only: /noise is its own/ },
      { suite: "transforms", only: /samples are in the space/ },
      { suite: "solvers", only: /six stages agree .*: (fused|WGSL)$|told at the call/ },
      { suite: "training", only: /oracle: silu|same seed|early break|labels are learned|told before/ },
      // checks of the host, on the same device as in Node
      { suite: "fuzz", only: /solves/ },
      { suite: "training-faults", only: /begin at once/ },
      { suite: "training-rows", only: /maximum likelihood$/ },
      { suite: "training-times", only: /doubles the loss/ },
      { suite: "tuning", only: /own$|neither a boolean/ },
      { suite: "validation", not: /would take minutes/ },
      { suite: "weight-gradient", only: /of 67/ },
      { suite: "workers", not: /moments, histograms|probe vectors/ },
    ],
  },
  deno: {
    because:
      "its kernels come from another compiler (Naga), so every formula runs; sizes, solvers and faults that have no kernel of their own are left to Node",
    rules: [
      { suite: "adaptive", not: /five dimensions|stiff fields|streams, reductions/ },
      { suite: "guidance", only: /in f64: fused|width 8|fixed steps/ },
      { suite: "solvers", not: /goes on from its checkpoint|three probes/ },
      {
        suite: "networks",
        only: /a gated network, width 160|in f64: a gated network$|width 24/,
      },
      { suite: "checkpoint", only: /flow matching with Adam$|damaged/ },
      { suite: "diagnostics", not: /from simulations alone/ },
      { suite: "discrete", only: /f64: (one dimension|three dimensions, a|rk4|concatSquash$|an mlp)|singular|WGSL/ },
      { suite: "coupling", only: /threads make/ },
      { suite: "dense", only: /scale by slope/ },
      { suite: "hutchinson", only: /rademacher/ },
      { suite: "not-finite", only: /counted: relu|did not end|−∞/ },
      {
        suite: "likelihood-training",
        not: /tiles .*: (three|five|probes)|residual blocks|spare memory|oracle: ((tanh|softplus|elu|relu|sin|gelu|selu|mish|softsign)|(silu|softplus|gelu|cos|leaky_relu|sigmoid), wider.*)$|eight dimensions|five dimensions|reaches the entropy|three probes$|penalties, tanh$/,
      },
      // each is compiled for half a minute, where there is f16 at all; tiles of Deno are without subgroups, whatever the test
      {
        suite: "precision",
        only: /^f16, silu:|^f16: classes|without subgroups|two layers of 20, probed|residual network|refused/,
      },
      { suite: "log-prob-gradient", not: /tiles$|five dimensions|three probes$/ },
      { suite: "network", not: /oracle: (softplus|gelu)$|micro-network|width 128/ },
      {
        suite: "recovery",
        only: /log p at saved times|WGSL|goes on after every loss|stay on the device|another kind|abort/,
      },
      { suite: "recovery-training", only: /twice: flow matching$/ },
      {
        suite: "training",
        not: /oracle: (tanh|softplus)$|dim 16|moves the source to the target/,
      },
      { suite: "circles", not: /von Mises|integrates to 1/ },
      { suite: "tile-reverse", not: /layer after layer|more than 64 wide|no hidden layer/ },
      { suite: "few-steps", only: /pieces of paths|one Euler step/ },
      { suite: "given-pairs", only: /goes with the row|mean velocity/ },
      { suite: "shortcut", only: /agree with the f64 oracle|two points|entropic pairs$/ },
      { suite: "fuzz", only: /solves/ },
      { suite: "sinkhorn", not: /more dimensions/ },
      { suite: "sources", not: /carries the one to the other|and resumes/ },
      { suite: "stochastic", not: /eight Gaussians|bridge/ },
      { suite: "training-faults", only: /begin at once/ },
      { suite: "training-rows", only: /: flow matching$/ },
      { suite: "training-times", only: /without pairs/ },
      { suite: "tuning", only: /neither a boolean/ },
      { suite: "properties", only: /chunk size and neighbour|shared grid|correlated/ },
      { suite: "validation", not: /would take minutes/ },
      { suite: "weight-gradient", only: /of 67/ },
      { suite: "workers", not: /moments, histograms|probe vectors/ },
    ],
  },
};

/** Whether a home runs a test of this name, "file: sentence", in `npm test`. */
export function isSelected(home: Home, { name }: Pick<RegisteredTest, "name">): boolean {
  const colon = name.indexOf(": ");
  const suite = name.slice(0, colon);
  const sentence = name.slice(colon + 2);
  return selections[home].rules.every(
    (rule) => rule.suite !== suite || ((rule.only?.test(sentence) ?? true) && !rule.not?.test(sentence)),
  );
}

/** Throws when a rule speaks of tests that there are not: it would leave out nothing, or everything, unnoticed. */
export function checkSelections(tests: readonly Pick<RegisteredTest, "name">[]): void {
  for (const [home, { rules }] of Object.entries(selections)) {
    for (const { suite, only, not } of rules) {
      const sentences = tests
        .filter(({ name }) => name.startsWith(`${suite}: `))
        .map(({ name }) => name.slice(suite.length + 2));
      const matched = sentences.filter((sentence) => (only ?? not)?.test(sentence));
      if (matched.length === 0 || matched.length === sentences.length)
        throw new Error(
          `the selection of ${home} matches ${matched.length} of ${sentences.length} tests of "${suite}"`,
        );
    }
  }
}
