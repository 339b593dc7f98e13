/**
 * Sparse images: what is a hole is asked once, where the image lives, and told to every copy of it (ADR 0054). A copy
 * that must ask its source for each stretch waits behind its own data, hop by hop.
 */
import { randomBytes } from "node:crypto";
import type { DiskXml, Drive } from "./domainXml";
import { setTimeout as sleep } from "node:timers/promises";
import type { Extent } from "./extents";
import type { Helper } from "./helper";
import { mapBytes, mapImage } from "./mapImage";
import { volumeName, type VolumeScope } from "./names";
import { FILTER_NODE } from "./pull";
import type { Volume } from "./rpc/client";
import { QmpError } from "./rpc/errors";
import type { UploadChunk } from "./rpc/stream";
import type { HostSession } from "./session";
import { deleteVolume, ensureVolume, volumeFacts } from "./volumes";

const REMOVE_DEADLINE_MS = 5_000;
const REMOVE_POLL_MS = 20;
/** Whose helpers have drives for a CD and a floppy disk. */
export const DRIVES_ARCH = "x86_64";
/** Read by the copies that read from this one: holes read as zeros. */
const MAP_NODE = "vmfleet-map";
/** Read by the pull: holes are not even zeros, so that it passes over them instead of writing zeros to its sink. */
const WANTED_NODE = "vmfleet-wanted";
const NOTHING_NODE = "vmfleet-nothing";
/** Read by the pull before all else. */
const FIRST_NODE = "vmfleet-first";
const FIRST_NOTHING_NODE = "vmfleet-first-nothing";

/** The volume that a helper has its map in. Made with the helper, filled when the map is known, gone with the helper. */
export class MapVolume {
  private constructor(
    private readonly session: HostSession, private readonly volume: Volume, readonly path: string, readonly bytes: number,
    readonly capacityBytes: number, private readonly kind: Drive, private readonly readOnly: boolean,
  ) {}

  /**
   * @param drive where the helper is to have it; a floppy disk can be written to
   * @param readOnly that nobody is to write to it. @default true in a cdrom
   * @returns undefined: an image that can have no map, a machine that has no such drive, or a pool that takes no more
   *   volumes. Never throws: copies do without
   */
  static async make(session: HostSession, scope: VolumeScope, capacityBytes: number, arch: string, drive: Drive, readOnly = drive === "cdrom"): Promise<MapVolume | undefined> {
    const bytes = mapBytes(capacityBytes);
    if (bytes === undefined || arch !== DRIVES_ARCH || session.refusedDrives.has(drive)) return undefined;
    try {
      const { pool } = await session.pool();
      const name = volumeName(scope, { kind: "map", id: randomBytes(6).toString("hex") });
      return await session.run("make map", async (client) => {
        const volume = await ensureVolume(client, pool, name, bytes, "raw");
        return new MapVolume(session, volume, (await volumeFacts(client, volume)).path, bytes, capacityBytes, drive, readOnly);
      });
    } catch {
      return undefined;
    }
  }

  /** In the helper. */
  get disk(): DiskXml {
    return { path: this.path, format: "raw", readOnly: this.readOnly, drive: this.kind };
  }

  async write(extents: readonly Extent[]): Promise<void> {
    const client = await this.session.client(); // small enough not to stand in the way of other calls
    await client.uploadVolume(this.volume, this.bytes, each(mapImage(extents, this.capacityBytes)));
  }

  /** The drive that has it in the helper, and the node that QEMU has over it. */
  drive(helper: Helper): Promise<{ node: string; device: string }> {
    return driveOf(helper, this.path);
  }

  /** Puts the map over the helper's copy-on-read filter. */
  async attach(helper: Helper, extents: readonly Extent[]): Promise<void> {
    const { node } = await this.drive(helper);
    await this.write(extents);
    const map = { driver: "qcow2", "read-only": true, file: node, "data-file": FILTER_NODE };
    await helper.qmp("blockdev-add", { driver: "null-co", "node-name": NOTHING_NODE, size: this.capacityBytes, "read-only": true, "read-zeroes": false });
    await helper.qmp("blockdev-add", { ...map, "node-name": MAP_NODE, backing: null });
    await helper.qmp("blockdev-add", { ...map, "node-name": WANTED_NODE, backing: NOTHING_NODE });
    helper.mapped = { readNode: MAP_NODE, pullNode: WANTED_NODE };
  }

  /** Over the same filter, a node that holds these ranges and nothing else. `write` comes first. */
  async attachFirst(helper: Helper): Promise<string> {
    await helper.qmp("blockdev-add", { driver: "null-co", "node-name": FIRST_NOTHING_NODE, size: this.capacityBytes, "read-only": true, "read-zeroes": false });
    await helper.qmp("blockdev-add", {
      driver: "qcow2", "node-name": FIRST_NODE, "read-only": true, file: (await this.drive(helper)).node, "data-file": FILTER_NODE, backing: FIRST_NOTHING_NODE,
    });
    return FIRST_NODE;
  }

  /** QEMU mirrors root nodes only: before the filter itself is pulled nothing may stand over it. */
  async detachFirst(helper: Helper): Promise<void> {
    const nodes = await helper.qmp<{ "node-name"?: string }[]>("query-named-block-nodes", { flat: true });
    for (const node of [FIRST_NODE, FIRST_NOTHING_NODE]) {
      if (nodes.some((one) => one["node-name"] === node)) await removeNode(helper, node);
    }
  }

  /** When its helper has ended. Never throws: what is left is a leftover, and known by its name. */
  async remove(): Promise<void> {
    const { pool } = await this.session.pool();
    await this.session.run("clean up", (client) => deleteVolume(client, pool, this.volume.name)).catch(() => undefined);
  }
}

/** The drive of a helper that has this file, and the node that QEMU has over it. */
export async function driveOf(helper: Helper, path: string): Promise<{ node: string; device: string }> {
  const drives = await helper.qmp<{ qdev?: string; inserted?: { "node-name"?: string; file: string } }[]>("query-block");
  const drive = drives.find(({ inserted }) => inserted?.file === path);
  const node = drive?.inserted?.["node-name"];
  if (node === undefined || drive?.qdev === undefined) throw new Error("the helper has no drive for it");
  return { node, device: drive.qdev };
}

/** What used the node may be there a moment longer. @throws QmpError when it is there for good */
export async function removeNode(helper: Helper, node: string): Promise<void> {
  for (const end = Date.now() + REMOVE_DEADLINE_MS; ;) {
    try {
      await helper.qmp("blockdev-del", { "node-name": node });
      return;
    } catch (error) {
      if (!(error instanceof QmpError) || Date.now() > end) throw error;
    }
    await sleep(REMOVE_POLL_MS);
  }
}

async function* each(chunks: UploadChunk[]): AsyncGenerator<UploadChunk> {
  yield* chunks;
}
