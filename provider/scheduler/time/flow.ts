/** One copy under way as the time model sees it. */
import type { CopyCost } from "./timeModel";

export interface Flow<T> {
  readonly tag: T;
  readonly sourceHost: number;
  readonly targetHost: number;
  readonly startSeconds: number;
  readonly cost: CopyCost;
  /** Total order of flows that end together. */
  readonly order: number;
}

export interface FlowOptions<T> {
  /** Ends (and fails) with this part of the image. @default 1 */
  part?: number;
  /** The copy under way that it reads from. @default none: the source is whole */
  upstream?: Flow<T>;
  /** Part of the image that is there already. @default 0 */
  arrived?: number;
  /** @default as the time model says */
  startupSeconds?: number;
}

/**
 * starting: before its first byte, or waiting for its relay's. serving: all there, readers are not done.
 * paused: lost its source.
 */
export type Phase = "starting" | "moving" | "serving" | "paused" | "over";

export interface LiveFlow<T> extends Flow<T> {
  sourceHost: number;
  cost: CopyCost;
  part: number;
  phase: Phase;
  upstream: LiveFlow<T> | undefined;
  /** Made when there is one. */
  readers: Set<LiveFlow<T>> | undefined;
  /** Start-up is over then. */
  readySeconds: number;
  /** Moved its first byte then. */
  movedSeconds: number | undefined;
  bytesArrived: number;
  /** `bytesArrived` is as of then. */
  asOfSeconds: number;
  bytesPerSecond: number;
  /** Has all that its upstream has. */
  caughtUp: boolean;
  /** Its next event: begins to move, has caught up, or has all its bytes. */
  dueSeconds: number;
  dueIsEnd: boolean;
  /** Outdates entries of the queue. */
  version: number;
  /** While rates are computed: position among the affected. */
  mark: number;
  position: number;
  /** The part that was there when it was ended early. */
  stoppedAt?: number;
}

/** A reader can catch up with it. */
export function hasMoreToCome<T>(flow: LiveFlow<T>): boolean {
  return flow.phase !== "serving" && !(flow.phase === "over" && flow.stoppedAt === undefined);
}

/** The copy that it reads from and can catch up with; none: its source is whole, or as good as that. */
export function relayOf<T>({ upstream }: LiveFlow<T>): LiveFlow<T> | undefined {
  return upstream && hasMoreToCome(upstream) ? upstream : undefined;
}

export function arrivedAt<T>(flow: LiveFlow<T>, nowSeconds: number): number {
  return Math.min(flow.cost.bytes, flow.bytesArrived + (nowSeconds - flow.asOfSeconds) * flow.bytesPerSecond);
}

/** Counts what has arrived by now, at the rate it has had until now. */
export function countArrived<T>(flow: LiveFlow<T>, nowSeconds: number): void {
  flow.bytesArrived = arrivedAt(flow, nowSeconds);
  flow.asOfSeconds = nowSeconds;
}
