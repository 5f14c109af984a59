import { chai, type ExpectStatic, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect";

// Vitest's own `expect` needs its runner; its matchers are plain chai plugins and run in a browser and in Deno as well.
chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);

/** Vitest's matchers, without what needs its runner (snapshots, `expect.poll`, counts of assertions). */
export const expect = chai.expect as unknown as ExpectStatic;
