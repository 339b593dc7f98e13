import { randomBytes } from "node:crypto";
import { DRIVE_NAMES, type HelperDiskXml, type Drive } from "../xml/domainXml";
import { inPlace } from "../connection/place";
import { deleteOwnMap } from "../guard/guard";
import type { Helper } from "./helper";
import { volumeName, type VolumeScope } from "../volumes/names";
import type { Volume } from "../rpc/handles";
import { QmpError } from "../rpc/errors";
import type { UploadChunk } from "../rpc/stream";
import type { HostSession } from "../connection/session";
import { ensureVolume, volumeFacts } from "../volumes/volumes";

const REMOVE_DEADLINE_MS = 5_000;
const REMOVE_POLL_MS = 20;
const READ_AHEAD_BYTES = 1 << 20;
/** Whose helpers have drives for a CD and a floppy disk. */
const DRIVES_ARCH = "x86_64";

/**
 * A small volume of ours in a drive of a helper: QEMU opens it with the labels and the user it opens any disk with, and
 * nodes of ours can stand over it. Made with the helper, gone with it.
 */
export class DriveVolume {
  private constructor(
    private readonly session: HostSession, private readonly scope: VolumeScope, private readonly volume: Volume, private readonly path: string, readonly bytes: number,
    private readonly kind: Drive, private readonly readOnly: boolean,
  ) {}

  /**
   * @param format as it is made; its drive has it as a raw file in any case
   * @param drive a floppy disk can be written to
   * @returns undefined: a machine that has no such drive, or a pool that takes no more volumes. Never throws: copies do
   *   without
   */
  static async make(
    session: HostSession, scope: VolumeScope, { bytes, format, arch, drive, readOnly }: { bytes: number; format: "raw" | "qcow2"; arch: string; drive: Drive; readOnly: boolean },
  ): Promise<DriveVolume | undefined> {
    if (arch !== DRIVES_ARCH || session.refusedDrives.has(drive)) return undefined;
    try {
      const name = volumeName(scope, { kind: "map", id: randomBytes(6).toString("hex") });
      return await inPlace({ session, scope }, "make drive", async (here) => {
        const volume = await ensureVolume(here, name, bytes, format);
        return new DriveVolume(session, scope, volume, (await volumeFacts(here.client, volume)).path, bytes, drive, readOnly);
      });
    } catch {
      return undefined;
    }
  }

  /** In the helper. */
  get disk(): HelperDiskXml {
    return { path: this.path, format: "raw", backing: null, readOnly: this.readOnly, drive: this.kind };
  }

  /** All of it. Small enough not to stand in the way of other calls. Where it fails the host goes without such drives in this run. */
  async write(chunks: UploadChunk[]): Promise<void> {
    const client = await this.session.client();
    try {
      await client.uploadVolume(this.volume, this.bytes, each(chunks));
    } catch (error) {
      this.session.refusedDrives.add(this.kind);
      throw this.session.wrap("write map", error);
    }
  }

  /** The node that QEMU has over it. */
  async node(helper: Helper): Promise<string> {
    return (await this.find(helper)).node;
  }

  /** The same, out of its drive, which would let nobody else write to it. */
  async takeOut(helper: Helper): Promise<string> {
    const { node, device } = await this.find(helper);
    await helper.qmp("blockdev-open-tray", { id: device, force: true });
    await helper.qmp("blockdev-remove-medium", { id: device });
    return node;
  }

  private async find(helper: Helper): Promise<{ node: string; device: string }> {
    const drives = await helper.qmp<{ qdev?: string; inserted?: { "node-name"?: string; file: string } }[]>("query-block");
    const drive = drives.find(({ inserted }) => inserted?.file === this.path);
    const node = drive?.inserted?.["node-name"];
    if (node === undefined || drive?.qdev === undefined) throw new Error("the helper has no drive for it");
    return { node, device: drive.qdev };
  }

  /** What stands in it now, by way of the daemon, in its drive or out of it; a little is read ahead. Past its end it may be short. */
  reader(helper: Helper): (offsetBytes: number, lengthBytes: number) => Promise<Buffer> {
    let ahead: { at: number; data: Buffer } = { at: 0, data: Buffer.alloc(0) };
    return async (offset, length) => {
      if (offset < ahead.at || offset + length > ahead.at + ahead.data.length) {
        const bytes = Math.max(length, Math.min(READ_AHEAD_BYTES, this.bytes - offset));
        ahead = { at: offset, data: await helper.client.peekDisk(helper.domain, DRIVE_NAMES[this.kind], offset, bytes) };
      }
      return ahead.data.subarray(offset - ahead.at, offset - ahead.at + length);
    };
  }

  /** When its helper has ended. Never throws: what is left is a leftover, and known by its name. */
  async remove(): Promise<void> {
    const { session, scope } = this;
    await inPlace({ session, scope }, "clean up", (here) => deleteOwnMap(here, this.volume.name)).catch(() => undefined);
  }
}

/** What used the node may be there a moment longer. @throws QmpError when it is there for good */
export async function removeNode(helper: Helper, node: string): Promise<void> {
  for (const end = helper.clock.nowMs() + REMOVE_DEADLINE_MS; ;) {
    try {
      await helper.qmp("blockdev-del", { "node-name": node });
      return;
    } catch (error) {
      if (!(error instanceof QmpError) || helper.clock.nowMs() > end) throw error;
    }
    await helper.clock.sleep(REMOVE_POLL_MS);
  }
}

async function* each(chunks: UploadChunk[]): AsyncGenerator<UploadChunk> {
  yield* chunks;
}
