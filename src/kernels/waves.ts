import { dispatchOf } from "../../shaders/dispatch.ts";
import { subgroupRowsKernel } from "../../shaders/subgroup-rows.ts";
import type { Tiling } from "../../shaders/tiling.ts";
import type { GpuInfo } from "../gpu/adapter.ts";
import { Arena } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { readBack } from "../gpu/read.ts";
import { item } from "../must.ts";

/** Columns of a tile, each of them whole subgroups. */
export interface Wave {
  readonly columns: number;
  readonly wave: NonNullable<Tiling["wave"]>;
}

const asked = new WeakMap<Gpu, Promise<Wave | undefined>>();

/**
 * The columns of which a device's subgroups are whole ones, so that all their invocations read the same weights, which GPUs do once for
 * all of them. Undefined where there are no subgroups, or where the device is seen to fill them in another order than that of the
 * invocations.
 */
export function waveOf(gpu: Gpu): Promise<Wave | undefined> {
  const known = asked.get(gpu);
  if (known) return known;
  const wave = waveBy(gpu.info);
  const seen = wave ? fills(gpu, wave).then((isFilled) => (isFilled ? wave : undefined)) : Promise.resolve(undefined);
  // a device that was lost meanwhile has said nothing
  const made = seen.catch((error) => {
    asked.delete(gpu);
    throw error;
  });
  asked.set(gpu, made);
  return made;
}

/** What the sizes of its subgroups say. */
export function waveBy(info: GpuInfo): Wave | undefined {
  const { features, subgroupMinSize: least, subgroupMaxSize: most } = info;
  if (!features.includes("subgroups") || least === 0) return undefined;
  if (least <= 32 && most >= 32 && features.includes("subgroup-size-control")) return { columns: 32, wave: 32 };
  return { columns: Math.max(32, most), wave: "any" };
}

async function fills(gpu: Gpu, { columns, wave }: Wave): Promise<boolean> {
  const session = gpu.current;
  const arena = new Arena(session);
  try {
    await arena.allocate("strangers", 4, new Uint32Array(1));
    const kernel = subgroupRowsKernel({ columns, size: wave === "any" ? undefined : wave });
    const work = { params: { first: 0 }, buffers: { strangers: "strangers" }, workgroups: [4], flops: 1 } as const;
    await arena.submit([dispatchOf(kernel, work)]);
    return item(new Uint32Array(await readBack(session, arena.buffer("strangers"), 4)), 0) === 0;
  } finally {
    arena.release();
  }
}
