import { PushforwardError } from "../errors.ts";
import { must } from "../must.ts";
import { hint, show } from "../options.ts";
import type { Tensor } from "./safetensors.ts";

/** Ours → theirs: which tensor of a file each of a network's is. */
export type TensorNames = Readonly<Record<string, string>> | ((ours: string) => string);

interface Wanted {
  readonly name: string;
  readonly shape: readonly number[];
}

/** What DistributedDataParallel, `torch.compile` and Lightning put before the names of what they wrap. */
const wrapper = /^(?:(?:module|_orig_mod|model|net_ema|ema_model|state_dict)\.)+$/;

/**
 * The tensors of a network among those of a file: by the given map, by their own names, or by these behind one prefix, which is then
 * told. Others in the file, such as counters or averages beside the weights, are ignored unless they are further layers of the network.
 *
 * @throws PushforwardError `format` where one is missing or has another shape: the message has a map to copy where shapes allow one.
 */
export function findTensors(
  wanted: readonly Wanted[],
  found: Readonly<Record<string, Tensor>>,
  names: TensorNames | undefined,
  notice: (text: string) => void,
): Record<string, Float32Array> {
  const theirs = names === undefined ? byPrefix(wanted, found, notice) : mapped(names);
  const result: Record<string, Float32Array> = {};
  for (const { name, shape } of wanted) {
    const other: unknown = theirs(name);
    if (typeof other !== "string")
      throw new PushforwardError(
        "format",
        `tensors gives ${show(other)} for "${name}", but it gives the name that the tensor has in the file`,
      );
    const tensor = Object.hasOwn(found, other) ? found[other] : undefined;
    if (!tensor) throw missing(name, other, wanted, found);
    if (!fits(shape, tensor.shape))
      throw new PushforwardError(
        "format",
        `the tensor "${other}" has the shape [${tensor.shape.join(", ")}], but this network needs [${shape.join(", ")}]: pass the velocity that the file's weights belong to`,
      );
    result[name] = tensor.data;
  }
  if (names === undefined) refuseFurtherLayers(wanted, found, theirs);
  return result;
}

const fits = (a: readonly number[], b: readonly number[]) => a.join() === b.join();

function mapped(names: TensorNames): (ours: string) => string {
  return typeof names === "function" ? names : (ours) => (Object.hasOwn(names, ours) ? (names[ours] ?? ours) : ours);
}

/** The file's own prefix before all of the names; none where they are there as they are, or not at all. */
function byPrefix(
  wanted: readonly Wanted[],
  found: Readonly<Record<string, Tensor>>,
  notice: (text: string) => void,
): (ours: string) => string {
  const [first] = wanted;
  const plain = (ours: string) => ours;
  if (!first || Object.hasOwn(found, first.name)) return plain;
  const prefixes = Object.keys(found)
    .filter((name) => name.endsWith(`.${first.name}`))
    .map((name) => name.slice(0, name.length - first.name.length))
    .filter((prefix) => wanted.every(({ name }) => Object.hasOwn(found, prefix + name)));
  const known = prefixes.filter((prefix) => wrapper.test(prefix));
  const [prefix, ...others] = known.length === 1 ? known : prefixes;
  if (prefix === undefined) return plain;
  if (others.length > 0)
    throw new PushforwardError(
      "format",
      `the file has this network's tensors ${prefixes.length} times, behind ${prefixes.map((p) => `"${p}"`).join(" and ")}: say which with { tensors: (name) => "${prefix}" + name }`,
    );
  notice(`the file's tensors are called "${prefix}…": read without that`);
  return (ours) => prefix + ours;
}

/** A deeper network than the one that was asked for would lose its last layers in silence. */
function refuseFurtherLayers(
  wanted: readonly Wanted[],
  found: Readonly<Record<string, Tensor>>,
  theirs: (ours: string) => string,
): void {
  const taken = new Set(wanted.map(({ name }) => theirs(name)));
  const layer = (name: string) => name.replace(/\d+(?=\.(weight|bias)$)/, "#");
  const kinds = new Set([...taken].map(layer));
  const further = Object.keys(found).find((name) => !taken.has(name) && kinds.has(layer(name)));
  if (further === undefined) return;
  throw new PushforwardError(
    "format",
    `the file also has the tensor "${further}", so its network has more layers than this one, whose tensors are ${list([...taken])}: pass the velocity that the weights belong to`,
  );
}

function missing(
  ours: string,
  theirs: string,
  wanted: readonly Wanted[],
  found: Readonly<Record<string, Tensor>>,
): PushforwardError {
  const names = Object.keys(found);
  const guess = bySize(wanted, found);
  const way = guess
    ? `if these are the same layers in the same order, pass { tensors: ${JSON.stringify(guess)} }`
    : `pass { tensors: { "${ours}": "…", … } }, which says for each of this network's tensors (${list(
        wanted.map(({ name, shape }) => `${name} [${shape.join(", ")}]`),
      )}) what the file calls it`;
  return new PushforwardError(
    "format",
    `the file has no tensor "${theirs}"${hint(theirs, names, ".")} It has ${
      names.length === 0 ? "none" : list(names.map((name) => `${name} [${found[name]?.shape.join(", ")}]`))
    }. To load it, ${way}`,
  );
}

/** A map by order and shape, where the file has just as many tensors of these shapes. */
function bySize(
  wanted: readonly Wanted[],
  found: Readonly<Record<string, Tensor>>,
): Record<string, string> | undefined {
  const names = Object.keys(found).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const result: Record<string, string> = {};
  const left = [...names];
  for (const { name, shape } of wanted) {
    const at = left.findIndex((other) => fits(shape, must(found[other], other).shape));
    const [other] = at < 0 ? [] : left.splice(at, 1);
    if (other === undefined) return undefined;
    result[name] = other;
  }
  return left.length === 0 ? result : undefined;
}

/** Some of many names: a file may have thousands. */
function list(names: readonly string[]): string {
  return names.length <= 12 ? names.join(", ") : `${names.slice(0, 12).join(", ")} and ${names.length - 12} more`;
}
