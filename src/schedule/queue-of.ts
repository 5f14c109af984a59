import { waitingSpins } from "#provider";
import type { Session } from "../gpu/session.ts";
import { DeviceQueue } from "./queue.ts";
import { SleepingQueue } from "./sleeping-queue.ts";

const queues = new WeakMap<GPUDevice, DeviceQueue>();

/**
 * Whether a device computes with the cores that wait for it. Where asking costs one (`waitingSpins`), it is left alone until it should be
 * done. That constant stands before each use of this function: what is behind it is then no part of a page's bundle.
 */
export const sharesCores = ({ profile }: Session) => profile.info.software;

/** The queue that all calls on a device share. */
export function queueOf(session: Session): DeviceQueue {
  let queue = queues.get(session.device);
  if (!queue) {
    queue = waitingSpins && sharesCores(session) ? new SleepingQueue(session) : new DeviceQueue(session);
    queues.set(session.device, queue);
  }
  return queue;
}
