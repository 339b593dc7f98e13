/**
 * What of an image is a hole is asked once, where the image lives, and told to every copy of it (ADR 0054). A copy
 * that must ask its source for each stretch waits behind its own data, hop by hop.
 */
import type { Drive } from "../xml/domainXml";
import { DriveVolume, removeNode } from "../helper/driveVolume";
import type { Extent } from "./extents";
import type { Helper } from "../helper/helper";
import { mapFileBytes, mapFileChunks } from "./mapFile";
import type { VolumeScope } from "../volumes/names";
import { FILTER_NODE } from "../helper/nodes";
import type { HostSession } from "../connection/session";

/** Read by the copies that read from this one: holes read as zeros. */
const MAP_NODE = "vmfleet-map";
/** Read by the pull: holes are not even zeros, so that it passes over them instead of writing zeros to its sink. */
const WANTED_NODE = "vmfleet-wanted";
const NOTHING_NODE = "vmfleet-nothing";
/** Read by the pull before all else. */
const FIRST_NODE = "vmfleet-first";
const FIRST_NOTHING_NODE = "vmfleet-first-nothing";

/** The volume that a helper has its map in. Made with the helper, filled when the map is known, gone with the helper. */
export class HoleMap {
  private constructor(readonly volume: DriveVolume, readonly capacityBytes: number) {}

  /**
   * @param drive where the helper is to have it; a floppy disk can be written to
   * @param readOnly that nobody is to write to it. @default true in a cdrom
   * @returns undefined: an image that can have no map, or a helper that can have no such drive. Never throws: copies do
   *   without
   */
  static async make(session: HostSession, scope: VolumeScope, capacityBytes: number, arch: string, drive: Drive, readOnly = drive === "cdrom"): Promise<HoleMap | undefined> {
    const bytes = mapFileBytes(capacityBytes);
    if (bytes === undefined) return undefined;
    const volume = await DriveVolume.make(session, scope, { bytes, format: "raw", arch, drive, readOnly });
    return volume && new HoleMap(volume, capacityBytes);
  }

  /** @param extents what of the image is data */
  async write(extents: readonly Extent[]): Promise<void> {
    await this.volume.write(mapFileChunks(extents, this.capacityBytes));
  }

  /** Puts the map over the helper's copy-on-read filter. `write` comes first. */
  async attach(helper: Helper): Promise<void> {
    const node = await this.volume.node(helper);
    try {
      await helper.qmp("blockdev-add", nothing(NOTHING_NODE, this.capacityBytes));
      await helper.qmp("blockdev-add", overFilter(MAP_NODE, node, null));
      await helper.qmp("blockdev-add", overFilter(WANTED_NODE, node, NOTHING_NODE));
    } catch (error) {
      // Without a map the filter itself is pulled, and nothing may stand over it.
      for (const added of [WANTED_NODE, MAP_NODE, NOTHING_NODE]) await helper.qmp("blockdev-del", { "node-name": added }).catch(() => undefined);
      throw error;
    }
    helper.mapped = { readNode: MAP_NODE, pullNode: WANTED_NODE };
  }

  /** Over the same filter, a node that holds these ranges and nothing else. `write` comes first. */
  async attachFirst(helper: Helper): Promise<string> {
    await helper.qmp("blockdev-add", nothing(FIRST_NOTHING_NODE, this.capacityBytes));
    await helper.qmp("blockdev-add", overFilter(FIRST_NODE, await this.volume.node(helper), FIRST_NOTHING_NODE));
    return FIRST_NODE;
  }

  /** QEMU mirrors root nodes only: before the filter itself is pulled nothing may stand over it. */
  async detachFirst(helper: Helper): Promise<void> {
    const nodes = await helper.qmp<{ "node-name"?: string }[]>("query-named-block-nodes", { flat: true });
    for (const node of [FIRST_NODE, FIRST_NOTHING_NODE]) {
      if (nodes.some((one) => one["node-name"] === node)) await removeNode(helper, node);
    }
  }
}

const nothing = (node: string, size: number) => ({ driver: "null-co", "node-name": node, size, "read-only": true, "read-zeroes": false });
const overFilter = (node: string, file: string, backing: string | null) => (
  { driver: "qcow2", "node-name": node, "read-only": true, file, "data-file": FILTER_NODE, backing }
);
