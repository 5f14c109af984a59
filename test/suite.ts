/** What a GPU suite imports: the same file runs in Node, in headless Chrome and in Deno. */
import { type RegisteredTest, register, type TestOptions } from "./homes/registry.ts";

export { expectClose, type Tolerance } from "./homes/expect-close.ts";
export { expect } from "./homes/matchers.ts";
export type { Fixture, Home, TestOptions } from "./homes/registry.ts";

/**
 * Registers a test. It fails on any error the device reports, captured or not, and when it leaves buffers behind.
 * A test that loses or disposes a device opens its own.
 */
export function test(sentence: string, body: RegisteredTest["body"], options: TestOptions = {}): void {
  register(sentence, body, options);
}
