// Tables of figures, for the terminal and for Markdown.

/** 12345678 → "12.3 M" */
export function short(value) {
  const units = [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  const [size, name] = units.find(([least]) => Math.abs(value) >= least) ?? [1, ""];
  const scaled = value / size;
  const digits = Math.abs(scaled) >= 100 ? 0 : Math.abs(scaled) >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)}${name ? ` ${name}` : ""}`;
}

/** The cells of one figure, in the order of `columns`. @param {import("./figure.ts").Figure} figure */
export function cells(figure) {
  const { flops, share, oursOver } = figure;
  return [
    figure.work,
    figure.contender,
    `${short(figure.median)} ${figure.unit}`,
    figure.rounds > 1 ? `${short(figure.low)} – ${short(figure.high)}` : "",
    flops === undefined ? "" : `${short(flops)}FLOP/s`,
    share === undefined ? "" : `${(100 * share).toFixed(0)} %`,
    oursOver === undefined || figure.contender === "pushforward" ? "" : `${oursOver.toFixed(1)}×`,
    figure.remark ?? "",
  ];
}

export const columns = ["work", "who", "median", "quartiles", "rate", "of ceiling", "ours is faster by", "remark"];

/** Plain text with aligned columns; columns that are empty throughout are left out. @param {readonly string[][]} rows */
export function alignedTable(rows, heads = columns) {
  const used = heads.map((_, c) => rows.some((row) => row[c] !== ""));
  const kept = [heads, ...rows].map((row) => row.filter((_, c) => used[c]));
  const widths = (kept[0] ?? []).map((_, c) => Math.max(...kept.map((row) => row[c].length)));
  return kept
    .map((row) =>
      row
        .map((cell, c) => cell.padEnd(widths[c]))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** @param {readonly string[][]} rows */
export function markdownTable(rows, heads = columns) {
  const used = heads.map((_, c) => rows.some((row) => row[c] !== ""));
  const line = (row) => `| ${row.filter((_, c) => used[c]).join(" | ")} |`;
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)].join("\n");
}
