// The entry "pushforward/pytorch".
export { type Exported, type PyTorchOptions, toPyTorch } from "./module.ts";
export { type ReverseTimeOptions, reverseTime } from "./reverse-time.ts";
