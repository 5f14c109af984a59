import { expect, test } from "vitest";
import type { Tiling } from "../../shaders/tiling.ts";
import type { TextStore } from "../../src/gpu/store.ts";
import type { Trial } from "../../src/tune/trial.ts";
import { type Choice, Tuner, type TunerHost } from "../../src/tune/tuner.ts";

const fixed: Tiling = {
  lanes: 1,
  groups: 1,
  outputs: 4,
  gather: 0,
  space: "uniform",
  keep: "array",
  workgroupSize: 64,
};
const tiled = (workgroupSize: number): Tiling => ({ ...fixed, workgroupSize });

/** How a tiling behaves in a made-up trial. */
interface Behaviour {
  readonly seconds: number;
  readonly compiles?: number;
  readonly bits?: number;
  readonly fails?: boolean;
}

/** A device and a clock of the imagination: time passes only where work is done or slept over. */
class World {
  clock = 0;
  submits = 0;
  /** Looks of a tuner until the kernels of calls are there. */
  compiling = 0;
  usable = true;
  /** How often each workgroup size was timed, in order. */
  readonly timed: number[] = [];
  readonly slept: number[] = [];
  liveTrials = 0;
  stretched = 1;
  onTime: (size: number) => void = () => {};

  host(o: Partial<TunerHost> = {}): TunerHost {
    return {
      measure: true,
      store: undefined,
      now: () => this.clock,
      pause: async (seconds) => {
        this.slept.push(seconds);
        // a limit on what takes no time never comes first
        if (seconds === 3) await new Promise(() => {});
        if (this.compiling > 0) {
          this.compiling--;
          this.clock += seconds;
        }
      },
      activity: () => this.submits,
      isCompiling: () => this.compiling > 0,
      isUsable: () => this.usable,
      ...o,
    };
  }

  choice(behaviours: Record<number, Behaviour>, mode = "none"): Choice {
    const of = ({ workgroupSize }: Tiling): Behaviour => behaviours[workgroupSize] ?? { seconds: 1 };
    return {
      key: "network",
      mode,
      candidates: Object.keys(behaviours).map((size) => tiled(Number(size))),
      kernelText: ({ workgroupSize }) => `kernel of ${workgroupSize}`,
      trial: (): Trial => {
        let last = fixed;
        this.liveTrials++;
        return {
          warm: async (tiling) => {
            this.clock += of(tiling).compiles ?? 0.01;
            if (of(tiling).fails) throw new Error("does not compile");
          },
          time: async (tiling) => {
            last = tiling;
            const seconds = of(tiling).seconds * this.stretched;
            this.clock += seconds;
            this.timed.push(tiling.workgroupSize);
            this.onTime(tiling.workgroupSize);
            return seconds;
          },
          result: async () => Uint32Array.of(7, of(last).bits ?? 1),
          stretch: (factor) => {
            this.stretched *= factor;
            return true;
          },
          dispose: () => {
            this.liveTrials--;
          },
        };
      },
    };
  }
}

/** Lets everything that waits for nothing but promises happen. */
async function settle(): Promise<void> {
  for (let i = 0; i < 2000; i++) await Promise.resolve();
}

test("the first call runs with the fixed choice, later ones with the fastest candidate", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.01 }, 256: { seconds: 0.015 } });
  expect(tuner.choose(choice).workgroupSize).toBe(64);
  expect(world.timed).toEqual([]);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(128);
  expect(world.liveTrials).toBe(0);
});

test("a faster candidate with other bits is not taken", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.001, bits: 2 }, 256: { seconds: 0.015 } });
  tuner.choose(choice);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(256);
});

test("a gain that may be chance does not replace the fixed choice", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.0197 } });
  tuner.choose(choice);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(64);
});

test("a candidate that was lucky once loses the comparison side by side", async () => {
  const world = new World();
  const behaviours: Record<number, { seconds: number }> = { 64: { seconds: 0.02 }, 128: { seconds: 0.01 } };
  const tuner = new Tuner(world.host());
  const choice = world.choice(behaviours);
  world.onTime = (size) => {
    if (size === 128) behaviours[128] = { seconds: 0.03 };
  };
  tuner.choose(choice);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(64);
});

test("a candidate that takes too long to compile ends the search, and what was found before it counts", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({
    64: { seconds: 0.02 },
    128: { seconds: 0.015 },
    256: { seconds: 0.001, compiles: 3.5 },
    512: { seconds: 0.001 },
  });
  tuner.choose(choice);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(128);
  expect(world.timed).not.toContain(256);
  expect(world.timed).not.toContain(512);
});

test("a compilation that never ends is not waited for", async () => {
  const world = new World();
  const tuner = new Tuner(world.host({ pause: async () => {} }));
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.001 } });
  const never = {
    ...choice,
    trial: () => {
      const trial = choice.trial();
      return {
        ...trial,
        warm: (tiling: Tiling) => (tiling.workgroupSize === 128 ? new Promise<void>(() => {}) : trial.warm(tiling)),
      };
    },
  };
  tuner.choose(never);
  await settle();
  expect(tuner.choose(never).workgroupSize).toBe(64);
  expect(world.liveTrials).toBe(0);
});

test("a candidate that does not compile is passed over", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.001, fails: true }, 256: { seconds: 0.01 } });
  tuner.choose(choice);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(256);
});

test("work that is too short to be told from latency is made longer before candidates are compared", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.0002 }, 128: { seconds: 0.0001 } });
  tuner.choose(choice);
  await settle();
  expect(0.0002 * world.stretched).toBeGreaterThanOrEqual(0.005);
  expect(tuner.choose(choice).workgroupSize).toBe(128);
});

test("while calls run, the search takes at most a tenth of the time", async () => {
  const world = new World();
  world.onTime = () => {
    world.submits++;
  };
  const tuner = new Tuner(world.host());
  tuner.choose(world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.01 } }));
  await settle();
  const working = world.clock;
  const [, ...rests] = world.slept.filter((seconds) => seconds !== 3);
  expect(rests.reduce((sum, seconds) => sum + seconds, 0)).toBeGreaterThanOrEqual(8.5 * (working - 0.1));
});

test("kernels of calls are compiled before the first candidate and between candidates", async () => {
  const world = new World();
  world.compiling = 5;
  const compiled: number[] = [];
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.01 }, 256: { seconds: 0.015 } });
  const trial = () => {
    const made = choice.trial();
    return {
      ...made,
      warm: (tiling: Tiling) => {
        expect(world.compiling).toBe(0);
        compiled.push(tiling.workgroupSize);
        return made.warm(tiling).then(() => {
          if (tiling.workgroupSize === 128) world.compiling = 3;
        });
      },
    };
  };
  const tuner = new Tuner(world.host());
  tuner.choose({ ...choice, trial });
  await settle();
  expect(compiled).toEqual([64, 128, 256]);
  expect(tuner.choose(choice).workgroupSize).toBe(128);
});

test("kernels of calls that are never ready are not waited for longer than ten seconds", async () => {
  const world = new World();
  world.compiling = Number.POSITIVE_INFINITY;
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.01 } });
  tuner.choose(choice);
  for (let i = 0; i < 4; i++) await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(128);
});

test("a device lost in the middle of a search leaves the fixed choice, no trial and no unhandled rejection", async () => {
  const world = new World();
  const tuner = new Tuner(world.host());
  const choice = world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.001 } });
  world.onTime = (size) => {
    if (size !== 128) return;
    world.usable = false;
    throw new Error("the device was lost");
  };
  tuner.choose(choice);
  await settle();
  expect(tuner.choose(choice).workgroupSize).toBe(64);
  expect(world.liveTrials).toBe(0);
});

test("searches for two kernels come one after the other", async () => {
  const world = new World();
  let most = 0;
  world.onTime = () => {
    most = Math.max(most, world.liveTrials);
  };
  const tuner = new Tuner(world.host());
  const modes = ["none", "exact"].map((mode) => world.choice({ 64: { seconds: 0.02 }, 128: { seconds: 0.01 } }, mode));
  for (const choice of modes) tuner.choose(choice);
  await settle();
  expect(most).toBe(1);
  for (const choice of modes) expect(tuner.choose(choice).workgroupSize).toBe(128);
});

/** A store in memory. */
function memoryStore(): TextStore & { readonly texts: Map<string, string> } {
  const texts = new Map<string, string>();
  return {
    texts,
    get: async (key) => texts.get(key),
    set: async (key, value) => {
      texts.set(key, value);
    },
  };
}

const pair = { 64: { seconds: 0.02 }, 128: { seconds: 0.01 } };

test("a kept choice is used from the first call on, and not measured again", async () => {
  const store = memoryStore();
  const first = new World();
  new Tuner(first.host({ store })).choose(first.choice(pair));
  await settle();
  expect(store.texts.size).toBe(1);

  const second = new World();
  const tuner = new Tuner(second.host({ store }));
  await tuner.ready("network");
  expect(tuner.choose(second.choice(pair)).workgroupSize).toBe(128);
  await settle();
  expect(second.timed).toEqual([]);
});

test("where nothing is to be measured, a kept choice is used all the same", async () => {
  const store = memoryStore();
  const first = new World();
  new Tuner(first.host({ store })).choose(first.choice(pair));
  await settle();
  const second = new World();
  const tuner = new Tuner(second.host({ store, measure: false }));
  expect(tuner.choose(second.choice(pair)).workgroupSize).toBe(64);
  await settle();
  expect(tuner.choose(second.choice(pair)).workgroupSize).toBe(128);
  expect(tuner.choose(second.choice(pair, "exact")).workgroupSize).toBe(64);
  expect(second.timed).toEqual([]);
});

test("choices for several kernels of a network are kept side by side", async () => {
  const store = memoryStore();
  const world = new World();
  const tuner = new Tuner(world.host({ store }));
  for (const mode of ["none", "exact"]) tuner.choose(world.choice(pair, mode));
  await settle();
  expect(Object.keys(JSON.parse(store.texts.get("network") ?? "{}"))).toEqual(["none", "exact"]);
});

test.each([
  ["no JSON", "{"],
  ["JSON of another kind", "[1, null]"],
  ["null", "null"],
  ["an entry of another kind", '{"none": 3}'],
  ["a tiling that is no candidate", JSON.stringify({ none: { tiling: tiled(512), text: "" } })],
  ["a candidate whose kernel read otherwise then", JSON.stringify({ none: { tiling: tiled(128), text: "0" } })],
])("a kept text that is %s is ignored and written anew", async (_, text) => {
  const store = memoryStore();
  store.texts.set("network", text);
  const world = new World();
  const tuner = new Tuner(world.host({ store }));
  await tuner.ready("network");
  expect(tuner.choose(world.choice(pair)).workgroupSize).toBe(64);
  await settle();
  expect(tuner.choose(world.choice(pair)).workgroupSize).toBe(128);
  expect(store.texts.get("network")).not.toBe(text);
});

test.each([
  [
    "throws",
    () => {
      throw new Error("broken");
    },
  ],
  ["rejects", () => Promise.reject(new Error("broken"))],
])("a store that %s changes nothing but that choices are not kept", async (_, broken) => {
  const world = new World();
  const tuner = new Tuner(world.host({ store: { get: broken, set: broken } }));
  await tuner.ready("network");
  tuner.choose(world.choice(pair));
  await settle();
  expect(tuner.choose(world.choice(pair)).workgroupSize).toBe(128);
});
