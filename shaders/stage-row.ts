/** Floats in a row of the schedule of a solver: rows begin at multiples of 16 bytes. */
export const stageFloats = (stages: number): number => 4 * Math.ceil((1 + stages) / 4);

/** The row of a stage: its time, h·b of it, and h·a for every stage that can come before one. */
export function stageStruct(stages: number): string {
  const fields = ["time", "weight", ...Array.from({ length: stages - 1 }, (_, j) => `a${j}`)];
  while (fields.length < stageFloats(stages)) fields.push(`pad${fields.length}`);
  return `struct PfStage { ${fields.map((name) => `${name}: f32`).join(", ")} }`;
}
