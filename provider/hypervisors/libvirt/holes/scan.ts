import { allocatedIn } from "./allocated";
import type { HelperDiskXml } from "../xml/domainXml";
import type { Extent } from "./extents";
import type { HostSession } from "../connection/session";
import type { Helper, HelperSettings } from "../helper/helper";
import { HoleMap } from "./holeMap";
import { cancelMirror, findMirror } from "../helper/mirror";

const JOB = "vmfleet-scan";
const ZEROS_NODE = "vmfleet-zeros";
const STATUS_NODE = "vmfleet-status";
const SINK_NODE = "vmfleet-scan-sink";
const MAP_NODE = "vmfleet-scan-map";
const POLL_MS = 10;
/** Beyond what sending the holes would take, copies do without; but never before this, and always after that. */
const MIN_DEADLINE_MS = 10_000;
const MAX_DEADLINE_MS = 2 * 60_000;
/** Of a map, to be read by way of the daemon. */
const MAX_MAP_BYTES = 32 << 20;

/** A finished image whose holes are looked for. */
export interface ScannedImage {
  session: HostSession;
  capacityBytes: number;
  /** How long its holes may be looked for. */
  scanSeconds: number;
}

/**
 * Which parts of a finished image hold data, in its exporter's helper, without reading them. Nothing in QMP prints
 * that, so it is written down by a job: a mirror from a quorum of a node of zeros and the image, whose reads go to the
 * zeros alone (`fifo`) and which is a hole only where both are, into a qcow2 whose data goes nowhere. What remains is
 * that file's tables.
 */
export class Scan {
  private constructor(private readonly map: HoleMap, private readonly deadlineMs: number) {}

  /** Undefined: an image that can have no map. Never throws: copies do without. */
  static async prepare(image: ScannedImage, settings: HelperSettings): Promise<Scan | undefined> {
    const { session, capacityBytes, scanSeconds } = image;
    try {
      const map = await HoleMap.make(session, { fleetId: settings.fleetId, hostUuid: await session.uuid() }, capacityBytes, settings.arch, "floppy");
      if (!map) return undefined;
      const scan = new Scan(map, Math.min(MAX_DEADLINE_MS, Math.max(MIN_DEADLINE_MS, 1000 * scanSeconds)));
      if (map.volume.bytes <= MAX_MAP_BYTES) {
        try {
          await map.write([]);
          return scan;
        } catch {
          // no room, most likely
        }
      }
      await map.volume.remove();
      return undefined;
    } catch {
      return undefined;
    }
  }

  /** In the helper: written to, so a floppy disk. */
  get disk(): HelperDiskXml {
    return this.map.volume.disk;
  }

  /** Undefined: it cannot be told, for want of a driver in this QEMU or in time; or the helper is gone, as its readers will notice. */
  async run(helper: Helper): Promise<readonly Extent[] | undefined> {
    const { capacityBytes: size } = this.map;
    try {
      const node = await this.map.volume.takeOut(helper);
      await helper.qmp("blockdev-add", { driver: "null-co", "node-name": ZEROS_NODE, size, "read-only": true, "read-zeroes": true });
      await helper.qmp("blockdev-add", {
        driver: "quorum", "node-name": STATUS_NODE, "read-only": true, "read-pattern": "fifo", "vote-threshold": 1,
        children: [ZEROS_NODE, await helper.topNode()],
      });
      await helper.qmp("blockdev-add", { driver: "null-co", "node-name": SINK_NODE, size, "read-zeroes": false });
      await helper.qmp("blockdev-add", { driver: "qcow2", "node-name": MAP_NODE, file: node, "data-file": SINK_NODE });
      await helper.qmp("blockdev-mirror", { "job-id": JOB, device: STATUS_NODE, target: MAP_NODE, sync: "full" });
      const whole = await this.ready(helper);
      await cancelMirror(helper, JOB);
      await helper.qmp("blockdev-del", { "node-name": MAP_NODE }); // and so written out
      return whole ? await allocatedIn(this.map.volume.reader(helper), size) : undefined;
    } catch {
      return undefined;
    }
  }

  private async ready(helper: Helper): Promise<boolean> {
    const end = helper.clock.nowMs() + this.deadlineMs;
    while (helper.clock.nowMs() < end) {
      const job = await findMirror(helper, JOB);
      if (!job) return false;
      if (job.ready) return true;
      await helper.clock.sleep(POLL_MS);
    }
    return false;
  }

  remove(): Promise<void> {
    return this.map.volume.remove();
  }
}
