/** In hexadecimal digits. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  // memory that is shared with a worker has to be copied for this
  const own = bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", own));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
