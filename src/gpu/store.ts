/** Where tuned choices are kept across runs: texts by key. Failures of either method are ignored. */
export interface TextStore {
  /** The text that was set last, or undefined. */
  get(key: string): Promise<string | undefined>;
  set(key: string, value: string): Promise<void>;
}
