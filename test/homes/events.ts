/** What a home tells the host while a suite runs, one JSON value at a time. */
export type SuiteEvent =
  | { readonly type: "tests"; readonly names: readonly string[] }
  | { readonly type: "adapter"; readonly description: string }
  | { readonly type: "started"; readonly index: number; readonly timeoutSeconds: number }
  | {
      readonly type: "finished";
      readonly index: number;
      readonly seconds: number;
      /** One entry per reason to fail: the body's error, errors of the device, buffers left behind. */
      readonly failures: readonly Failure[];
    };

export interface Failure {
  readonly message: string;
  readonly stack?: string;
}
