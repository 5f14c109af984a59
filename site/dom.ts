/** The element with an id, of the kind that it must be. */
export function byId<T extends Element>(id: string, kind: { new (): T; prototype: T }): T {
  const element = document.getElementById(id) as unknown;
  if (element instanceof kind) return element;
  throw new Error(`the page has no ${kind.name} "${id}"`);
}

export const button = (id: string) => byId(id, HTMLButtonElement);
export const input = (id: string) => byId(id, HTMLInputElement);
export const select = (id: string) => byId(id, HTMLSelectElement);
export const html = (id: string) => byId(id, HTMLElement);

/** Lets the page paint and hear its visitor before more work is done. */
export const breath = () => new Promise<void>((resolve) => setTimeout(resolve));

/** Sets a canvas to the pixels that it covers, at most `most` a side; true where that was news. */
export function fitToPixels(canvas: HTMLCanvasElement, most: number): boolean {
  const side = Math.max(1, Math.min(most, Math.round(canvas.clientWidth * devicePixelRatio)));
  if (canvas.width === side && canvas.height === side) return false;
  canvas.width = side;
  canvas.height = side;
  return true;
}
