import { waitingSpins } from "#provider";
import type { Session } from "../gpu/session.ts";
import { DeviceQueue } from "./queue.ts";
import { SleepingQueue } from "./sleeping-queue.ts";

const queues = new WeakMap<GPUDevice, DeviceQueue>();

/** The queue that all calls on a device share. */
export function queueOf(session: Session): DeviceQueue {
  let queue = queues.get(session.device);
  if (!queue) {
    queue = waitingSpins ? new SleepingQueue(session) : new DeviceQueue(session);
    queues.set(session.device, queue);
  }
  return queue;
}
