// What a browser loads beside its first call: see recovery.ts.
export { isLoss, prepareAgain } from "./loss.ts";
