import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { inFolder, run } from "./command-line.ts";
import { flowFile } from "./flow-file.ts";

test.each([
  [["--hidden", "6"], "x,y", 2, /--hidden is 6, but the flow of --from, .*, has 5, .*leave --hidden out/],
  [["--time", "fourier:3"], "x,y", 2, /--time is fourier:3, .* has concat/],
  [["--activation", "tanh"], "x,y", 2, /--activation is tanh, .* has silu/],
  [["--columns", "y,x"], "x,y", 2, /--columns names y, x, .* \(x, y\): leave --columns out/],
  [["--columns", "x"], "x,y", 2, /has 2 columns/],
  [[], "u,v", 1, /has no column "x"\. .*trained on x, y: where the data call them otherwise, give .*--columns/],
])("train --from with %j on the columns %s is refused in words", (more, header, status, words) =>
  inFolder(async (folder) => {
    const from = join(folder, "flow.safetensors");
    await writeFile(from, flowFile());
    const output = join(folder, "longer.safetensors");
    const { code, err } = await run(
      ["train", "-", "-o", output, "--from", from, ...more],
      `${header}\n1,2\n3,5\n4,4\n`,
    );
    expect({ code, err }).toEqual({ code: status, err: expect.stringMatching(words) });
  }),
);

test("the flow of --from is an input: neither output may be it", () =>
  inFolder(async (folder) => {
    const from = join(folder, "flow.safetensors");
    await writeFile(from, flowFile());
    for (const outputs of [
      ["-o", from],
      ["-o", join(folder, "longer"), "--checkpoint", from, "--resume"],
    ]) {
      const { code, err } = await run(["train", "-", "--from", from, ...outputs], "x,y\n1,2\n3,5\n");
      expect({ code, err }).toEqual({ code: 2, err: expect.stringContaining("would replace the flow of --from") });
    }
  }));

test("a flow with class labels is trained on rows with a column of them alone", () =>
  inFolder(async (folder) => {
    const from = join(folder, "flow.safetensors");
    await writeFile(from, flowFile({ classes: 3 }));
    const { code, err } = await run(["train", "-", "-o", join(folder, "f"), "--from", from], "x,y\n1,2\n3,5\n");
    expect({ code, err }).toEqual({ code: 1, err: expect.stringContaining("is a flow with class labels") });
  }));
