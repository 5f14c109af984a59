/** What particles may start from. */
export type SourceKind = "gaussian" | "uniform" | "mixture" | "samples";

/** Whether a particle chooses a part of its source: a component of a mixture, a row of samples. */
export const hasParts = (kind: SourceKind): boolean => kind === "mixture" || kind === "samples";
