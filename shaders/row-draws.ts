import { streams } from "../src/random/philox.ts";
import { shuffleBits, shuffleRounds } from "../src/random/shuffle.ts";
import { struct } from "./struct.ts";
import { wgsl } from "./wgsl.ts";

/** A row of the table `row_draws`: words below the limit are this row's, the others those of `other`. */
export const rowDraw = struct("RowDraw", { limit: "u32", other: "u32", deviation: "f32" });

/**
 * WGSL of rows that are not drawn as they are: `drawn_row`, which gives each row its share by the alias method (Walker 1977; Vose 1991),
 * and `row_noise`, the noise of components 4 `block` … 4 `block` + 3. The kernel has a buffer `row_draws` of `array<RowDraw>` and the
 * functions of `random`; src/train/row-draws.ts makes the table and has the twin.
 */
const rowDraws = wgsl`
${rowDraw.text}

fn drawn_row(words: vec4u, rows: u32) -> u32 {
  let row = random_index(words.x, rows);
  let own = row_draws[row];
  return select(own.other, row, words.y < own.limit);
}

fn row_noise(row: u32, sample: vec2u, block: u32, stream: u32, key: vec2u) -> vec4f {
  return row_draws[row].deviation * normal4(philox(vec4u(sample, block, stream), key));
}
`;

/** WGSL of the row that comes at some place behind the first one of a dispatch, from pass to pass; its twin is src/random/shuffle.ts. */
const shuffledRows = wgsl`
fn shuffled_row(behind: u32, key: vec2u) -> u32 {
  let at = params.place + behind;
  let round_of = vec2u(params.pass_number + at / params.rows, ${streams.rowOrder}u);
  let half = params.order_bits / 2u;
  let low_mask = (1u << half) - 1u;
  let high_mask = (1u << (params.order_bits - half)) - 1u;
  var value = at % params.rows;
  loop {
    var low = value & low_mask;
    var high = value >> half;
    for (var round = 0u; round < ${shuffleRounds}u; round += 2u) {
      high ^= philox(vec4u(low, round, round_of), key).x & high_mask;
      low ^= philox(vec4u(high, round + 1u, round_of), key).x & low_mask;
    }
    value = (high << half) | low;
    if (value < params.rows) { break; }
  }
  return value;
}
`;

/** How a kernel chooses the rows of its samples. */
export interface RowChoice {
  /** Whether rows have shares and noise of their own, in the table of {@link rowDraws}; else all are alike and taken as they are. */
  readonly draws: boolean;
  /** Whether each pass over the data has every row once; else each sample draws its row by itself. */
  readonly shuffled: boolean;
}

/** The params of a choice, for kernels that have `rows` among theirs. */
export const choiceParams = ({ shuffled }: RowChoice) => ({
  place: shuffled && ("u32" as const),
  pass_number: shuffled && ("u32" as const),
  order_bits: shuffled && ("u32" as const),
});

/** Their numbers for a dispatch whose first sample has the number `first`. */
export function choiceNumbers({ shuffled }: RowChoice, first: number, rows: number) {
  if (!shuffled) return { place: undefined, pass_number: undefined, order_bits: undefined };
  return { place: first % rows, pass_number: Math.floor(first / rows) % 2 ** 32, order_bits: shuffleBits(rows) };
}

/** WGSL, behind the functions of `random`. */
export const choiceText = ({ draws, shuffled }: RowChoice) => `${draws ? rowDraws : ""}${shuffled ? shuffledRows : ""}`;

/** WGSL of the row of sample `p` of a dispatch, of whose numbers `words` are drawn. */
export const chosenRow = ({ draws, shuffled }: RowChoice, words: string) =>
  shuffled
    ? "shuffled_row(p, key)"
    : draws
      ? `drawn_row(${words}, params.rows)`
      : `random_index(${words}.x, params.rows)`;
