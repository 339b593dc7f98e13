import assert from "node:assert/strict";
import { realClock } from "../../../provider/async/clock";
import type { ImageRef } from "../../../provider/hypervisors/hypervisor";
import { Copy } from "../../../provider/hypervisors/libvirt/copy/copies";
import { Pacer } from "../../../provider/hypervisors/libvirt/copy/rates";
import { Transfer } from "../../../provider/hypervisors/libvirt/copy/transfer";
import type { TransferOptions } from "../../../provider/hypervisors/libvirt/copy/transferOptions";

const source: ImageRef = { kind: "template", host: "a1" };

/** A transfer whose host cannot start a helper. */
const doomed = (): Transfer => new Transfer({
  copy: new Copy("a2", realClock), targetHost: "a2", pool: "default", facts: { capacityBytes: 1, allocationBytes: 1 }, stallMs: 1000, clock: realClock, isPoolFull: () => Promise.resolve(false), arrivedBytes: () => Promise.resolve(undefined),
  pacer: Object.assign(Object.create(Pacer.prototype) as Pacer, { end: () => undefined }),
  resolve: () => Promise.reject(new Error("no helper")),
  startHelper: () => Promise.reject(new Error("no helper")),
  openFeed: () => Promise.reject(new Error("no feed")),
  context: {},
} satisfies TransferOptions, source);

describe("a transfer that fails", () => {
  it("answers whoever ordered another source for it, before its end and after", async () => {
    const transfer = doomed();
    const before = assert.rejects(transfer.redirect(source), /no helper/);
    await assert.rejects(transfer.run(), /no helper/);
    await before;
    await assert.rejects(transfer.redirect(source), /no helper/);
  });
});
