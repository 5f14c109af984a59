import { expect, it } from "vitest";
import { countTurns, patiently, pause } from "../../src/gpu/provider-node.ts";

it("whoever waits long for the device lets the event loop turn seldom, and gives back what was waited for", async () => {
  const turns = countTurns();
  const answer = await patiently(pause(300).then(() => "there"));
  expect(answer).toBe("there");
  // without rests there are some 100,000
  expect(turns()).toBeLessThan(3000);
  await expect(patiently(pause(1).then(() => Promise.reject(new Error("gone"))))).rejects.toThrow("gone");
});

it("the event loop turns freely again when nothing is waited for", async () => {
  await patiently(pause(50));
  await pause(5);
  const calls = { rests: 0 };
  const original = Atomics.wait;
  Atomics.wait = ((...given: Parameters<typeof original>) => {
    calls.rests++;
    return original(...given);
  }) as typeof original;
  try {
    await new Promise((resolve) => setTimeout(resolve, 30));
  } finally {
    Atomics.wait = original;
  }
  expect(calls.rests).toBe(0);
});
