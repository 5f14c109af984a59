// Reads a listing of ACO: what the loops of a kernel do that have its multiply-adds.
import { readFileSync } from "node:fs";

/** Not v_fma_mix, by which sums in f16 go into those in f32, and no integers. */
const multiplyAdd = /\bv_(dual_)?(fma|fmac|mad|mac)(?!_mix|_[iu])/g;
const packed = /\bv_pk_(fma|mul)_f16/g;
const matrix = /\bv_wmma_f32_16x16x16_f16/g;
const count = (text, pattern) => text.match(pattern)?.length ?? 0;

/** What is no multiply-add, by the beginnings of its names. */
const others = {
  addresses: /^v_(add|sub|lshl|lshr|ashr|mul_lo|mul_u|mad_[iu]|and|or|xor|bfe|min_u|max_u|cndmask|add3|perm|alignbit)/,
  moves: /^v_(dual_)?mov|^v_readlane|^v_readfirstlane|^v_writelane|^v_swap/,
  "of f16": /^v_(cvt|fma_mix|pk_)/,
};

/** Numbers of 32 bits that an invocation reads of workgroup memory. */
function localReads(block) {
  let numbers = 0;
  for (const [, twice, bits] of block.matchAll(/\bds_(?:load|read)(_2addr(?:_stride64)?|2(?:st64)?)?_[bui](\d+)/g))
    numbers += (Number(bits) / 32) * (twice ? 2 : 1);
  return numbers;
}

/** The blocks of a listing in their order, and the spans of them that loops have: from where a branch leads back to, up to that branch. */
function blocksOf(text) {
  const parts = text.split(/^(BB\d+):/m).slice(1);
  const blocks = Array.from({ length: parts.length / 2 }, (_, i) => ({ name: parts[2 * i], text: parts[2 * i + 1] }));
  const at = new Map(blocks.map(({ name }, i) => [name, i]));
  const spans = blocks.flatMap(({ text }, to) =>
    [...text.matchAll(/\bs_c?branch\w*\s+(BB\d+)/g)]
      .map(([, name]) => ({ from: at.get(name), to }))
      .filter(({ from }) => from <= to),
  );
  return { blocks, spans };
}

/**
 * Where a kernel is: of its innermost loops with at least 16 multiply-adds of an invocation those with most of them, of the loops that
 * read device memory (products, by their weights) and of those that read none; of its blocks, where nothing is left to loop over. Two
 * multiply-adds that are issued as a pair count twice, as do those of f16 in one register; a product of matrices is 16³ for 32
 * invocations.
 */
export function hotLoops(listing) {
  const text = readFileSync(listing, "utf8");
  const wave = /\bexec_lo\b/.test(text) ? 32 : 64;
  const { blocks, spans } = blocksOf(text);
  const measured = blocks.map(({ text }) => {
    const vector = text
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line.startsWith("v_"));
    const own = vector.join("\n");
    return {
      text,
      vector,
      multiplyAdds: count(own, multiplyAdd) + 2 * count(own, packed) + (16 ** 3 / 32) * count(own, matrix),
    };
  });
  const isHot = ({ multiplyAdds }) => multiplyAdds >= 16;
  // a block among others of its loop is passed once in a turn of something larger
  const isInner = (_, i) => {
    const around = spans.filter(({ from, to }) => from <= i && i <= to);
    const [inner] = around.sort((a, b) => a.to - a.from - (b.to - b.from));
    return inner !== undefined && measured.slice(inner.from, inner.to + 1).filter(isHot).length === 1;
  };
  const inner = measured.filter((block, i) => isHot(block) && isInner(block, i));
  const hot = inner.length > 0 ? inner : measured.filter(isHot);
  const loops = hot.map(({ text, vector, multiplyAdds }) => {
    const rest = vector.filter((line) => count(line, multiplyAdd) + count(line, packed) + count(line, matrix) === 0);
    const named = Object.entries(others).map(([name, pattern]) => [
      name,
      rest.filter((line) => pattern.test(line)).length,
    ]);
    const known = named.reduce((sum, [, found]) => sum + found, 0);
    return {
      multiplyAdds,
      vector: vector.length,
      share100: Math.round((100 * multiplyAdds) / vector.length),
      local: localReads(text) / multiplyAdds,
      readsDevice: /\b(s_buffer_load|s_load|buffer_load|global_load)_/.test(text),
      alone: vector.filter((line) => count(line, multiplyAdd) === 1).length,
      besides: [...named, ["others", rest.length - known]].filter(([, found]) => found > 0),
    };
  });
  const most = (own) => {
    const largest = Math.max(...own.map(({ multiplyAdds }) => multiplyAdds));
    return own.filter(({ multiplyAdds }) => multiplyAdds === largest);
  };
  return { wave, loops: [true, false].flatMap((is) => most(loops.filter(({ readsDevice }) => readsDevice === is))) };
}
