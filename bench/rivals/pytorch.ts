import type { Contender, ContenderModule, Work } from "../contender.ts";

/** Where this file is, by the bundler. */
declare const RIVALS_FOLDER: string;

interface Answer {
  readonly version?: string;
  readonly threads?: number;
  readonly values?: string;
  readonly error?: string;
}

/** Arrays as base64, the rest as it is. */
const encoded = (work: Work) =>
  JSON.stringify(work, (_, value) =>
    value instanceof Float32Array ? Buffer.from(value.slice().buffer).toString("base64") : value,
  );

/** A Python that has PyTorch, or that the command line finds first. */
const interpreters = ["python3", "/usr/bin/python3"];

/**
 * PyTorch on the processor, which adapters in software share with it: what who has no GPU would use in place of this library.
 *
 * What was done to make it fast: all cores, the time as a bias of the first layer, activations in place, inference mode, and the rows
 * cut into the parts that a trial finds fastest; tangents are pushed forward by hand, and Adam is the one that loops over lists. Eager
 * mode: `torch.compile` came later than the version that Debian has. It is left out where its BLAS is the reference implementation.
 */
export const contender: ContenderModule = {
  homes: ["node"],
  async open(): Promise<Contender> {
    const { spawn, spawnSync } = await import("node:child_process");
    const { createInterface } = await import("node:readline");
    const python = interpreters.find((name) => spawnSync(name, ["-c", "import torch"]).status === 0);
    if (!python) throw new Error("no Python here has torch: install python3-torch, or pip install torch");
    const child = spawn(python, [`${RIVALS_FOLDER}pytorch.py`], { stdio: ["pipe", "pipe", "inherit"] });
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const answer = async (): Promise<Answer> => {
      const { value, done } = await answers.next();
      if (done) throw new Error("PyTorch's process has ended");
      const told = JSON.parse(value) as Answer;
      if (told.error) throw new Error(told.error);
      return told;
    };
    let last: Promise<unknown> = Promise.resolve();
    const ask = (text: string): Promise<Answer> => {
      const asked = last.then(() => {
        child.stdin.write(`${text}\n`);
        return answer();
      });
      last = asked.catch(() => undefined);
      return asked;
    };
    const { version, threads } = await answer();
    let works = 0;
    return {
      name: "PyTorch",
      version: `${version}, ${threads} threads`,
      async prepare(work) {
        if (work.network.activation !== "silu") return "only silu was written for it";
        const id = works++;
        await ask(`{"do": "prepare", "id": ${id}, "work": ${encoded(work)}}`);
        return {
          async run() {
            await ask(`{"do": "run", "id": ${id}}`);
          },
          async result() {
            const { values = "" } = await ask(`{"do": "result", "id": ${id}}`);
            return new Float32Array(Uint8Array.from(Buffer.from(values, "base64")).buffer);
          },
          dispose() {
            ask(`{"do": "dispose", "id": ${id}}`).catch(() => undefined);
          },
        };
      },
      dispose() {
        child.kill();
      },
    };
  },
};
