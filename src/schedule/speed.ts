import type { DeviceProfile, Session } from "../gpu/session.ts";

/** Floating-point operations per second that work of one kind reaches on one device, kept up to date as it runs. */
export interface Speed {
  flops: number;
  /** Whether it has been measured: a guess is not slept by. */
  isMeasured: boolean;
}

const known = new WeakMap<DeviceProfile, Map<string, Speed>>();

/**
 * The speed of a family of kernels, by a name that its work shares (field, divergence, precision). Families differ by an order of
 * magnitude, since operations are estimated and some kernels wait for memory. A new one starts as slow as the slowest known.
 */
export function speedOf(session: Session, family: string): Speed {
  let families = known.get(session.profile);
  if (!families) {
    families = new Map();
    known.set(session.profile, families);
  }
  let speed = families.get(family);
  if (!speed) {
    const others = [...families.values()].map(({ flops }) => flops);
    speed = { flops: Math.min(...others, session.profile.speed), isMeasured: false };
    families.set(family, speed);
  }
  return speed;
}
