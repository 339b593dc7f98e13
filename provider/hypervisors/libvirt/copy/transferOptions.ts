import type { Clock } from "../../../async/clock";
import type { CallContext, ImageRef } from "../../hypervisor";
import type { Copy, ImageFacts } from "./copies";
import type { Feed, Resolved } from "./feeds";
import type { Helper } from "../helper/helper";
import type { HoleMap } from "../holes/holeMap";
import type { Pacer } from "./rates";

export interface TransferOptions {
  copy: Copy;
  targetHost: string;
  pool: string;
  facts: ImageFacts;
  /** Allocated in the disk by what an earlier attempt fetched. Undefined: the disk is fresh. */
  arrivedBytes(): Promise<number | undefined>;
  /** The target's, asked after a read that failed: what was read is written at once. */
  isPoolFull(): Promise<boolean>;
  stallMs: number;
  clock: Clock;
  pacer: Pacer;
  /** Guests may read from it while it arrives: it keeps less under way, so that their reads wait less. */
  forGuests?: boolean;
  /** What a reference stands for at this moment: a copy still arriving, or a finished image. */
  resolve(ref: ImageRef): Promise<Resolved>;
  /**
   * A finished image of the same host stands under the disk from the start, opened by the helper itself. Called at once,
   * beside `openFeed`: whatever a helper needs is made meanwhile.
   */
  startHelper(over: Resolved | undefined): Promise<Helper>;
  openFeed(from: Resolved): Promise<Feed>;
  /** Where the image's map goes: a drive of the helper. */
  map?: Pick<HoleMap, "write" | "attach">;
  /** What is fetched before the rest, as a node in the helper. */
  first?: { bytes: number; attach(helper: Helper): Promise<string>; detach(helper: Helper): Promise<void> };
  context: CallContext;
}
