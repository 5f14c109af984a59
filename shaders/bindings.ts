import type { Access } from "./kernel.ts";

/** Numbers the bindings of a kernel in the order in which they are declared. */
export class Bindings {
  readonly accesses: Access[] = [];
  readonly #text: string[] = [];

  /** Declares a binding and returns its number. */
  next(access: Access): number {
    this.accesses.push(access);
    return this.accesses.length - 1;
  }

  /** Declares a whole binding with its WGSL text. */
  add(access: Access, name: string, type: string): void {
    const space = { params: "uniform", uniform: "uniform", read: "storage, read", write: "storage, read_write" }[
      access
    ];
    this.#text.push(`@group(0) @binding(${this.next(access)}) var<${space}> ${name}: ${type};`);
  }

  get text(): string {
    return this.#text.join("\n");
  }
}
