/** Bytes of the largest buffer that a kernel can read or write on a device: the adapter's own limit where the device was opened by us. */
export function largestBinding({ maxBufferSize, maxStorageBufferBindingSize }: GPUSupportedLimits): number {
  return Math.min(maxBufferSize, maxStorageBufferBindingSize);
}
