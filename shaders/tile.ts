import { must } from "../src/must.ts";
import { classesText } from "./classes.ts";
import { type DivergenceText, type FusedField, guided } from "./field.ts";
import type { FusedNetwork } from "./fused-network.ts";
import {
  type EvaluateShape,
  evaluateBuffers,
  fusedParams,
  type IntegrateShape,
  integrateBuffers,
  isAtOneTime,
  labelOf,
} from "./integrate.ts";
import type { Buffers } from "./interface.ts";
import { kernel, oncePerShape } from "./kernel.ts";
import { stageStruct } from "./stage-row.ts";
import { determinantLessOne, logSizeText } from "./step-jacobian.ts";
import { tileEntry, tileExtensions } from "./tile-entry.ts";
import { fixed, moving, type TileTangents } from "./tile-memory.ts";
import { TileNetwork } from "./tile-network.ts";
import { splat, type Tiling, tileSizes, vectorType } from "./tiling.ts";
import { lines, wgsl } from "./wgsl.ts";

type NetworkField = Extract<FusedField, { kind: "network" }>;

/** Whether a tile has a text for this field. */
function isTiled(field: FusedField, tiling: Tiling): field is NetworkField {
  return field.kind === "network" && tiling.tile !== undefined;
}

/** A network's kernel with such a divergence: the bytes of workgroup memory that it takes for a particle, and what it suits. */
export const tileOf = (
  network: FusedNetwork,
  tiling: Tiling,
  atOneTime: boolean,
  divergence: DivergenceText,
): Pick<TileNetwork, "bytes" | "suitsMatrices"> =>
  new TileNetwork(network, tiling, atOneTime, tangentsOf(network.dim, divergence));

function tangentsOf(dim: number, divergence: DivergenceText): TileTangents | undefined {
  if (!("perPass" in divergence)) return undefined;
  const { mode, perPass } = divergence;
  return { count: perPass, kind: mode === "exact" && perPass >= dim ? "basis" : "given" };
}

/** What the kernels on a tile share: who has which particles, and the network's texts. */
class Tile {
  readonly network: TileNetwork;
  readonly tangents: TileTangents | undefined;
  readonly #field: NetworkField;
  readonly #tiling: Tiling;
  readonly dim: number;
  readonly columns: number;
  readonly blocks: number;
  readonly v: string;

  constructor(field: FusedField, tiling: Tiling, tangents: TileTangents | undefined) {
    if (!isTiled(field, tiling)) throw new Error("a tile is for networks");
    this.#field = field;
    this.#tiling = tiling;
    this.tangents = tangents;
    this.network = new TileNetwork(field.network, tiling, field.atOneTime, tangents);
    this.dim = field.dim;
    const { columns, blocks } = tileSizes(tiling);
    this.columns = columns;
    this.blocks = blocks;
    this.v = vectorType(tiling);
  }

  /** Dimensions of the state that an invocation owns for the particles of its column: jb, jb + blocks, … */
  get jobs(): readonly number[] {
    return Array.from({ length: Math.ceil(this.dim / this.blocks) }, (_, m) => m);
  }

  /** Statements for each of them: its number, and the dimension. */
  owned(text: (m: number, i: string) => string): string {
    const { blocks, dim } = this;
    return this.jobs
      .map((m) => {
        const i = m === 0 ? "jb" : `(jb + ${m * blocks}u)`;
        return (m + 1) * blocks <= dim ? text(m, i) : `if (${i} < ${dim}u) {\n${text(m, i)}\n}`;
      })
      .join("\n");
  }

  /** Component of a job in the tile. */
  job(m: number) {
    return moving("jb", 1, m * this.blocks);
  }

  splat(text: string): string {
    return splat(this.#tiling, text);
  }

  /** Evaluates the network where x lies in the tile, its guided mix included: u and jv are in the tile behind it. */
  evaluate(withTangents: boolean): string {
    const text = this.network.evaluate(withTangents);
    const classes = classesText(this.#field.network.classes, this.#field.labels, this.#tiling);
    if (!this.#field.labels && !this.#field.guided) return `{\nconst branch = 0u;\n${classes}\n${text}\n}`;
    const mixed = [
      { name: "u", cell: (m: number) => this.network.u(this.job(m)) },
      ...Array.from({ length: withTangents ? (this.tangents?.count ?? 0) : 0 }, (_, s) => ({
        name: `jv${s + 1}`,
        cell: (m: number) => this.network.jv(s + 1, this.job(m)),
      })),
    ];
    const each = (make: (name: string, cell: string) => string) =>
      this.owned((m) => mixed.map(({ name, cell }) => make(`first_${name}_${m}`, cell(m))).join("\n"));
    const declared = this.jobs.flatMap((m) => mixed.map(({ name }) => `var first_${name}_${m}: ${this.v};`)).join("\n");
    return `{
${declared}
${guided({
  evaluate: `${classes}\n${text}`,
  keep: (weight) => each((name, cell) => `${name} = ${cell} * ${this.splat(weight)};`),
  mix: (weight) => `${each((name, cell) => `${cell} = fma(${cell}, ${this.splat(weight)}, ${name});`)}`,
})}
workgroupBarrier();
}`;
  }

  /** The whole kernel: `before` are further structs, `body` is what the invocations do. */
  kernel<B extends Buffers>(entryPoint: string, label: string, buffers: B, before: string, body: string) {
    const code = `${before}
${this.network.declarations}

${tileEntry(
  this.#tiling,
  entryPoint,
  `let tile_first = (pf_group.x + pf_group.y * pf_groups.x) * ${this.columns}u;\n`,
  `// Surplus columns repeat the last slot and store nothing.
let is_active = tile_first + q < pf_params.slots;
let at0 = pf_params.first + min(tile_first + q, pf_params.slots - 1u);
${body}`,
)}`;
    const enable = tileExtensions(this.#tiling);
    return kernel({ label, entryPoint, enable, prefix: "pf_", params: fusedParams, buffers, code: wgsl`${code}` });
  }

  /** Σ_i v_i (Jv)_i of tangent s, for the column: in a block of its own. */
  estimate(s: number): string {
    let sum = `${this.network.dx(s, fixed(0))} * ${this.network.jv(s, fixed(0))}`;
    for (let i = 1; i < this.dim; i++)
      sum = `fma(${this.network.dx(s, fixed(i))}, ${this.network.jv(s, fixed(i))}, ${sum})`;
    return sum;
  }

  /**
   * Statements that evaluate velocity and divergence, u being in the tile behind them. Block 0 says what happens to a column's divergence
   * (`once`), or to each probe's estimate (`onProbe`).
   */
  withDivergence(
    divergence: DivergenceText,
    once: (divergence: string) => string,
    onProbe: (probe: string, estimate: string) => string,
  ): string {
    const { dim, network, v } = this;
    const { count, kind } = must(this.tangents, "the tangents of a divergence");
    const numbers = Array.from({ length: count }, (_, s) => s + 1);
    if (kind === "basis") {
      const trace = numbers.map((s) => network.jv(s, fixed(s - 1))).join(" + ");
      return `${this.evaluate(true)}\nif (jb == 0u) {\n${once(trace)}\n}`;
    }
    const isExact = divergence.mode === "exact";
    const tangent = (s: number, i: string) =>
      isExact
        ? this.splat(`select(0.0, 1.0, pass_index * ${count}u + ${s - 1}u == ${i})`)
        : `pf_probes[((pass_index * ${count}u + ${s - 1}u) * ${dim}u + ${i}) * pf_params.stride + at0]`;
    const passes = isExact ? `${Math.ceil(dim / count)}u + pf_params.zero` : `pf_params.probes / ${count}u`;
    const estimates = isExact
      ? lines(count, (s) => `divergence += ${this.estimate(s + 1)};`)
      : lines(count, (s) => onProbe(`(pass_index * ${count}u + ${s}u)`, this.estimate(s + 1)));
    return `${isExact ? `var divergence = ${v}(0.0);` : ""}
for (var pass_index = 0u; pass_index < ${passes}; pass_index++) {
workgroupBarrier();
${this.owned((m, i) => lines(count, (s) => `${network.dx(s + 1, this.job(m))} = ${tangent(s + 1, i)};`))}
workgroupBarrier();
${this.evaluate(true)}
if (jb == 0u) {
${estimates}
}
}
${isExact ? `if (jb == 0u) {\n${once("divergence")}\n}` : ""}`;
  }
}

/** What step-jacobian.ts has for an invocation of its own: each owns the rows of the matrices that it owns of the state. */
function tileJacobian(tile: Tile, stages: number) {
  const { dim, network, v } = tile;
  const columns = Array.from({ length: dim }, (_, s) => s);
  const earlier = Array.from({ length: stages - 1 }, (_, j) => j);
  const each = (text: (s: number, m: number, i: string) => string) =>
    tile.owned((m, i) => columns.map((s) => text(s, m, i)).join("\n"));
  const tangent = (s: number, m: number) => network.dx(s + 1, tile.job(m));
  const row = (rows: string, s: number, i: string) => `${rows}[(${dim * (1 + s)}u + ${i}) * pf_params.stride + at0]`;
  return {
    state: tile.jobs
      .flatMap((m) =>
        columns.map((s) => `var pf_D${s}_${m}: ${v};\n${lines(stages - 1, (j) => `var pf_K${j}_${s}_${m}: ${v};`)}`),
      )
      .join("\n"),
    begin: each((s, m) => `pf_D${s}_${m} = ${v}(0.0);`),
    stage: each((s, m, i) => {
      const unit = tile.splat(`select(0.0, 1.0, ${i} == ${s}u)`);
      const sum = earlier.reduce((sum, j) => `fma(${tile.splat(`row.a${j}`)}, pf_K${j}_${s}_${m}, ${sum})`, unit);
      return `${tangent(s, m)} = ${sum};`;
    }),
    products: each((s, m) => {
      const product = network.jv(s + 1, tile.job(m));
      return `pf_D${s}_${m} = fma(${tile.splat("row.weight")}, ${product}, pf_D${s}_${m});
${lines(stages - 1, (j) => `if (stage == ${j}u) { pf_K${j}_${s}_${m} = ${product}; }`)}`;
    }),
    // the first block of a column sees all of its rows where the tangents were
    end: `workgroupBarrier();
${each((s, m) => `${tangent(s, m)} = pf_D${s}_${m};`)}
workgroupBarrier();
if (jb == 0u) {
integral -= pf_log_size(${determinantLessOne(dim, (s, i) => network.dx(s + 1, fixed(i)))});
}
workgroupBarrier();`,
    store: each((s, m, i) => `${row("pf_state", s, i)} = pf_D${s}_${m};`),
    keep: each((s, m, i) => `${row("pf_kept", s, i)} = pf_K0_${s}_${m};`),
  };
}

/**
 * The integrator of integrate.ts for any network, by a whole workgroup for a tile of particles: see {@link TileNetwork}. The state
 * stays in registers of the invocations that own its (dimension, column) pairs. Same buffers.
 */
export const integrateTileKernel = oncePerShape((shape: IntegrateShape) => {
  const { field, tiling, stages, divergence } = shape;
  const tracks = divergence.mode !== "none";
  const probes = divergence.mode === "probes";
  const tile = new Tile(field, tiling, tangentsOf(field.dim, divergence));
  const { network, v } = tile;
  const { classes, table } = (field as NetworkField).network;
  const weight = tile.splat("-row.weight");
  const track =
    tracks && divergence.mode !== "discrete"
      ? tile.withDivergence(
          divergence,
          (sum) => `integral = fma(${weight}, ${sum}, integral);`,
          (probe, estimate) => {
            const place = `pf_integral[${probe} * pf_params.stride + at0]`;
            return `if (is_active) { ${place} = fma(${weight}, ${estimate}, ${place}); }`;
          },
        )
      : "";
  const plain = tile.evaluate(false);
  const jacobian = divergence.mode === "discrete" ? tileJacobian(tile, stages) : undefined;
  const of = (place: keyof ReturnType<typeof tileJacobian>) => (jacobian ? jacobian[place] : "");
  const declared = tile.jobs
    .map(
      (m) =>
        `var x${m}: ${v};\nvar d${m}: ${v};\nvar u${m}: ${v};\n${lines(stages - 1, (s) => `var k${s}_${m}: ${v};`)}`,
    )
    .join("\n");
  const state = (m: number) => {
    let y = `x${m}`;
    for (let s = 0; s < stages - 1; s++) y = `fma(${tile.splat(`row.a${s}`)}, k${s}_${m}, ${y})`;
    return y;
  };
  const body = `${declared}
${tile.owned((m, i) => `x${m} = pf_state[${i} * pf_params.stride + at0];`)}
${tracks && !probes ? `var integral = pf_integral[at0];` : ""}
${of("state")}
for (var step = pf_params.first_step; step < pf_params.last_step; step++) {
// d = Σ h b_i k_i is summed before it meets x, which is larger
${tile.owned((m) => `d${m} = ${v}(0.0);`)}
${of("begin")}
for (var stage = 0u; stage < ${stages}u + pf_params.zero; stage++) {
let row = pf_schedule[step * ${stages}u + stage];
let time0 = ${tile.splat("row.time")};
let pf_column = (step * ${stages}u + stage - pf_params.first_row) * ${(classes + 1) * table.rows}u;
// another number at every stage for all that compilers know: else the weights would be held in registers for the whole solve
let jz = jb + (step * ${stages}u + stage) * pf_params.zero;
${tile.owned((m) => `${network.x(tile.job(m))} = ${state(m)};`)}
${of("stage")}
workgroupBarrier();
${jacobian ? tile.evaluate(true) : !tracks ? plain : shape.freeStages ? `if (row.weight != 0.0) {\n${track}\n} else {\n${plain}\n}` : track}
${tile.owned(
  (m) => `u${m} = ${network.u(tile.job(m))};
d${m} = fma(${tile.splat("row.weight")}, u${m}, d${m});
${lines(stages - 1, (s) => `if (stage == ${s}u) { k${s}_${m} = u${m}; }`)}`,
)}
${of("products")}
}
${tile.owned((m) => `x${m} += d${m};`)}
${of("end")}
}
if (is_active) {
${of("store")}
${shape.keeps ? of("keep") : ""}
${tile.owned(
  (m, i) =>
    `pf_state[${i} * pf_params.stride + at0] = x${m};${shape.keeps ? `\npf_kept[${i} * pf_params.stride + at0] = k0_${m};` : ""}`,
)}
${tracks && !probes ? "if (jb == 0u) { pf_integral[at0] = integral; }" : ""}
}`;
  return tile.kernel(
    "integrate",
    `integrate ${labelOf(shape)}, tile of ${tiling.tile}${shape.keeps ? ", first stage kept" : ""}`,
    integrateBuffers(shape),
    `${stageStruct(stages)}${jacobian ? `\n${logSizeText(v)}` : ""}`,
    body,
  );
});

/** The evaluation of integrate.ts on a tile. Same buffers. */
export const evaluateTileKernel = oncePerShape((shape: EvaluateShape) => {
  const { field, tiling, output, divergence } = shape;
  const isProduct = output === "jvp";
  const tracks = output === "divergence" || output === "both";
  const probes = tracks && divergence.mode === "probes";
  const tangents: TileTangents | undefined = isProduct
    ? { count: 1, kind: "given" }
    : tracks
      ? tangentsOf(field.dim, divergence)
      : undefined;
  const tile = new Tile(field, tiling, tangents);
  const { network, v } = tile;
  const at = (i: string) => `[${i} * pf_params.stride + at0]`;
  const write = (text: string) => `if (is_active) {\n${text}\n}`;
  const evaluated = !tracks
    ? tile.evaluate(isProduct)
    : tile.withDivergence(
        divergence,
        (sum) => write(`pf_divergence[at0] = ${sum};`),
        (probe, estimate) =>
          output === "both"
            ? write(`pf_divergence[${probe} * pf_params.stride + at0] = ${estimate};`)
            : `mean += ${estimate};`,
      );
  const isMean = probes && output === "divergence";
  const body = `let jz = jb;
${isAtOneTime(field) ? "let pf_column = 0u;" : "let time0 = pf_times[at0];"}
${isMean ? `var mean = ${v}(0.0);` : ""}
${tile.owned((m, i) => `${network.x(tile.job(m))} = pf_state${at(i)};${isProduct ? `\n${network.dx(1, tile.job(m))} = pf_tangent${at(i)};` : ""}`)}
workgroupBarrier();
${evaluated}
${isMean ? write(`if (jb == 0u) { pf_divergence[at0] = mean / ${tile.splat("f32(pf_params.probes)")}; }`) : ""}
${write(
  [
    output === "divergence" ? "" : tile.owned((m, i) => `pf_velocity${at(i)} = ${network.u(tile.job(m))};`),
    isProduct ? tile.owned((m, i) => `pf_product${at(i)} = ${network.jv(1, tile.job(m))};`) : "",
  ].join("\n"),
)}`;
  return tile.kernel(
    "evaluate",
    `evaluate ${output} ${labelOf(shape)}, tile of ${tiling.tile}`,
    evaluateBuffers(shape),
    "",
    body,
  );
});
