// What a browser loads when a training has failed, to say why, and for the mixture of Gaussians that a flow may begin from.
export { mixtureOfRows } from "./fit-mixture.ts";
export { lostLoss } from "./lost-loss.ts";
export { noRoomForBatch, noRoomForRows } from "./no-room.ts";
