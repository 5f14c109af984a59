/**
 * Two pictures of the gallery, `npm run gallery`: the density of a flow from source to data, and what
 * guidance does to the samples of a class. Writes out/gallery/motion.png and guidance.png.
 */
import { mkdirSync } from "node:fs";
import { Flow, mlp, openGpu, toyData, trainFlowMatching } from "pushforward";
import { writeWhole } from "../cli/files.ts";
import { colourScale } from "../cli/plot/colour-scale.ts";
import { type Panel, renderFigure } from "../cli/plot/figure.ts";
import { countPoints, emptyGrid, type Grid, positiveQuantile, toDensity } from "../cli/plot/grid.ts";
import { seededUniform } from "../cli/split.ts";

const folder = "out/gallery";
const range = [-4.2, 4.2] as const;
const cells = 90;
const solver = { method: "midpoint", steps: 24 } as const;

async function write(name: string, panels: Panel[], top: Grid): Promise<void> {
  const bytes = await renderFigure({
    panels,
    x: { label: "x", range },
    y: { label: "y", range },
    colour: { scale: colourScale("sqrt", 0, positiveQuantile(top.values, 0.999)), label: "density" },
    panelWidth: 190,
    pixelRatio: 1.2,
  });
  await writeWhole(`${folder}/${name}.png`, bytes);
  console.log(`${folder}/${name}.png`);
}

/** p_t on the cells of the picture. */
async function densityAt(flow: Flow, at: number): Promise<Grid> {
  const box: [number, number][] = [
    [range[0], range[1]],
    [range[0], range[1]],
  ];
  const { density } = await flow.densityGrid({ box, cells: [cells, cells], at, solver });
  const grid = emptyGrid(cells, cells, range, range);
  // the library's last axis is y and runs fastest, a picture's rows are y
  for (let x = 0; x < cells; x++)
    for (let y = 0; y < cells; y++) grid.values[y * cells + x] = density[x * cells + y] ?? 0;
  return grid;
}

const gpu = await openGpu();
mkdirSync(folder, { recursive: true });

const pinwheel = toyData("pinwheel", 100_000, 1);
const moving = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64] }), seed: 1 });
const training = { steps: 2500, batchSize: 512, ema: 0.995, learningRate: { peak: 5e-3, schedule: "cosine" } } as const;
const pairs = { coupling: "optimal-transport" } as const; // straight paths
for await (const { step, loss } of trainFlowMatching(moving, pinwheel, { ...training, ...pairs }))
  console.log(step, loss);
const times = [0.1, 0.4, 0.7, 0.9, 1];
const grids: Grid[] = [];
for (const time of times) grids.push(await densityAt(moving, time));
const panels = grids.map((grid, i) => ({ title: `t = ${times[i]}`, grid, smooth: true }));
await write("motion", panels, grids.at(-1) ?? emptyGrid(1, 1, range, range));
moving.dispose();

// three classes that overlap
const count = 60_000;
const uniform = seededUniform(2);
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
const labels = Uint32Array.from({ length: count }, (_, i) => i % 3);
const overlapping = Float32Array.from({ length: 2 * count }, (_, k) => {
  const angle = Math.PI / 2 + (2 * Math.PI * ((k >> 1) % 3)) / 3;
  return 1.3 * (k % 2 === 0 ? Math.cos(angle) : Math.sin(angle)) + 0.9 * normal();
});
const classes = Flow.create(gpu, { velocity: mlp({ dim: 2, hidden: [64, 64, 64], classes: 3 }), seed: 1 });
const guided = { ...training, labels, labelDropout: 0.2 };
for await (const { step, loss } of trainFlowMatching(classes, overlapping, guided)) console.log(step, loss);
const drawn: Panel[] = [];
for (const guidance of [0, 1, 1.5, 2.5]) {
  const { x } = await classes.sample(count, { labels: new Uint32Array(count).fill(0), guidance, solver, seed: 3 });
  const grid = emptyGrid(60, 60, range, range);
  countPoints(grid, { data: x, dim: 2 });
  drawn.push({ title: guidance === 0 ? "w = 0: all classes" : `w = ${guidance}`, grid: toDensity(grid, count) });
}
await write("guidance", drawn, drawn.at(-1)?.grid ?? emptyGrid(1, 1, range, range));
gpu.dispose();
