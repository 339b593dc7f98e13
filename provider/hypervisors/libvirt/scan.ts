import { setTimeout as sleep } from "node:timers/promises";
import type { DiskXml } from "./domainXml";
import type { Extent } from "./extents";
import type { Source } from "./feeds";
import type { Helper, HelperSettings } from "./helper";
import { extentsIn } from "./mapImage";
import { MapVolume } from "./mapVolume";

const JOB = "vmfleet-scan";
const ZEROS_NODE = "vmfleet-zeros";
const STATUS_NODE = "vmfleet-status";
const SINK_NODE = "vmfleet-scan-sink";
const MAP_NODE = "vmfleet-scan-map";
const POLL_MS = 10;
/** Beyond it copies do without: an image that takes longer is large enough to make its holes the lesser part. */
const DEADLINE_MS = 10_000;
const CANCEL_DEADLINE_MS = 30_000;
/** libvirt hands out no more at once. */
const PEEK_BYTES = 4 << 20;
/** Of a map, to be read by way of the daemon. */
const MAX_MAP_BYTES = 32 << 20;

/**
 * Which parts of a finished image hold data, in its exporter's helper, without reading them. Nothing in QMP prints
 * that, so it is written down by a job: a mirror from a quorum of a node of zeros and the image, whose reads go to the
 * zeros alone (`fifo`) and which is a hole only where both are, into a qcow2 whose data goes nowhere. What remains is
 * that file's tables.
 */
export class Scan {
  private constructor(private readonly volume: MapVolume) {}

  /** Undefined: an image that can have no map. Never throws: copies do without. */
  static async prepare({ session, capacityBytes }: Source, settings: HelperSettings): Promise<Scan | undefined> {
    try {
      const volume = await MapVolume.make(session, { fleetId: settings.fleetId, hostUuid: await session.uuid() }, capacityBytes, settings.arch, "floppy");
      if (!volume) return undefined;
      const scan = new Scan(volume);
      if (volume.bytes <= MAX_MAP_BYTES) {
        try {
          await volume.write([]);
          return scan;
        } catch {
          // no room, most likely
        }
      }
      await scan.remove();
      return undefined;
    } catch {
      return undefined;
    }
  }

  /** In the helper: written to, so a floppy disk. */
  get disk(): DiskXml {
    return this.volume.disk;
  }

  /** Undefined: it cannot be told, for want of a driver in this QEMU or in time; or the helper is gone, as its readers will notice. */
  async run(helper: Helper): Promise<readonly Extent[] | undefined> {
    const { bytes, capacityBytes: size } = this.volume;
    try {
      const { node, device } = await this.volume.drive(helper);
      await helper.qmp("blockdev-add", { driver: "null-co", "node-name": ZEROS_NODE, size, "read-only": true, "read-zeroes": true });
      await helper.qmp("blockdev-add", {
        driver: "quorum", "node-name": STATUS_NODE, "read-only": true, "read-pattern": "fifo", "vote-threshold": 1,
        children: [ZEROS_NODE, await helper.topNode()],
      });
      await helper.qmp("blockdev-add", { driver: "null-co", "node-name": SINK_NODE, size, "read-zeroes": false });
      await helper.qmp("blockdev-open-tray", { id: device, force: true });
      await helper.qmp("blockdev-remove-medium", { id: device }); // the drive lets nobody else write to it
      await helper.qmp("blockdev-add", { driver: "qcow2", "node-name": MAP_NODE, file: node, "data-file": SINK_NODE });
      await helper.qmp("blockdev-mirror", { "job-id": JOB, device: STATUS_NODE, target: MAP_NODE, sync: "full" });
      const whole = await this.ready(helper);
      await helper.qmp("block-job-cancel", { device: JOB, force: true });
      const lateMs = Date.now() + CANCEL_DEADLINE_MS;
      while ((await this.job(helper)) !== undefined) {
        if (Date.now() > lateMs) return undefined;
        await sleep(POLL_MS);
      }
      await helper.qmp("blockdev-del", { "node-name": MAP_NODE }); // and so written out
      if (!whole) return undefined;
      const parts: Buffer[] = [];
      for (let at = 0; at < bytes; at += PEEK_BYTES) {
        parts.push(await helper.client.peekDisk(helper.domain, "fda", at, Math.min(PEEK_BYTES, bytes - at)));
      }
      return extentsIn(Buffer.concat(parts), size);
    } catch {
      return undefined;
    }
  }

  private async ready(helper: Helper): Promise<boolean> {
    const end = Date.now() + DEADLINE_MS;
    while (Date.now() < end) {
      const job = await this.job(helper);
      if (!job) return false;
      if (job.ready) return true;
      await sleep(POLL_MS);
    }
    return false;
  }

  private async job(helper: Helper): Promise<{ ready: boolean } | undefined> {
    return (await helper.qmp<{ device: string; ready: boolean }[]>("query-block-jobs")).find((job) => job.device === JOB);
  }

  remove(): Promise<void> {
    return this.volume.remove();
  }
}
