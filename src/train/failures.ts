// What a browser loads when a training has failed, to say why.
export { lostLoss } from "./lost-loss.ts";
export { noRoomForBatch, noRoomForRows } from "./no-room.ts";
