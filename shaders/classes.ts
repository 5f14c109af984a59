import { components, type Tiling } from "./tiling.ts";
import { lines } from "./wgsl.ts";

/** Text of a value of the context: `text`, but 0 in the null field of a network without classes, which is the one without its context. */
export function givenContext(text: string, vector: string, classes: number): string {
  return classes > 0 ? text : `select(${text}, ${vector}(0.0), branch == 0u && pf_params.null_first != 0u)`;
}

/** Text that declares class_{g}, the class of each particle in a branch; the null class is behind the others. Without labels all have that one. */
export function classesText(classes: number, labels: boolean, tiling: Tiling): string {
  if (classes === 0) return "";
  const lanes = components.slice(0, tiling.lanes).map((_, l) => l);
  return lines(tiling.groups, (g) => {
    const of = (l: number) =>
      labels
        ? `select(min(pf_labels[at${g} * ${tiling.lanes}u + ${l}u], ${classes}u), ${classes}u, branch == 0u && pf_params.null_first != 0u)`
        : `${classes}u`;
    const each = lanes.map(of);
    return `let class_${g} = ${tiling.lanes === 1 ? each[0] : `vec${tiling.lanes}u(${each.join(", ")})`};`;
  });
}
