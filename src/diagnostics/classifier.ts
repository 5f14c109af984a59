import { item } from "../must.ts";
import { type Key, normals, philox, randomIndex, streams } from "../random/philox.ts";

/** What is learned by: a network of two hidden layers on the host, as in sbi's and sbibm's C2ST (there scikit-learn's MLPClassifier). */
interface ClassifierSettings {
  /** Units of each of the two hidden layers. */
  readonly width: number;
  /** Passes over the rows at most; they end when ten in a row have not lowered the loss by 1e-4. */
  readonly epochs: number;
}

const batchSize = 200;
/** Ten times scikit-learn's, which takes several times the passes to find as much. */
const learningRate = 1e-2;
const weightDecay = 1e-4;
const patience = 10;
const tolerance = 1e-4;

interface Layer {
  readonly inputs: number;
  readonly outputs: number;
  /** [inputs, outputs], and a last row of biases. */
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** The order of `count` rows in pass `pass`, by the seed alone (Fisher–Yates). */
export function shuffled(count: number, key: Key, pass: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const words = new Uint32Array(4);
  for (let i = count - 1; i > 0; i--) {
    philox(i, pass, 0, streams.classifier, key, words);
    const j = randomIndex(item(words, 0), i + 1);
    const moved = order[i] as number;
    order[i] = order[j] as number;
    order[j] = moved;
  }
  return order;
}

/**
 * A classifier of rows in two classes: |x| → width → width → 1 with ReLU, trained by Adam on the cross-entropy with a little weight decay,
 * in batches of 200.
 */
export class Classifier {
  readonly #layers: readonly Layer[];
  #steps = 0;

  /** @param which of the networks of this seed it is */
  constructor(
    dim: number,
    readonly settings: ClassifierSettings,
    readonly key: Key,
    readonly which: number,
  ) {
    const { width } = settings;
    const sizes = [dim, width, width, 1];
    this.#layers = sizes.slice(1).map((outputs, l) => {
      const inputs = item(sizes, l);
      const length = (inputs + 1) * outputs;
      // He et al. 2015; the biases are 0
      const scale = Math.sqrt(2 / inputs);
      const drawn = normals(key, streams.classifier, 2 ** 32 * (which + 1) + l, 1, inputs * outputs, 1);
      const weights = new Float32Array(length);
      for (let k = 0; k < drawn.length; k++) weights[k] = scale * (drawn[k] as number);
      const zeros = () => new Float32Array(length);
      return { inputs, outputs, weights, gradient: zeros(), first: zeros(), second: zeros() };
    });
  }

  /**
   * Learns labels, 0 or 1, of rows [n, dim]; `rest` is awaited after each pass.
   */
  async train(rows: Float32Array, labels: Uint8Array, rest: () => Promise<void>): Promise<void> {
    const n = labels.length;
    const dim = rows.length / n;
    let [best, waited] = [Infinity, 0];
    for (let pass = 0; pass < this.settings.epochs && waited < patience; pass++) {
      const order = shuffled(n, this.key, (this.which + 1) * 65536 + pass);
      let loss = 0;
      for (let start = 0; start < n; start += batchSize) {
        const taken = order.subarray(start, start + batchSize);
        const x = new Float32Array(taken.length * dim);
        for (let i = 0; i < taken.length; i++)
          x.set(rows.subarray((taken[i] as number) * dim, ((taken[i] as number) + 1) * dim), i * dim);
        loss += this.#step(x, taken, labels);
      }
      waited = loss / n > best - tolerance ? waited + 1 : 0;
      best = Math.min(best, loss / n);
      await rest();
    }
  }

  /** The logit of class 1 of each row. */
  logits(rows: Float32Array): Float32Array {
    const values = this.#forward(rows);
    return item(values, values.length - 1);
  }

  /** The values behind each layer, the rows first. */
  #forward(rows: Float32Array): Float32Array[] {
    const values = [rows];
    for (const [l, layer] of this.#layers.entries()) values.push(product(item(values, l), layer, l < 2));
    return values;
  }

  /** One step of Adam; gives the sum of the losses of the batch. */
  #step(x: Float32Array, taken: Uint32Array, labels: Uint8Array): number {
    const values = this.#forward(x);
    const logits = item(values, this.#layers.length);
    const n = taken.length;
    let loss = 0;
    let cotangent = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const logit = logits[i] as number;
      const label = labels[taken[i] as number] as number;
      // log(1 + e^z) − label·z, which does not overflow so
      loss += Math.max(logit, 0) + Math.log1p(Math.exp(-Math.abs(logit))) - label * logit;
      cotangent[i] = (1 / (1 + Math.exp(-logit)) - label) / n;
    }
    for (let l = this.#layers.length - 1; l >= 0; l--) {
      const layer = item(this.#layers, l);
      const before = item(values, l);
      weightGradient(before, cotangent, layer, n);
      if (l > 0) cotangent = backward(cotangent, layer, before);
    }
    this.#steps++;
    for (const layer of this.#layers) adam(layer, this.#steps);
    return loss;
  }
}

/** x·W + b, [n, outputs], and ReLU of it for hidden layers. */
function product(x: Float32Array, { inputs, outputs, weights }: Layer, isHidden: boolean): Float32Array {
  const n = x.length / inputs;
  const y = new Float32Array(n * outputs);
  for (let i = 0; i < n; i++) {
    const at = i * outputs;
    for (let j = 0; j < outputs; j++) y[at + j] = weights[inputs * outputs + j] as number;
    for (let k = 0; k < inputs; k++) {
      const factor = x[i * inputs + k] as number;
      if (factor === 0) continue;
      const row = k * outputs;
      for (let j = 0; j < outputs; j++) y[at + j] = (y[at + j] as number) + factor * (weights[row + j] as number);
    }
    if (isHidden) for (let j = 0; j < outputs; j++) if ((y[at + j] as number) < 0) y[at + j] = 0;
  }
  return y;
}

function weightGradient(x: Float32Array, cotangent: Float32Array, layer: Layer, n: number): void {
  const { inputs, outputs, gradient, weights } = layer;
  for (let k = 0; k < gradient.length; k++)
    gradient[k] = k < inputs * outputs ? (weightDecay / n) * (weights[k] as number) : 0;
  for (let i = 0; i < n; i++) {
    const at = i * outputs;
    for (let k = 0; k <= inputs; k++) {
      const factor = k < inputs ? (x[i * inputs + k] as number) : 1;
      if (factor === 0) continue;
      const row = k * outputs;
      for (let j = 0; j < outputs; j++)
        gradient[row + j] = (gradient[row + j] as number) + factor * (cotangent[at + j] as number);
    }
  }
}

/** The cotangent of a layer's inputs, which are values behind a ReLU: those that are 0 have none. */
function backward(
  cotangent: Float32Array,
  { inputs, outputs, weights }: Layer,
  values: Float32Array,
): Float32Array<ArrayBuffer> {
  const before = new Float32Array(values.length);
  for (let i = 0; i * inputs < values.length; i++) {
    for (let k = 0; k < inputs; k++) {
      if (values[i * inputs + k] === 0) continue;
      let sum = 0;
      for (let j = 0; j < outputs; j++)
        sum += (weights[k * outputs + j] as number) * (cotangent[i * outputs + j] as number);
      before[i * inputs + k] = sum;
    }
  }
  return before;
}

/** Kingma & Ba 2015. */
function adam({ weights, gradient, first, second }: Layer, step: number): void {
  const rate = (learningRate * Math.sqrt(1 - 0.999 ** step)) / (1 - 0.9 ** step);
  for (let k = 0; k < weights.length; k++) {
    const g = gradient[k] as number;
    const m = 0.9 * (first[k] as number) + 0.1 * g;
    const v = 0.999 * (second[k] as number) + 0.001 * g * g;
    first[k] = m;
    second[k] = v;
    weights[k] = (weights[k] as number) - (rate * m) / (Math.sqrt(v) + 1e-8);
  }
}
