import type * as pf from "pushforward";

/** What adapters say that have the matrices of our kernels. */
const config = { M: 16, N: 16, K: 16, componentType: "f16", resultComponentType: "f32" };

/**
 * A device without subgroup matrices that computes kernels with them, as loops: a load becomes its place, a product a sum over its
 * inputs by the invocations of a column of particles, eight elements each, and a store what they write. All else of a kernel's text is as it is:
 * what is packed where, which rows and particles a product takes, and what follows from its sums.
 */
export function withMatrices(gpu: pf.Gpu): { readonly kernels: () => number } {
  let kernels = 0;
  const { device } = gpu;
  const make = device.createShaderModule.bind(device);
  device.createShaderModule = (module) => {
    if (!module.code.includes("subgroup_matrix")) return make(module);
    kernels++;
    return make({ ...module, code: asLoops(module.code) });
  };
  const features = [...gpu.info.features, "chromium-experimental-subgroup-matrix"];
  Object.assign(gpu.info, { features, subgroupMatrixConfigs: [config] });
  return { kernels: () => kernels };
}

const forElements = (text: string) => `for (var e = 0u; e < 8u; e++) {
let m = (q + 32u * e) / 16u;
let n = (q + 32u * e) % 16u;
${text}
}`;

function asLoops(code: string): string {
  /** The matrices that are held, by name: what they are loaded from, and the numbers between their columns. */
  const held = new Map<string, { from: string; stride: string }>();
  const lines = code.split("\n").map((line) => {
    if (line.includes("chromium_experimental_subgroup_matrix") || line.includes("@builtin(subgroup_id)")) return "";
    if (line === "let jb = pf_subgroup;") return "let jb = pf_local / 32u;";
    const load = /^let (\w+) = subgroupMatrixLoad<.*_right<.*, col_major>\(&([\w.]+), (.*), (\d+u)\);$/.exec(line);
    if (load) {
      const [, name = "", from = "", offset, stride = ""] = load;
      held.set(name, { from, stride });
      return `let ${name} = ${offset};`;
    }
    if (line.startsWith("var sum = subgroup_matrix_result")) return "var sum = array<f32, 8>();";
    const product = /^sum = .*_left<.*, row_major>\(&(\w+), (\d+u), (\d+u)\), (\w+), sum\);$/.exec(line);
    if (product) {
      const [, rows, offset, stride, name = ""] = product;
      const weights = held.get(name);
      return forElements(`for (var i = 0u; i < 16u; i++) {
sum[e] += f32(${rows}[${offset} + m * ${stride} + i]) * f32(${weights?.from}[${name} + n * ${weights?.stride} + i]);
}`);
    }
    const store = /^subgroupMatrixStore<col_major>\(&(\w+), (.*), sum, (\d+u)\);$/.exec(line);
    if (store) return forElements(`${store[1]}[${store[2]} + n * ${store[3]} + m] = sum[e];`);
    if (/subgroupMatrix|subgroup_matrix/.test(line))
      throw new Error(`a use of matrices that is not known here: ${line}`);
    return line;
  });
  return lines.join("\n");
}
