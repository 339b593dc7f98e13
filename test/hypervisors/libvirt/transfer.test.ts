import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import type { ImageRef } from "../../../provider/hypervisors/hypervisor";
import { Copy } from "../../../provider/hypervisors/libvirt/copy/copies";
import type { Resolved } from "../../../provider/hypervisors/libvirt/copy/feeds";
import { Pacer } from "../../../provider/hypervisors/libvirt/copy/rates";
import { Transfer } from "../../../provider/hypervisors/libvirt/copy/transfer";
import type { TransferOptions } from "../../../provider/hypervisors/libvirt/copy/transferOptions";
import type { Helper } from "../../../provider/hypervisors/libvirt/helper/helper";
import { LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";

const source: ImageRef = { kind: "template", host: "a1" };

/** A transfer whose host cannot start a helper, unless told otherwise. */
const doomed = (changes: Partial<TransferOptions> = {}): Transfer => new Transfer({
  copy: new Copy("a2", realClock), targetHost: "a2", pool: "default", facts: { capacityBytes: 1, allocationBytes: 1 }, stallMs: 1000, clock: realClock, isPoolFull: () => Promise.resolve(false), arrivedBytes: () => Promise.resolve(undefined),
  pacer: Object.assign(Object.create(Pacer.prototype) as Pacer, { end: () => undefined }),
  resolve: () => Promise.reject(new Error("no helper")),
  startHelper: () => Promise.reject(new Error("no helper")),
  openFeed: () => Promise.reject(new Error("no feed")),
  context: {}, ...changes,
} satisfies TransferOptions, source);

describe("a transfer that fails", () => {
  it("answers whoever ordered another source for it, before its end and after", async () => {
    const transfer = doomed();
    const before = assert.rejects(transfer.redirect(source), /no helper/);
    await assert.rejects(transfer.run(), /no helper/);
    await before;
    await assert.rejects(transfer.redirect(source), /no helper/);
  });

  it("stops the helper that it started where its daemon fails the opening of the source", async () => {
    let stopped = 0;
    const helper = { clock: realClock, qmp: async () => ({}), tls: async () => ({}), stop: async () => { stopped++; } } as unknown as Helper;
    const finished = { kind: "finished", source: { session: { name: "a1" }, scanSeconds: 0, capacityBytes: 1 }, local: false } as unknown as Resolved;
    const transfer = doomed({
      resolve: () => Promise.resolve(finished), startHelper: () => Promise.resolve(helper), openFeed: () => Promise.reject(new LibvirtError(1, 1, "the daemon's word")),
    });
    await assert.rejects(transfer.run(), LibvirtError);
    assert.equal(stopped, 1);
  });
});
