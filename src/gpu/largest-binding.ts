/** Bytes of the largest buffer that a kernel can read or write on a device: the adapter's own limit where the device was opened by us. */
export function largestBinding({ maxBufferSize, maxStorageBufferBindingSize }: GPUSupportedLimits): number {
  return Math.min(maxBufferSize, maxStorageBufferBindingSize);
}

/** "128 MiB": bytes as people read them. */
export function mebibytes(bytes: number): string {
  const value = bytes / 2 ** 20;
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString("en-US")} MiB`;
}
