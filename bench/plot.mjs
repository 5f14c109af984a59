// Throughput against particle count and against width, as SVG: one line a contender, both axes logarithmic.
import { scaleLog } from "d3-scale";
import { short } from "./table.mjs";

const size = { width: 460, height: 320, left: 64, right: 16, top: 36, bottom: 72 };
// dark enough on white and apart for colour-blind readers
const colours = ["#0b5cad", "#c2410c", "#15803d", "#7e22ce", "#525252"];

const escapeXml = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

/**
 * @param {string} title
 * @param {string} xLabel
 * @param {Map<string, [x: number, y: number][]>} lines by contender
 * @param {number} offset of this panel from the left
 */
function panel(title, xLabel, lines, offset) {
  const points = [...lines.values()].flat();
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const x = scaleLog([Math.min(...xs) / 1.3, Math.max(...xs) * 1.3], [size.left, size.width - size.right]);
  const y = scaleLog([Math.min(...ys) / 1.8, Math.max(...ys) * 1.8], [size.height - size.bottom, size.top]).nice();
  const bottom = size.height - size.bottom;
  const ticks = (scale) => scale.ticks().filter((v) => /^1(0*)$/.test(String(v)) || /^[1]e/.test(v.toExponential()));
  const marks = [...new Set(xs)].sort((a, b) => a - b);
  const text = [
    `<text x="${size.left}" y="20" class="title">${escapeXml(title)}</text>`,
    ...ticks(y).flatMap((v) => [
      `<line x1="${size.left}" x2="${size.width - size.right}" y1="${y(v)}" y2="${y(v)}" class="grid"/>`,
      `<text x="${size.left - 6}" y="${y(v) + 4}" text-anchor="end">${short(v)}</text>`,
    ]),
    ...marks.map((v) => `<text x="${x(v)}" y="${bottom + 16}" text-anchor="middle">${v >= 1e4 ? short(v) : v}</text>`),
    `<text x="${(size.left + size.width - size.right) / 2}" y="${bottom + 34}" text-anchor="middle">${escapeXml(xLabel)}</text>`,
    `<line x1="${size.left}" x2="${size.width - size.right}" y1="${bottom}" y2="${bottom}" class="axis"/>`,
  ];
  [...lines].forEach(([name, data], i) => {
    const colour = colours[i % colours.length];
    const sorted = [...data].sort((a, b) => a[0] - b[0]);
    const path = sorted.map(([px, py], k) => `${k ? "L" : "M"}${x(px).toFixed(1)},${y(py).toFixed(1)}`).join("");
    text.push(`<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`);
    for (const [px, py] of sorted) text.push(`<circle cx="${x(px)}" cy="${y(py)}" r="3.5" fill="${colour}"/>`);
    const left = size.left + i * 98;
    text.push(
      `<rect x="${left}" y="${size.height - 20}" width="10" height="10" fill="${colour}"/>`,
      `<text x="${left + 14}" y="${size.height - 11}">${escapeXml(name)}</text>`,
    );
  });
  return `<g transform="translate(${offset},0)">${text.join("\n")}</g>`;
}

/** The figures of a suite as lines: `key` picks what they are drawn against. */
function linesOf(figures, key, keep) {
  const lines = new Map();
  for (const figure of figures.filter(keep)) {
    const line = lines.get(figure.contender) ?? [];
    line.push([figure[key], key === "n" ? figure.median : figure.flops]);
    lines.set(figure.contender, line);
  }
  return lines;
}

/** @param {import("./figure.ts").Report} report @returns {string | undefined} SVG, or nothing when too little was measured */
export function plotReport(report) {
  const sampled = report.figures.filter((f) => f.suite === "sample" && f.flops !== undefined);
  const reference = linesOf(sampled, "n", (f) => f.work.startsWith("3→64→64→64→2") && f.work.includes("midpoint"));
  const widths = linesOf(
    sampled,
    "width",
    (f) => f.width > 64 || (f.work.startsWith("3→64") && f.n === Math.max(...sampled.map((s) => s.n))),
  );
  const panels = [
    { title: "Particles/s, 3→64→64→64→2, midpoint 10", label: "particles", lines: reference },
    { title: "FLOP/s by the widest layer", label: "width", lines: widths },
  ].filter(({ lines }) => [...lines.values()].some((line) => line.length > 1));
  if (panels.length === 0) return undefined;
  const width = panels.length * size.width;
  const caption = `${report.adapter.description}, ${report.home}, ${report.date.slice(0, 10)}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${size.height + 24}" viewBox="0 0 ${width} ${size.height + 24}" font-family="DejaVu Sans, system-ui, sans-serif" font-size="11" fill="#222">
<title>Throughput against particle count and network width</title>
<style>.title{font-size:13px;font-weight:600}.grid{stroke:#ddd}.axis{stroke:#444}</style>
<rect width="100%" height="100%" fill="#fff"/>
${panels.map(({ title, label, lines }, i) => panel(title, label, lines, i * size.width)).join("\n")}
<text x="${size.left}" y="${size.height + 16}" fill="#666">${escapeXml(caption)}</text>
</svg>
`;
}
