import { setTimeout as sleep } from "node:timers/promises";
import { HypervisorError, NoSpaceError, SourceLostError, type CallContext } from "../hypervisor";
import type { Helper } from "./helper";

const POLL_MS = 100;
const JOB = "vmfleet-pull";
/** libvirt's names for the first disk's nodes: its image, and the copy-on-read filter over it. */
export const TOP_NODE = "libvirt-1-format";
const FILTER_NODE = "libvirt-CoR-vda";
const SOURCE_NODE = "libvirt-2-storage";

interface BlockJob {
  device: string;
  len: number;
  offset: number;
  ready: boolean;
  status: string;
  "io-status": "ok" | "failed" | "nospace";
}

export interface PullOptions {
  sourceHost: string;
  capacityBytes: number;
  /** Bytes that will move, for progress. */
  allocationBytes: number;
  stallMs: number;
  remote: boolean;
}

/**
 * Fills the helper's first disk through its copy-on-read filter: a mirror of the filter into a null device reads all
 * of it, and what is read stays (DESIGN.md section 7). Resolves when every byte is in the image and flushed is next.
 * @throws SourceLostError when the source fails or no byte arrives for stallMs, NoSpaceError when the pool is full
 */
export async function pull(helper: Helper, options: PullOptions, context: CallContext = {}): Promise<void> {
  const sink = "vmfleet-sink";
  await helper.qmp("blockdev-add", { driver: "null-co", "node-name": sink, size: options.capacityBytes, "read-zeroes": false });
  await helper.qmp("blockdev-mirror", {
    "job-id": JOB, device: FILTER_NODE, target: sink, sync: "full", "on-source-error": "stop", "on-target-error": "report",
  });
  try {
    await watch(helper, options, context);
  } catch (error) {
    if (options.remote) await yank(helper);
    throw error;
  }
  await helper.qmp("block-job-cancel", { device: JOB, force: true });
  while ((await jobOf(helper)) !== undefined) await sleep(10);
}

async function watch(helper: Helper, options: PullOptions, context: CallContext): Promise<void> {
  let lastOffset = -1;
  let lastMove = Date.now();
  for (;;) {
    context.signal?.throwIfAborted();
    const job = await jobOf(helper);
    if (!job) throw new SourceLostError(options.sourceHost, helper.session.name, "the copy ended before it was complete");
    report(job, options, context);
    if (job.ready) return;
    if (job["io-status"] === "nospace") {
      throw new NoSpaceError(helper.session.name, "clone", `storage pool ${helper.session.spec.pool} is full`);
    }
    if (job["io-status"] !== "ok") {
      throw new SourceLostError(options.sourceHost, helper.session.name, `reading from ${options.sourceHost} failed`);
    }
    if (job.offset !== lastOffset) {
      lastOffset = job.offset;
      lastMove = Date.now();
    } else if (Date.now() - lastMove > options.stallMs) {
      throw new SourceLostError(options.sourceHost, helper.session.name, `no byte from ${options.sourceHost} for ${options.stallMs / 1000} s`);
    }
    await sleep(POLL_MS);
  }
}

async function jobOf(helper: Helper): Promise<BlockJob | undefined> {
  return (await helper.qmp<BlockJob[]>("query-block-jobs")).find((job) => job.device === JOB);
}

/** The job counts the guest's view, holes included; bytes moved are a share of what is allocated. */
function report(job: BlockJob, options: PullOptions, context: CallContext): void {
  const share = job.ready ? 1 : job.len > 0 ? Math.min(1, job.offset / job.len) : 0;
  context.onProgress?.(Math.round(share * options.allocationBytes), options.allocationBytes);
}

/** A dead peer that sends no reset leaves reads hanging, and QEMU's end behind them: cut the socket first. */
async function yank(helper: Helper): Promise<void> {
  try {
    await helper.qmp("yank", { instances: [{ type: "block-node", "node-name": SOURCE_NODE }] }, 5_000);
  } catch (error) {
    if (error instanceof HypervisorError) throw error;
  }
}
