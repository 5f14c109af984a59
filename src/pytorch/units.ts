import type { Normalization } from "../data/normalization.ts";
import { type AxisTransform, sizeOf, type Transform } from "../data/transform.ts";
import { item } from "../must.ts";
import { turn } from "../network/circle.ts";
import { pythonList, pythonNumber } from "../network/operations/pytorch.ts";

type Kind = NonNullable<AxisTransform>["kind"];

/** What src/data/spaces.ts has as numbers: the text of columns x of the data from those y of all of R, and that of y from x. */
const spaces: {
  readonly [K in Kind]: (x: string, y: string, one: Extract<AxisTransform, { kind: K }>) => [x: string, y: string];
} = {
  interval(x, y, one) {
    const [low, high] = [pythonNumber(one.low), pythonNumber(one.high)];
    return [`${low} + (${high} - ${low}) * torch.sigmoid(${y})`, `torch.log((${x} - ${low}) / (${high} - ${x}))`];
  },
  positive: (x, y) => [`torch.exp(${y})`, `torch.log(${x})`],
  simplex: (x, y) => [
    `torch.softmax(F.pad(${y}, (0, 1)), 1)[:, :-1]`,
    `torch.log(${x} / (1 - ${x}.sum(1, keepdim=True)))`,
  ],
  latitude: (x, y) => [
    `torch.rad2deg(torch.atan(torch.sinh(${y} / 2)))`,
    `2 * torch.asinh(torch.tan(torch.deg2rad(${x})))`,
  ],
  circular(x, y, one) {
    const [low, period] = [pythonNumber(one.low ?? 0), pythonNumber(one.period)];
    const turns = (of: string) => `torch.remainder(${of}, 1)`;
    return [
      `${low} + ${period} * ${turns(`${y} / ${turn} + 0.5`)}`,
      `${turn} * (${turns(`(${x} - ${low}) / ${period}`)} - 0.5)`,
    ];
  },
};

/** The functions between the flow's own space and data units, of which a transform comes first behind the data. */
export function unitTexts(
  dim: number,
  normalization: Normalization | undefined,
  transform: Transform = Array<null>(dim).fill(null),
): string[] {
  const { mean, scale } = normalization ?? { mean: Array<number>(dim).fill(0), scale: Array<number>(dim).fill(1) };
  let next = 0;
  const both = transform.map((one) => {
    const from = next;
    next += sizeOf(one);
    const [x, y] = [`x[:, ${from}:${next}]`, `y[:, ${from}:${next}]`];
    if (one === null) return [y, x];
    return (spaces[one.kind] as (x: string, y: string, one: AxisTransform) => [string, string])(x, y, one);
  });
  const parts = (k: 0 | 1) => both.map((pair) => `        ${item(pair, k)},`);
  const isPlain = transform.every((one) => one === null);
  return [
    "",
    `MEAN = ${pythonList(mean)}`,
    `SCALE = ${pythonList(scale)}`,
    "",
    "",
    "def to_data(x):",
    '    """From the flow\'s own space to data units."""',
    "    y = x.new_tensor(MEAN) + x.new_tensor(SCALE) * x",
    ...(isPlain ? ["    return y"] : ["    return torch.cat([", ...parts(0), "    ], 1)"]),
    "",
    "",
    "def from_data(x):",
    '    """From data units to the flow\'s own space."""',
    ...(isPlain ? ["    y = x"] : ["    y = torch.cat([", ...parts(1), "    ], 1)"]),
    "    return (y - x.new_tensor(MEAN)) / x.new_tensor(SCALE)",
  ];
}

/** The function from a context as it stands in the data to that which the network takes. */
export function contextTexts({ mean, scale }: Normalization): string[] {
  return [
    "",
    "",
    "def context_from_data(c):",
    '    """From the units of the data to those of the network."""',
    `    return (c - c.new_tensor(${pythonList(mean)})) / c.new_tensor(${pythonList(scale)})`,
  ];
}
