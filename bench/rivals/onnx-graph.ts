import { onnx } from "onnx-proto";

const floats = onnx.TensorProto.DataType.FLOAT;

/** The name of a value in the graph. */
export type Value = string;

/** Collects the nodes and constants of an ONNX graph of f32 tensors and writes them as the bytes of a model file. */
export class GraphBuilder {
  readonly #nodes: onnx.INodeProto[] = [];
  readonly #constants: onnx.ITensorProto[] = [];

  constant(values: Float32Array, dims: readonly number[]): Value {
    const name = `c${this.#constants.length}`;
    const rawData = new Uint8Array(values.slice().buffer);
    this.#constants.push({ name, dims: [...dims], dataType: floats, rawData });
    return name;
  }

  /** Adds a node with one output; `alpha` is the only attribute that our operators have. */
  node(opType: string, input: readonly Value[], options: { domain?: string; alpha?: number } = {}): Value {
    const name = `v${this.#nodes.length}`;
    const { domain = "", alpha } = options;
    const type = onnx.AttributeProto.AttributeType.FLOAT;
    const attribute = alpha === undefined ? [] : [{ name: "alpha", type, f: alpha }];
    this.#nodes.push({ name, opType, domain, input: [...input], output: [name], attribute });
    return name;
  }

  /** The model with the input "x" and the output "y", both `[rows, columns]`. */
  write(result: Value, rows: number, columns: number): Uint8Array {
    const shape = { dim: [{ dimValue: rows }, { dimValue: columns }] };
    const describe = (name: string) => ({ name, type: { tensorType: { elemType: floats, shape } } });
    // The node that makes the result gives it its final name: no copy at the end.
    const nodes = this.#nodes.map((node) => (node.name === result ? { ...node, output: ["y"] } : node));
    const model = onnx.ModelProto.create({
      irVersion: 8,
      opsetImport: [
        { domain: "", version: 15 },
        { domain: "com.microsoft", version: 1 },
      ],
      graph: {
        name: "velocity",
        node: nodes,
        initializer: this.#constants,
        input: [describe("x")],
        output: [describe("y")],
      },
    });
    return onnx.ModelProto.encode(model).finish();
  }
}
