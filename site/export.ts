// What can be taken home: a picture, the weights, a program.
import { edge, featureScale } from "./learner.ts";
import type { Settings } from "./settings.ts";
import type { Data, Target } from "./targets.ts";

export function download(name: string, content: BlobPart, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const mostRows = 2000;

/** The statement by which a program gets its rows: a toy set by its name, else at most `mostRows` of them. */
function rowsInWords(name: string, set: Target, data: Float32Array): string {
  if (set.kind === "toy") return `const ${name} = toyData("${set.name}", 20_000);`;
  const every = Math.ceil(data.length / 2 / mostRows);
  const rows = data.filter((_, i) => (i >> 1) % every === 0);
  const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return `const ${name} = rowsOf("${btoa(letters)}"); // ${rows.length / 2} rows [n, 2] of the page's`;
}

const rowsOf = `
function rowsOf(letters: string): Float32Array {
  return new Float32Array(Uint8Array.from(atob(letters), (letter) => letter.charCodeAt(0)).buffer);
}`;

/** A TypeScript program that trains what the page trains. */
export function programOf(settings: Settings, data: Data, batchSize: number, steps: number): string {
  const { network, features, layers, width, source, loss, pairs, rate } = settings;
  const { train, start } = data;
  const sets = [settings.target, ...(start ? [settings.start] : [])];
  const trainer = loss === "likelihood" ? "trainMaximumLikelihood" : "trainFlowMatching";
  const field = network === "plain" ? "mlp" : "residualMlp";
  const waves = features > 0 ? `, features: { fourier: { count: ${features}, scale: ${featureScale}, seed: 1 } }` : "";
  const velocity =
    network === "plain"
      ? `mlp({ dim: 2, hidden: [${Array<number>(layers).fill(width).join(", ")}]${waves} })`
      : `residualMlp({ dim: 2, width: ${width}, blocks: ${layers}${waves} })`;
  const bounds = (sign: string) => `[${sign}${edge.toFixed(4)}, ${sign}${edge.toFixed(4)}]`;
  const names = ["Flow", "fitNormalization", field, ...(start ? ["normalize"] : []), "openGpu"];
  if (sets.some(({ kind }) => kind === "toy")) names.push("toyData");
  const more = loss === "likelihood" ? `solver: { method: "midpoint", steps: 6 },` : `coupling: "${pairs}",`;
  const lines = [
    `velocity: ${velocity},`,
    ...(start ? ["source: { samples: normalize(start, normalization) },"] : []),
    ...(source === "uniform" ? [`source: { distribution: "uniform", low: ${bounds("-")}, high: ${bounds("")} },`] : []),
    "normalization,",
    "seed: 1,",
  ];
  return `// npm install pushforward webgpu && node flow.ts (Node 24; Deno and bundlers take it as it is)
import { writeFile } from "node:fs/promises";
import { ${[...names, trainer].join(", ")} } from "pushforward";
${sets.every(({ kind }) => kind === "toy") ? "" : rowsOf}
const gpu = await openGpu();
${rowsInWords("data", settings.target, train)}
${start ? `${rowsInWords("start", settings.start, start.train)}\n` : ""}const normalization = fitNormalization(data, 2);
const flow = Flow.create(gpu, {
  ${lines.join("\n  ")}
});
const training = ${trainer}(flow, data, {
  steps: ${steps},
  batchSize: ${batchSize},
  learningRate: (step) => (${rate} * Math.min(1, (step + 1) / 20)) / Math.sqrt(1 + step / 300),
  ${more}
  seed: 1,
});
for await (const { step, loss } of training) console.log(step, loss);

const { x } = await flow.sample(100_000, { solver: { method: "midpoint", steps: 32 } });
${
  start
    ? `console.log(\`\${x.length / 2} points, carried from the one set to the other\`);`
    : `const { mean } = await flow.meanLogProb(data.subarray(0, 4000));
console.log(\`\${x.length / 2} samples, \${-mean} nats per point\`);`
}
await writeFile("flow.safetensors", await flow.save());
gpu.dispose();
`;
}
