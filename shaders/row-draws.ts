import { wgsl } from "./wgsl.ts";

/** Words per row of the table `row_draws`. */
export const rowDrawWords = 3;

/**
 * WGSL of rows that are not drawn as they are: `drawn_row`, which gives each row its share by the alias method (Walker 1977; Vose 1991),
 * and `row_noise`, the noise of components 4 `block` … 4 `block` + 3. The kernel has a buffer `row_draws` of `array<RowDraw>` and the
 * functions of `random`; src/train/row-draws.ts makes the table and has the twin.
 */
export const rowDraws = wgsl`
struct RowDraw {
  // words below it are this row's, the others \`other\`'s
  limit: u32,
  other: u32,
  deviation: f32,
}

fn drawn_row(words: vec4u, rows: u32) -> u32 {
  let row = random_index(words.x, rows);
  let own = row_draws[row];
  return select(own.other, row, words.y < own.limit);
}

fn row_noise(row: u32, sample: vec2u, block: u32, stream: u32, key: vec2u) -> vec4f {
  return row_draws[row].deviation * normal4(philox(vec4u(sample, block, stream), key));
}
`;

/** WGSL of the row that a sample's words choose, with a table of {@link rowDraws} or where all rows are alike. */
export const chosenRow = (draws: boolean, words: string) =>
  draws ? `drawn_row(${words}, params.rows)` : `random_index(${words}.x, params.rows)`;
