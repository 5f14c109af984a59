/** Other formats that weights come in, by their first bytes, and the way from each. */
const formats: readonly { readonly name: string; readonly magic: readonly number[]; readonly way: string }[] = [
  {
    name: "a zip archive, as torch.save and numpy.savez write",
    magic: [0x50, 0x4b, 0x03, 0x04],
    way: 'load it in Python and write it with safetensors.torch.save_file(model.state_dict(), "flow.safetensors")',
  },
  {
    name: "a Python pickle, as old versions of torch.save write",
    magic: [0x80],
    way: 'load it in Python and write it with safetensors.torch.save_file(model.state_dict(), "flow.safetensors")',
  },
  {
    name: "a NumPy array",
    magic: [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59],
    way: 'write the arrays by their names with safetensors.numpy.save_file({ … }, "flow.safetensors")',
  },
  {
    name: "HDF5, as Keras writes",
    magic: [0x89, 0x48, 0x44, 0x46],
    way: 'write the arrays by their names with safetensors.numpy.save_file({ … }, "flow.safetensors")',
  },
  { name: "GGUF", magic: [0x47, 0x47, 0x55, 0x46], way: "convert it to safetensors" },
  { name: "compressed by gzip", magic: [0x1f, 0x8b], way: "unpack it first" },
  {
    name: "JSON, perhaps the index of a file in parts",
    magic: [0x7b],
    way: "pass the bytes of a .safetensors file; join parts with decodeSafetensors and encodeSafetensors",
  },
  { name: "a web page", magic: [0x3c], way: "check the address that it was fetched from" },
];

/** What the bytes are if they are not safetensors, and what to do, in words; undefined when nothing is known of them. */
export function describeForeign(bytes: Uint8Array): string | undefined {
  const format = formats.find(({ magic }) => magic.every((byte, i) => bytes[i] === byte));
  return format && `it is ${format.name}: ${format.way}`;
}
