// Which documents there are, and in which order a reader finds them. The site and the tests of the documents go by it.

/** @type {readonly (readonly [group: string, paths: readonly string[]])[]} */
export const groups = [
  [
    "Guide",
    [
      "docs/guide/first-flow.md",
      "docs/guide/your-data.md",
      "docs/guide/conditions.md",
      "docs/guide/data-to-data.md",
      "docs/guide/likelihoods.md",
      "docs/guide/diagnostics.md",
      "docs/guide/training.md",
      "docs/guide/networks.md",
      "docs/guide/running-big.md",
      "docs/guide/pages.md",
      "docs/guide/rendering.md",
      "docs/guide/many-machines.md",
      "docs/guide/from-pytorch.md",
    ],
  ],
  [
    "Pictures and figures",
    ["docs/gallery.md", "docs/places.md", "docs/quality.md", "docs/few-steps.md", "docs/posterior.md", "docs/speed.md"],
  ],
  [
    "Reference",
    [
      "docs/features.md",
      "docs/command-line.md",
      "docs/from-pytorch.md",
      "docs/mathematics.md",
      "docs/troubleshooting.md",
      "CHANGELOG.md",
    ],
  ],
  [
    "Working on it",
    ["ARCHITECTURE.md", "CONTRIBUTING.md", "bench/README.md", "bench/card-kit/README.md", "docs/gpu-report.md"],
  ],
];

/** What they are called in lists, where that is not their heading. */
export const short = {
  "docs/from-pytorch.md": "Recipes from PyTorch",
  "docs/places.md": "The postal codes",
  "docs/quality.md": "Quality of the toy sets",
  "docs/few-steps.md": "Quality in few steps",
  "docs/posterior.md": "Posteriors from simulations",
  "docs/gpu-report.md": "What GPUs' compilers say",
};

/** The recipes are run by a suite of their own, on weights from PyTorch: test/unit/from-pytorch.test.ts holds the two together. */
const runElsewhere = ["docs/from-pytorch.md"];

/** Those whose blocks the tests run: the pages for users. */
export const documents = [
  "README.md",
  ...groups
    .slice(0, 3)
    .flatMap(([, paths]) => paths.filter((path) => path.startsWith("docs/") && !runElsewhere.includes(path))),
];
