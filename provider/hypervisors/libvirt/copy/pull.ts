import type { Helper } from "../helper/helper";
import { cancelMirror, findMirror, type MirrorJob } from "../helper/mirror";
import { FILTER_NODE, HELPER_NODES, openExport, reopenOver, type NbdExport } from "../helper/nodes";
import { QmpError } from "../rpc/errors";

const JOB = "vmfleet-pull";
const SINK = "vmfleet-sink";
/** libvirt's names for the image that the first disk's XML puts below it, and for its file. */
const LOCAL_NODE = "libvirt-2-format";
const LOCAL_FILE_NODE = "libvirt-2-storage";
/** What a pull has under way at most, and so what an exchange of the source fetches twice at most. */
export const IN_FLIGHT_BYTES = 16 << 20;
const YIELD_GROUP = "vmfleet-yield";
const YIELD_NODE = "vmfleet-yielding";
const YANK_DEADLINE_MS = 5_000;

/**
 * The pull of one disk in its helper, in QMP: a mirror of the copy-on-read filter into a null device reads all of it,
 * and what is read stays (DESIGN.md section 7). The overlay's backing is the source's export and can be exchanged
 * while the job runs.
 */
export class Pull {
  private hasSink = false;
  private node = 0;
  private nodesMade = 0;
  /** The present connection has a limit. */
  private throttled = false;
  private bytesPerSecond = 0;
  private limiting = Promise.resolve();

  constructor(readonly helper: Helper) {}

  private readonly qmp = <T>(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T> => this.helper.qmp<T>(command, args, timeoutMs);

  /**
   * Puts the overlay over an export; the one it stood over is dropped. Blocks while QEMU connects.
   * @param bytesPerSecond what may be read from it; `limit` changes it. @default as fast as it goes, for good
   */
  async connect(at: NbdExport, bytesPerSecond?: number): Promise<void> {
    const [old, oldThrottled] = [this.node, this.throttled];
    const node = ++this.nodesMade;
    const isLimited = bytesPerSecond !== undefined;
    if (bytesPerSecond !== undefined) this.bytesPerSecond = bytesPerSecond; // `limit` may come before we are connected
    let limit = 0;
    try {
      await openExport(this.qmp, nodeName(node), at, await this.helper.tls("client"));
      limit = this.bytesPerSecond;
      if (isLimited) await this.throttle(node, limit);
      await this.reopen(isLimited ? throttleName(node) : nodeName(node));
    } catch (error) {
      if (error instanceof QmpError) await this.drop(node, isLimited); // else nobody answers
      throw error;
    }
    this.node = node;
    this.throttled = isLimited;
    await this.drop(old, oldThrottled);
    if (isLimited && this.bytesPerSecond !== limit) await this.limit(this.bytesPerSecond); // changed meanwhile
  }

  /** All has arrived: the overlay stands alone, and the export is let go. */
  async disconnect(): Promise<void> {
    await this.reopen(null);
    await this.drop(this.node, this.throttled);
    this.throttled = false;
    this.node = 0;
  }

  /** As far as it is there. What cannot go goes with the helper. */
  private async drop(node: number, throttled: boolean): Promise<void> {
    if (node === 0) return;
    const remove = (command: string, args: Record<string, unknown>): Promise<unknown> =>
      this.helper.qmp(command, args).catch((error: unknown) => {
        if (!(error instanceof QmpError)) throw error;
      });
    if (throttled) {
      await remove("blockdev-del", { "node-name": throttleName(node) });
      await remove("object-del", { id: groupName(node) });
    }
    await remove("blockdev-del", { "node-name": nodeName(node) });
  }

  /** The overlay over the file that its helper opened below it. @throws when it opened none, or another */
  async stayLocal(path: string): Promise<void> {
    const nodes = await this.helper.qmp<{ "node-name"?: string; file: string }[]>("query-named-block-nodes", { flat: true });
    const below = nodes.find((node) => node["node-name"] === LOCAL_FILE_NODE);
    if (below?.file !== path) throw new Error(`the disk stands over ${below?.file ?? "no file"}, expected ${path}`);
    // Newer libvirts put no format's node over a raw file.
    await this.reopen(nodes.some((node) => node["node-name"] === LOCAL_NODE) ? LOCAL_NODE : LOCAL_FILE_NODE);
  }

  /**
   * Lazy: until it is closed in order the image is marked as dirty, and QEMU itself checks and repairs it when it is
   * opened after a sudden death. The mark goes with the close; nothing of it stays in the image.
   */
  private async reopen(backing: string | null): Promise<void> {
    await reopenOver(this.qmp, HELPER_NODES, backing, { "lazy-refcounts": true });
  }

  /** A filter over the export: reads of what is on the disk already are not held up by it, as a limit to the job would. */
  private async throttle(node: number, bytesPerSecond: number): Promise<void> {
    const group = groupName(node);
    await this.helper.qmp("object-add", { "qom-type": "throttle-group", id: group, limits: { "bps-total": bytesPerSecond } });
    await this.helper.qmp("blockdev-add", { driver: "throttle", "node-name": throttleName(node), "throttle-group": group, file: nodeName(node) });
  }

  /** Of a limited connection: another limit from now on; the last one asked for counts. Never rejects: one that is gone needs none. */
  limit(bytesPerSecond: number): Promise<void> {
    this.bytesPerSecond = bytesPerSecond;
    this.limiting = this.limiting.then(async () => {
      if (!this.throttled || this.bytesPerSecond !== bytesPerSecond) return;
      const path = `/objects/${groupName(this.node)}`;
      await this.helper.qmp("qom-set", { path, property: "limits", value: { "bps-total": bytesPerSecond } });
    }).catch(() => undefined); // it was exchanged, or ended, or its host is gone, which whatever comes next notices
    return this.limiting;
  }

  /**
   * Of all the image. Ends ready, when all is there.
   * @param inFlightBytes what it has under way at most. @default IN_FLIGHT_BYTES, QEMU's own
   */
  async start(capacityBytes: number, inFlightBytes?: number): Promise<void> {
    await this.mirror(this.helper.mapped?.pullNode ?? FILTER_NODE, "full", capacityBytes, inFlightBytes);
  }

  /** The same of what one node over the filter holds; `cancel` it then. */
  async startFirst(node: string, capacityBytes: number, inFlightBytes?: number): Promise<void> {
    await this.mirror(node, "full", capacityBytes, inFlightBytes);
  }

  /**
   * As `start`, and it can be slowed down. By a filter, not by the job's own speed: a job with few bytes under way makes
   * all its reads at once and lets them wait for room.
   */
  async startSlowable(capacityBytes: number, inFlightBytes?: number): Promise<void> {
    await this.helper.qmp("object-add", { "qom-type": "throttle-group", id: YIELD_GROUP, limits: { "bps-total": 0 } });
    const file = this.helper.mapped?.pullNode ?? FILTER_NODE;
    await this.helper.qmp("blockdev-add", { driver: "throttle", "node-name": YIELD_NODE, "throttle-group": YIELD_GROUP, file });
    await this.mirror(YIELD_NODE, "full", capacityBytes, inFlightBytes);
  }

  /** Bytes of the image that the overlay itself holds, to 64 KiB. Only while no pull runs. */
  async bytesHeld(capacityBytes: number, signal?: AbortSignal): Promise<number> {
    await this.mirror(FILTER_NODE, "top", capacityBytes); // its length is what is allocated in the overlay; it need not run
    let job = await this.job();
    while (job && job.len === 0 && !job.ready) {
      await this.helper.clock.sleep(10, signal); // it is still looking
      job = await this.job();
    }
    await this.cancel(signal);
    return job?.len ?? 0;
  }

  private async mirror(node: string, sync: "full" | "top", capacityBytes: number, inFlightBytes?: number): Promise<void> {
    if (!this.hasSink) await this.helper.qmp("blockdev-add", { driver: "null-co", "node-name": SINK, size: capacityBytes, "read-zeroes": false });
    this.hasSink = true;
    await this.helper.qmp("blockdev-mirror", {
      "job-id": JOB, device: node, target: SINK, sync,
      "on-source-error": "stop", "on-target-error": "report",
      ...(inFlightBytes === undefined ? {} : { "buf-size": inFlightBytes }),
    });
  }

  job(): Promise<MirrorJob | undefined> {
    return findMirror(this.helper, JOB);
  }

  /** Of one that can be slowed down. @param bytesPerSecond 0: no limit */
  async setSpeed(bytesPerSecond: number): Promise<void> {
    await this.helper.qmp("qom-set", { path: `/objects/${YIELD_GROUP}`, property: "limits", value: { "bps-total": bytesPerSecond } });
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

  /** @throws when the job does not go within half a minute */
  cancel(signal?: AbortSignal): Promise<void> {
    return cancelMirror(this.helper, JOB, signal);
  }
}

const nodeName = (n: number): string => `vmfleet-source-${n}`;
const throttleName = (n: number): string => `vmfleet-limited-${n}`;
const groupName = (n: number): string => `vmfleet-limit-${n}`;
