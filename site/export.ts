// What can be taken home: a picture, the weights, a program.
import { featureScale } from "./learner.ts";
import type { Settings } from "./settings.ts";

export function download(name: string, content: BlobPart, type: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const mostRows = 2000;

/** Rows of the data as a program has them in it, at most `mostRows`. */
function rowsInWords(data: Float32Array): string {
  const every = Math.ceil(data.length / 2 / mostRows);
  const rows = data.filter((_, i) => (i >> 1) % every === 0);
  const bytes = new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength);
  const letters = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  return `// ${rows.length / 2} of the points that were learned, [n, 2]
const bytes = Uint8Array.from(atob("${btoa(letters)}"), (letter) => letter.charCodeAt(0));
const data = new Float32Array(bytes.buffer);`;
}

/** A TypeScript program that trains what the page trains. */
export function programOf(settings: Settings, data: Float32Array, batchSize: number, steps: number): string {
  const { target, network, features, layers, width, source, loss, pairs, rate } = settings;
  const isToy = target.kind === "toy";
  const trainer = loss === "likelihood" ? "trainMaximumLikelihood" : "trainFlowMatching";
  const field = network === "plain" ? "mlp" : "residualMlp";
  const waves = features > 0 ? `, features: { fourier: { count: ${features}, scale: ${featureScale}, seed: 1 } }` : "";
  const velocity =
    network === "plain"
      ? `mlp({ dim: 2, hidden: [${Array<number>(layers).fill(width).join(", ")}]${waves} })`
      : `residualMlp({ dim: 2, width: ${width}, blocks: ${layers}${waves} })`;
  const edge = Math.sqrt(3).toFixed(4);
  const names = ["Flow", "fitNormalization", field, "openGpu", ...(isToy ? ["toyData"] : []), trainer];
  const more = loss === "likelihood" ? `solver: { method: "midpoint", steps: 6 },` : `coupling: "${pairs}",`;
  return `// npm install pushforward webgpu && node flow.ts (Node 24; Deno and bundlers take it as it is)
import { writeFile } from "node:fs/promises";
import { ${names.join(", ")} } from "pushforward";

const gpu = await openGpu();
${isToy ? `const data = toyData("${target.name}", 20_000);` : rowsInWords(data)}
const flow = Flow.create(gpu, {
  velocity: ${velocity},${
    source === "uniform"
      ? `\n  source: { distribution: "uniform", low: [-${edge}, -${edge}], high: [${edge}, ${edge}] },`
      : ""
  }
  normalization: fitNormalization(data, 2),
  seed: 1,
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
const { mean } = await flow.meanLogProb(data.subarray(0, 4000));
console.log(\`\${x.length / 2} samples, \${-mean} nats per point\`);
await writeFile("flow.safetensors", await flow.save());
gpu.dispose();
`;
}
