import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeWhole } from "../cli/files.ts";
import { type ColourScale, colourScale } from "../cli/plot/colour-scale.ts";
import { type Figure, type Panel, renderFigure } from "../cli/plot/figure.ts";
import { emptyGrid, type Grid, positiveQuantile } from "../cli/plot/grid.ts";
import { count } from "../cli/report.ts";

const longitude = [-126, -66] as const;
const latitude = [23.6, 50.4] as const;
/** A degree of latitude is 1 / cos 38° as long as one of longitude in the middle of the map. */
const aspect = 1.27;

/** An empty grid over the map with cells that are about square on the page. */
export function mapGrid(columns: number): Grid {
  const rows = Math.round((columns * (latitude[1] - latitude[0]) * aspect) / (longitude[1] - longitude[0]));
  return emptyGrid(columns, rows, longitude, latitude);
}

export interface Pictures {
  /** Densities per square degree. */
  data: Grid;
  samples: Grid;
  model: Grid;
  /** The density of the flow of the whole recipe, where less of it was trained. */
  shipped?: Grid | undefined;
  /** The samples on small cells, for the large picture of them alone. */
  fineSamples: Grid;
  outline: readonly Float32Array[];
  places: number;
  particles: number;
  parameters: number;
}

/** Draws data, samples and density, alone and side by side on one colour scale; returns the files' paths. */
export async function drawPlaces(folder: string, pictures: Pictures): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const { outline } = pictures;
  const data: Panel = { title: `Data · ${count(pictures.places)} places`, grid: pictures.data, lines: outline };
  const samples: Panel = {
    title: `Flow · ${count(pictures.particles)} samples`,
    grid: pictures.samples,
    lines: outline,
  };
  const model: Panel = { title: "Flow · exact density", grid: pictures.model, smooth: true, lines: outline };
  const whole: Panel[] = pictures.shipped
    ? [{ title: "Shipped flow of npm start -- --full", grid: pictures.shipped, smooth: true, lines: outline }]
    : [];
  const scale = densityScale(pictures.shipped ?? pictures.model);
  const large = { panelWidth: 860 };
  const figures: [string, Figure][] = [
    [
      "places.png",
      figure([data, samples, model, ...whole], scale, {
        title: "Where the postal codes of the contiguous United States are",
        subtitle: `A flow of ${count(pictures.parameters)} numbers, trained by maximum likelihood on WebGPU`,
        panelWidth: 430,
      }),
    ],
    ["data.png", figure([data], scale, large)],
    ["samples.png", figure([{ ...samples, grid: pictures.fineSamples }], scale, large)],
    ["density.png", figure([model], scale, large)],
  ];
  const paths: string[] = [];
  for (const [name, content] of figures) {
    const path = join(folder, name);
    await writeWhole(path, await renderFigure(content));
    paths.push(path);
  }
  return paths;
}

function figure(panels: readonly Panel[], scale: ColourScale, rest: Partial<Figure>): Figure {
  const degrees = (positive: string, negative: string) => (value: number) =>
    `${Math.abs(value)}° ${value < 0 ? negative : positive}`;
  return {
    panels,
    x: { range: longitude, label: "longitude", format: degrees("E", "W") },
    y: { range: latitude, label: "latitude", format: degrees("N", "S") },
    aspect,
    colour: { scale, label: "density (per square degree)" },
    ...rest,
  };
}

/** Three decades below the densest places: what is less than a thousandth of them reads as empty. */
function densityScale(model: Grid): ColourScale {
  const high = positiveQuantile(model.values, 0.9999) || 1;
  return colourScale("log", high / 1000, high);
}
