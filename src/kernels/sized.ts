import type { Dispatch } from "../../shaders/dispatch.ts";
import { bindingText, declared } from "../../shaders/interface.ts";
import type { Kernel } from "../../shaders/kernel.ts";
import { must } from "../must.ts";

/** Bytes of the elements of arrays whose length is that of their buffer. */
const bytesOf: Readonly<Record<string, number>> = {
  "array<f32>": 4,
  "array<u32>": 4,
  "array<vec4f>": 16,
  "array<vec4u>": 16,
};

const made = new WeakMap<Kernel, Map<string, Kernel>>();

/** The kernel with the lengths of arrays in its text, of which these bytes, by its names for the buffers, are bound at least. */
function sizedKernel(kernel: Kernel, bytes: ReadonlyMap<string, number>): Kernel {
  let { code } = kernel;
  for (const [i, [name, binding]] of declared(kernel.buffers).entries()) {
    const [bound, each] = [bytes.get(name), bytesOf[binding.type]];
    if (bound === undefined || each === undefined) continue;
    const sized = { ...binding, type: `${binding.type.slice(0, -1)}, ${Math.floor(bound / each)}>` };
    // a user's text, whose names have a prefix, stays as it is
    code = code.replace(bindingText(name, binding, i), bindingText(name, sized, i));
  }
  if (code === kernel.code) return kernel;
  const own = at(made, kernel, () => new Map<string, Kernel>());
  return at(own, code, () => ({ ...kernel, code }));
}

/**
 * The dispatches with lengths of arrays in their texts: SwiftShader finds the length of an array from that of its buffer anew for each
 * access, by a division for each lane. `bytesOfBuffer` tells the size of a buffer. A text stays one text, since it takes as long to compile
 * as many steps: an array in which its dispatches differ stays as long as its buffer. Of parts of one buffer all see as much as the last.
 */
export function sizedDispatches(
  dispatches: readonly Dispatch[],
  bytesOfBuffer: (buffer: string) => number,
): readonly Dispatch[] {
  /** By text, by its name for a buffer, by the buffer: what is behind the last of the places where a binding begins. */
  const rooms = new Map<string, Map<string, Map<string, number>>>();
  for (const { kernel, buffers, offsets } of dispatches) {
    const own = at(rooms, kernel.code, () => new Map<string, Map<string, number>>());
    for (const [name, buffer] of Object.entries(buffers)) {
      const byBuffer = at(own, name, () => new Map<string, number>());
      const room = bytesOfBuffer(buffer) - (offsets?.[name] ?? 0);
      byBuffer.set(buffer, Math.min(room, byBuffer.get(buffer) ?? room));
    }
  }
  return dispatches.map((dispatch) => {
    const agreed = new Map<string, number>();
    for (const [name, byBuffer] of must(rooms.get(dispatch.kernel.code), "the rooms of a text")) {
      const [room, ...others] = new Set(byBuffer.values());
      if (room !== undefined && others.length === 0) agreed.set(name, room);
    }
    const kernel = sizedKernel(dispatch.kernel, agreed);
    return kernel === dispatch.kernel ? dispatch : { ...dispatch, kernel };
  });
}

function at<K, V>(map: { get(key: K): V | undefined; set(key: K, value: V): unknown }, key: K, make: () => V): V {
  const known = map.get(key) ?? make();
  map.set(key, known);
  return known;
}
