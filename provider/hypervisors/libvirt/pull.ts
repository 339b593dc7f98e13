import { setTimeout as sleep } from "node:timers/promises";
import type { Helper, NbdExport } from "./helper";
import { CONNECT_DEADLINE_MS, HELPER_NODES, reopenOver } from "./nodes";
import { LibvirtError, QmpError } from "./rpc/errors";

const JOB = "vmfleet-pull";
const SINK = "vmfleet-sink";
/** libvirt's names for the image that the first disk's XML puts below it. */
const LOCAL_NODES = ["libvirt-2-format", "libvirt-2-storage"];
/** And for the copy-on-read filter over that disk. */
export const FILTER_NODE = "libvirt-CoR-vda";
const YANK_DEADLINE_MS = 5_000;

export interface PullJob {
  device: string;
  len: number;
  offset: number;
  ready: boolean;
  "io-status": "ok" | "failed" | "nospace";
}

/**
 * The pull of one disk in its helper, in QMP: a mirror of the copy-on-read filter into a null device reads all of it,
 * and what is read stays (DESIGN.md section 7). The overlay's backing is the source's export and can be exchanged
 * while the job runs.
 */
export class Pull {
  private hasSink = false;
  private node = 0;
  /** The present connection has a limit. */
  private throttled = false;
  private bytesPerSecond = 0;
  private limiting = Promise.resolve();

  constructor(readonly helper: Helper) {}

  /**
   * Puts the overlay over an export; the one it stood over is dropped. Blocks while QEMU connects.
   * @param bytesPerSecond what may be read from it; `limit` changes it. @default as fast as it goes, for good
   */
  async connect(at: NbdExport, bytesPerSecond?: number): Promise<void> {
    const old = this.node;
    const oldThrottled = this.throttled;
    const name = nodeName(++this.node);
    this.throttled = false;
    if (bytesPerSecond !== undefined) this.bytesPerSecond = bytesPerSecond; // `limit` may come before we are connected
    await this.helper.qmp("blockdev-add", {
      driver: "nbd", "node-name": name, "read-only": true, export: at.exportName,
      server: { type: "inet", host: at.host, port: String(at.port) }, ...(await this.helper.tls("client")),
    }, CONNECT_DEADLINE_MS);
    if (bytesPerSecond !== undefined) await this.throttle(name);
    await this.reopen(this.throttled ? throttleName(this.node) : name);
    await this.drop(old, oldThrottled);
  }

  /** All has arrived: the overlay stands alone, and the export is let go. */
  async disconnect(): Promise<void> {
    await this.reopen(null);
    await this.drop(this.node, this.throttled);
    this.throttled = false;
    this.node = 0;
  }

  private async drop(node: number, throttled: boolean): Promise<void> {
    if (throttled) {
      await this.helper.qmp("blockdev-del", { "node-name": throttleName(node) });
      await this.helper.qmp("object-del", { id: groupName(node) });
    }
    if (node > 0) await this.helper.qmp("blockdev-del", { "node-name": nodeName(node) });
  }

  /** The overlay over the file that its helper opened below it. */
  async stayLocal(): Promise<void> {
    for (const node of LOCAL_NODES) {
      try {
        return await this.reopen(node);
      } catch (error) {
        if (!(error instanceof QmpError)) throw error; // another libvirt's name; with none the image is only checked less
      }
    }
  }

  /**
   * Lazy: until it is closed in order the image is marked as dirty, and QEMU itself checks and repairs it when it is
   * opened after a sudden death. The mark goes with the close; nothing of it stays in the image.
   */
  private async reopen(backing: string | null): Promise<void> {
    await reopenOver(this.helper.qmp.bind(this.helper), HELPER_NODES, backing, { "lazy-refcounts": true });
  }

  /** A filter over the export: reads of what is on the disk already are not held up by it, as a limit to the job would. */
  private async throttle(over: string): Promise<void> {
    const group = groupName(this.node);
    const { bytesPerSecond } = this;
    await this.helper.qmp("object-add", { "qom-type": "throttle-group", id: group, limits: { "bps-total": bytesPerSecond } });
    await this.helper.qmp("blockdev-add", { driver: "throttle", "node-name": throttleName(this.node), "throttle-group": group, file: over });
    this.throttled = true;
    if (this.bytesPerSecond !== bytesPerSecond) await this.limit(this.bytesPerSecond); // changed meanwhile
  }

  /** Of a limited connection: another limit from now on; the last one asked for counts. A connection that is gone needs none. */
  limit(bytesPerSecond: number): Promise<void> {
    this.bytesPerSecond = bytesPerSecond;
    this.limiting = this.limiting.then(async () => {
      if (!this.throttled || this.bytesPerSecond !== bytesPerSecond) return;
      const path = `/objects/${groupName(this.node)}`;
      await this.helper.qmp("qom-set", { path, property: "limits", value: { "bps-total": bytesPerSecond } });
    }).catch((error: unknown) => {
      if (!(error instanceof QmpError) && !(error instanceof LibvirtError)) throw error; // it was exchanged, or ended, meanwhile
    });
    return this.limiting;
  }

  /** @param inFlightBytes what it has under way at most. @default 16 MiB, QEMU's own */
  async start(capacityBytes: number, inFlightBytes?: number): Promise<void> {
    await this.mirror("full", capacityBytes, inFlightBytes);
  }

  /** Bytes of the image that the overlay itself holds, to 64 KiB. Only while no pull runs. */
  async bytesHeld(capacityBytes: number): Promise<number> {
    await this.mirror("top", capacityBytes); // its length is what is allocated in the overlay; it need not run
    let job = await this.job();
    while (job && job.len === 0 && !job.ready) {
      await sleep(10); // it is still looking
      job = await this.job();
    }
    await this.cancel();
    return job?.len ?? 0;
  }

  private async mirror(sync: "full" | "top", capacityBytes: number, inFlightBytes?: number): Promise<void> {
    if (!this.hasSink) await this.helper.qmp("blockdev-add", { driver: "null-co", "node-name": SINK, size: capacityBytes, "read-zeroes": false });
    this.hasSink = true;
    await this.helper.qmp("blockdev-mirror", {
      "job-id": JOB, device: sync === "full" ? this.helper.mapped?.pullNode ?? FILTER_NODE : FILTER_NODE, target: SINK, sync,
      "on-source-error": "stop", "on-target-error": "report",
      ...(inFlightBytes === undefined ? {} : { "buf-size": inFlightBytes }),
    });
  }

  async job(): Promise<PullJob | undefined> {
    return (await this.helper.qmp<PullJob[]>("query-block-jobs")).find((job) => job.device === JOB);
  }

  /** @param bytesPerSecond 0: no limit */
  async setSpeed(bytesPerSecond: number): Promise<void> {
    await this.helper.qmp("block-job-set-speed", { device: JOB, speed: bytesPerSecond }).catch((error: unknown) => {
      if (!(error instanceof QmpError)) throw error; // it has just ended
    });
  }

  async resume(): Promise<void> {
    await this.helper.qmp("block-job-resume", { device: JOB }).catch((error: unknown) => {
      if (!(error instanceof QmpError)) throw error; // it was not paused
    });
  }

  /** A dead peer that sends no reset leaves reads hanging, and every reopen behind them: cut the socket first. */
  async yank(): Promise<void> {
    if (this.node === 0) return;
    await this.helper.qmp("yank", { instances: [{ type: "block-node", "node-name": nodeName(this.node) }] }, YANK_DEADLINE_MS)
      .catch((error: unknown) => {
        if (!(error instanceof QmpError)) throw error; // nothing to cut: it is not connected
      });
  }

  async cancel(): Promise<void> {
    await this.helper.qmp("block-job-cancel", { device: JOB, force: true });
    while ((await this.job()) !== undefined) await sleep(10);
  }

}

const nodeName = (n: number): string => `vmfleet-source-${n}`;
const throttleName = (n: number): string => `vmfleet-limited-${n}`;
const groupName = (n: number): string => `vmfleet-limit-${n}`;
