/**
 * What a guest reads while it boots over an image that arrives (ADR 0055), told apart from what the copy brings: the
 * guest's export stands on an overlay of its own, with a copy-on-read filter over it, and the overlay's tables tell what
 * came through. Its file is known to libvirt as a raw one, in a drive of the helper: so its tables can be peeked at.
 */
import type { Clock } from "../../../async/clock";
import { within } from "../../../async/within";
import { allocatedIn } from "../holes/allocated";
import { DriveVolume, removeNode } from "../helper/driveVolume";
import type { Extent } from "../holes/extents";
import type { Helper } from "../helper/helper";
import type { VolumeScope } from "../volumes/names";
import type { NbdExport } from "../helper/nodes";
import type { HostSession } from "../connection/session";

const RECORD_NODE = "vmfleet-record";
const RECORD_FILTER_NODE = "vmfleet-recorded";
/** A hint is not worth a longer wait. */
const FINISH_DEADLINE_MS = 5_000;

export class Recorder {
  /** Known when it has finished; undefined: nothing was recorded, or it could not be told. */
  ranges: Extent[] | undefined;
  private on: { helper: Helper; at: NbdExport } | undefined;
  private asked = false;
  private spoilt = false;
  private finishing: Promise<void> | undefined;

  private constructor(readonly volume: DriveVolume, private readonly capacityBytes: number, private readonly clock: Clock) {}

  /** Undefined: a machine that has no drive for it, or a pool without room. Never throws: copies do without. */
  static async prepare(session: HostSession, scope: VolumeScope, capacityBytes: number, arch: string): Promise<Recorder | undefined> {
    const volume = await DriveVolume.make(session, scope, { bytes: capacityBytes, format: "qcow2", arch, drive: "floppy", readOnly: false });
    return volume && new Recorder(volume, capacityBytes, session.clock);
  }

  /** Opens the one export whose reads are recorded. Undefined: there was one, or there can be none. Never throws. */
  async export(helper: Helper, overNode: string): Promise<NbdExport | undefined> {
    if (this.asked) return undefined;
    this.asked = true;
    try {
      const node = await this.volume.takeOut(helper);
      await helper.qmp("blockdev-add", { driver: "qcow2", "node-name": RECORD_NODE, file: node, backing: overNode, "lazy-refcounts": true });
      await helper.qmp("blockdev-add", { driver: "copy-on-read", "node-name": RECORD_FILTER_NODE, file: RECORD_NODE });
      const at = await helper.exportNode(RECORD_FILTER_NODE);
      this.on = { helper, at };
      return at;
    } catch {
      return undefined;
    }
  }

  /** Cuts off whoever still reads through it, and looks at what was read. Never throws; takes seconds at most. */
  finish(): Promise<void> {
    return this.finishing ??= within(this.clock, FINISH_DEADLINE_MS, this.look().catch(() => undefined));
  }

  /** What it would tell is not worth keeping: the guest was held up. */
  spoil(): void {
    this.spoilt = true;
  }

  private async look(): Promise<void> {
    this.asked = true;
    if (!this.on) return;
    const { helper, at } = this.on;
    await helper.unexport(at);
    for (const node of [RECORD_FILTER_NODE, RECORD_NODE]) await removeNode(helper, node); // and so written out
    if (this.spoilt) return;
    // Where the image's holes are known nobody has to fetch zeros.
    this.ranges = await allocatedIn(this.volume.reader(helper), this.capacityBytes, !helper.mapped);
  }
}
