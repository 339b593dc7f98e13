import type { Copy, ImageFacts } from "./copies";
import { allOf, bytesBefore, type Extent } from "../holes/extents";
import type { Feed, Resolved } from "./feeds";
import type { Helper } from "../helper/helper";
import type { HoleMap } from "../holes/holeMap";

/** The map of the image that one copy brings: learned from its first source, put into each of its helpers (ADR 0054). */
export class KnownHoles {
  isWritten = false;
  private told: Promise<readonly Extent[] | undefined> = Promise.resolve(undefined);
  private written = Promise.resolve(false);

  /** @param volume absent: this copy can have no map */
  constructor(private readonly copy: Copy, private readonly volume: Pick<HoleMap, "write" | "attach"> | undefined) {}

  /** Told on to whoever reads from this copy. Never throws: without a map a copy asks its source for each stretch, slower, as right. */
  learn(from: Resolved, opening: Promise<Feed>): void {
    this.told = askExtents(from, opening).then((extents) => {
      this.copy.extents.pass(extents);
      return extents;
    });
    const { volume } = this;
    this.written = volume ? this.told.then((extents) => extents !== undefined && volume.write(extents).then(() => true, () => false)) : Promise.resolve(false);
    void this.written.then(() => { this.isWritten = true; });
  }

  /** When it is written. Never throws. @returns where the data is; undefined: nobody says, or this helper has no map */
  async attach(helper: Helper): Promise<readonly Extent[] | undefined> {
    const isAttached = await this.written && await this.volume!.attach(helper).then(() => true, () => false);
    return isAttached ? await this.told : undefined;
  }

  /** What is allocated of what copies of it hold in the end: less than 1 where holes arrive as zeros. */
  async allocatedShare({ capacityBytes, allocationBytes }: ImageFacts): Promise<number> {
    const extents = await this.told;
    return extents ? Math.min(1, allocationBytes / Math.max(1, bytesBefore(extents, capacityBytes))) : 1;
  }
}

/** From a relay as soon as it knows, before it can be read; undefined when nobody says. */
async function askExtents(from: Resolved, opening: Promise<Feed>): Promise<readonly Extent[] | undefined> {
  try {
    if (from.kind === "arriving") return await from.copy.extents.wait();
    if (from.source.scanSeconds === 0) return allOf(from.source);
    return await (await opening).extents();
  } catch {
    return undefined;
  }
}
