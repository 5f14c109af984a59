import { readable } from "../arrays.ts";
import { invalid } from "../errors.ts";
import type { Conditions } from "../ode/engine.ts";
import { show } from "../options.ts";
import type { CallOptions } from "./options.ts";
import { checkAllFinite, isBuffer, rowCount } from "./rows.ts";

/**
 * Checks labels, context and guidance against the field and the number of particles. Where they may be `shared`, an array of a single label
 * or of a single row of context is that of all particles; it stays as short, and each chunk repeats it.
 */
export function checkConditions(
  what: string,
  o: CallOptions,
  n: number,
  field: { classes: number; context: number },
  isShared = false,
): Conditions {
  const fits = (length: number, width: number) => length === n * width || (isShared && length === width);
  const labels = readable(`${what}: labels`, o.labels);
  const context = readable(`${what}: context`, o.context);
  const { guidance = 1 } = o;
  if (labels !== undefined) {
    if (field.classes === 0)
      throw invalid(`${what}: labels were given, but this velocity has no classes: make it with mlp({ classes: … })`);
    const isArray = labels instanceof Uint32Array;
    if (isBuffer(labels)) rowCount(what, "labels", labels, 1, n);
    else if (!isArray || !fits(labels.length, 1)) {
      throw invalid(
        `${what}: labels is ${show(labels)}, but ${n} particles need a Uint32Array of ${n}${isShared ? ", or of one label for all" : ""}`,
      );
    }
    const bad = isArray ? labels.findIndex((label) => label >= field.classes && label !== 0xffffffff) : -1;
    if (isArray && bad >= 0)
      throw invalid(
        `${what}: labels[${bad}] is ${labels[bad]}, but there are ${field.classes} classes, 0 to ${field.classes - 1} (4294967295 is the null class)`,
      );
  } else if (o.guidance !== undefined && guidance !== 0 && (field.classes > 0 || field.context === 0)) {
    throw invalid(`${what}: guidance is ${guidance}, but there are no labels to guide towards: pass labels too`);
  }
  if (field.context > 0) {
    if (isBuffer(context)) rowCount(what, "context", context, field.context, n);
    else if (!(context instanceof Float32Array) || !fits(context.length, field.context)) {
      throw invalid(
        `${what}: context is ${show(context)}, but ${n} particles with ${field.context} context inputs need a Float32Array of ${n * field.context}${isShared ? `, or of ${field.context} for all alike` : ""}`,
      );
    } else checkAllFinite(what, "context", context, field.context);
  } else if (context !== undefined) {
    throw invalid(
      `${what}: context was given, but this velocity has no context inputs: make it with mlp({ context: … })`,
    );
  }
  return { labels, context, guidance };
}

/**
 * Throws where a network with classes would be trained without labels: the weights of its classes would stay as they were drawn.
 */
export function checkLabelled(what: string, labels: unknown, { classes }: { classes: number }): void {
  if (classes === 0 || labels !== undefined) return;
  throw invalid(
    `${what}: labels are missing, but this network has ${classes} classes, whose weights would learn nothing: pass labels, a Uint32Array with the class of each row (4294967295 for a row of none), or make the network without classes`,
  );
}

/** Conditions of which none is on the device. */
export interface HostConditions extends Conditions {
  readonly labels?: Uint32Array | undefined;
  readonly context?: Float32Array | undefined;
}

/** Throws where labels or context are on the device although the call takes arrays. */
export function onHost(what: string, conditions: Conditions): HostConditions {
  for (const name of ["labels", "context"] as const) {
    if (isBuffer(conditions[name]))
      throw invalid(`${what}: ${name} is a GPUBuffer, but this call takes it from the host: pass an array`);
  }
  return conditions as HostConditions;
}
