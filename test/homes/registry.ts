import type { Gpu } from "pushforward";

/** Where a test runs. */
export type Home = "node" | "chrome" | "deno";

/** What a test is given: one device per home, shared by its tests. */
export interface Fixture {
  readonly gpu: Gpu;
  readonly home: Home;
}

export interface TestOptions {
  /** How long the test may take before it fails. Default 300. */
  timeoutSeconds?: number;
}

export interface RegisteredTest {
  /** "file: sentence". */
  readonly name: string;
  readonly body: (fixture: Fixture) => void | Promise<void>;
  readonly timeoutSeconds: number;
}

const registered: RegisteredTest[] = [];
let file = "";

/** Tests registered from now on belong to this suite file; the generated entry of the bundle calls it before each import. */
export function beginFile(name: string): void {
  file = name;
}

export function register(sentence: string, body: RegisteredTest["body"], options: TestOptions): void {
  const name = `${file}: ${sentence}`;
  if (registered.some((other) => other.name === name)) throw new Error(`two tests have the name "${name}"`);
  registered.push({ name, body, timeoutSeconds: options.timeoutSeconds ?? 300 });
}

export function registeredTests(): readonly RegisteredTest[] {
  return registered;
}
