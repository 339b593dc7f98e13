/** What a copy does when what it reads from ends, on a QEMU that only answers. */
import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import { SourceLostError, type CallContext, type ImageRef } from "../../../provider/hypervisors/hypervisor";
import { Copies, Copy } from "../../../provider/hypervisors/libvirt/copy/copies";
import type { Feed, Resolved, Source } from "../../../provider/hypervisors/libvirt/copy/feeds";
import type { Helper } from "../../../provider/hypervisors/libvirt/helper/helper";
import { Pull } from "../../../provider/hypervisors/libvirt/copy/pull";
import type { Pacer } from "../../../provider/hypervisors/libvirt/copy/rates";
import { LibvirtError, QmpError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { Transfer } from "../../../provider/hypervisors/libvirt/copy/transfer";

const clock = new VirtualClock();
const FACTS = { capacityBytes: 1 << 20, allocationBytes: 1 << 20 };
const AT = { host: "10.0.0.1", port: 1, exportName: "x" };
const base = (host: string): Extract<ImageRef, { kind: "base" }> => ({ kind: "base", host, slot: 1, generation: 0 });

/** Knows the nodes that were added; its job is as far as it is told. */
class FakeHelper {
  readonly clock = clock;
  readonly nodes = new Set<string>();
  readonly reopened: (string | null)[] = [];
  failNext: { command: string; error: Error } | undefined;
  localFile: string | undefined;
  job: { device: string; len: number; offset: number; ready: boolean; "io-status": string } | undefined;
  jobAtStart = { len: 1, offset: 1, ready: true };
  flush = (): Promise<void> => Promise.resolve();
  finish = (): Promise<void> => Promise.resolve();
  stop = (): Promise<void> => Promise.resolve();
  tls = (): Promise<object> => Promise.resolve({});

  qmp(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const name = (args["node-name"] ?? args.id) as string;
    if (this.failNext?.command === command) {
      const { error } = this.failNext;
      this.failNext = undefined;
      return Promise.reject(error);
    }
    switch (command) {
      case "blockdev-add": case "object-add":
        this.nodes.add(name);
        break;
      case "blockdev-del": case "object-del":
        if (!this.nodes.delete(name)) return Promise.reject(new QmpError(command, "GenericError", `no ${name}`));
        break;
      case "blockdev-reopen":
        this.reopened.push((args.options as { backing: string | null }[])[0]!.backing);
        break;
      case "blockdev-mirror":
        this.job = { device: "vmfleet-pull", "io-status": "ok", ...this.jobAtStart };
        break;
      case "block-job-cancel":
        this.job = undefined;
        break;
      case "query-block-jobs":
        return Promise.resolve(this.job ? [this.job] : []);
      case "query-named-block-nodes":
        return Promise.resolve(this.localFile === undefined ? [] : [{ "node-name": "libvirt-2-storage", file: this.localFile }]);
    }
    return Promise.resolve({});
  }
  get sources(): string[] {
    return [...this.nodes].filter((name) => name.startsWith("vmfleet-source"));
  }
}
const asHelper = (helper: FakeHelper): Helper => helper as unknown as Helper;
const refused = (command: string) => ({ command, error: new QmpError(command, "GenericError", "no") });

interface Ground {
  transfer: Transfer;
  helpers: FakeHelper[];
  resolved: ImageRef[];
  /** Hosts whose feeds were closed, each time. */
  closed: string[];
}

function transferFrom(source: ImageRef, resolve: (ref: ImageRef) => Resolved, context: CallContext = {}, prepare = (_: FakeHelper): void => undefined): Ground {
  const helpers: FakeHelper[] = [];
  const resolved: ImageRef[] = [];
  const closed: string[] = [];
  const transfer = new Transfer({
    copy: new Copy("target", clock), targetHost: "target", pool: "default", facts: FACTS, stallMs: 1000, clock, context,
    pacer: { feed: () => undefined, end: () => undefined } as unknown as Pacer,
    isPoolFull: () => Promise.resolve(false), arrivedBytes: () => Promise.resolve(undefined),
    resolve: async (ref) => {
      resolved.push(ref);
      await Promise.resolve();
      return resolve(ref);
    },
    startHelper: () => {
      const helper = new FakeHelper();
      helpers.push(helper);
      prepare(helper);
      return Promise.resolve(asHelper(helper));
    },
    openFeed: (from): Promise<Feed> => {
      const host = from.kind === "arriving" ? from.copy.host : from.source.session.name;
      return Promise.resolve({
        host, at: AT, epoch: from.kind === "arriving" ? from.copy.epoch : 0, ...(from.kind === "arriving" && { upstream: from.copy }),
        extents: () => Promise.resolve(undefined), close: () => Promise.resolve(void closed.push(host)),
      });
    },
  }, source);
  return { transfer, helpers, resolved, closed };
}
const finished = (host: string): Resolved => ({ kind: "finished", local: false, source: { ...FACTS, session: { name: host }, path: `/${host}`, format: "qcow2" } as unknown as Source });

describe("a copy whose source ends", () => {
  const outOfSpace = (helper: FakeHelper): void => {
    helper.jobAtStart = { len: 1, offset: 0, ready: false };
    const qmp = helper.qmp.bind(helper);
    helper.qmp = async (command, args) => {
      const answer = await qmp(command, args);
      if (command === "blockdev-mirror") helper.job!["io-status"] = "nospace";
      if (command === "block-job-resume" && helper.reopened.length > 1) helper.job = { ...helper.job!, ready: true, "io-status": "ok" };
      return answer;
    };
  };

  it("looks for another where it is a relay whose pool is full", async () => {
    const copies = new Copies(clock);
    const relay = copies.begin("relay", "relay");
    relay.isFed();
    const lost: string[] = [];
    const { transfer, resolved } = transferFrom(base("relay"), (ref) => (
      ref.host === "relay" ? { kind: "arriving", copy: relay, local: false } : finished(ref.host!)
    ), { onSourceLost: (error) => { lost.push(error.sourceHost); return Promise.resolve(base("other")); } }, outOfSpace);
    clock.after(50, () => copies.end("relay", new Error("storage pool default is full")));
    await transfer.run();
    assert.deepEqual([lost, resolved.map(({ host }) => host)], [["relay"], ["relay", "other"]]);
  });

  it("fails where its own pool is full", async () => {
    const { transfer } = transferFrom(base("other"), (ref) => finished(ref.host!), {}, outOfSpace);
    await assert.rejects(transfer.run(), /storage pool default is full/);
  });

  it("never takes what a failed relay left for an image, and goes on from another source", async () => {
    const copies = new Copies(clock);
    const relay = copies.begin("relay", "relay");
    const lost: string[] = [];
    const { transfer, resolved } = transferFrom(base("relay"), (ref) => {
      if (ref.host !== "relay") return finished(ref.host!);
      const copy = copies.get("relay");
      return copy ? { kind: "arriving", copy, local: false } : finished("relay");
    }, { onSourceLost: (error) => { lost.push(error.sourceHost); return Promise.resolve(base("other")); } });
    const running = transfer.run();
    await clock.sleep(20); // it waits until the relay is fed
    copies.end("relay", new SourceLostError("template", "relay", "gone"));
    await running;
    assert.deepEqual(lost, [relay.host]);
    assert.deepEqual(resolved.map((ref) => ref.host), ["relay", "other"]);
    assert.ok(transfer.needsTemplate);
  });

  it("fails when there is no other", async () => {
    const copies = new Copies(clock);
    const copy = copies.begin("relay", "relay");
    const { transfer } = transferFrom(base("relay"), () => ({ kind: "arriving", copy, local: false }));
    const running = transfer.run();
    await clock.sleep(20);
    copies.end("relay", new SourceLostError("template", "relay", "gone"));
    await assert.rejects(running, SourceLostError);
  });

  it("is vouched for by the template when it was that in the end, whatever it began with", async () => {
    let isLost = false;
    const { transfer, helpers } = transferFrom(base("one"), (ref) => {
      if (ref.kind !== "template" && isLost) throw new SourceLostError("one", "target", "gone");
      isLost = true;
      return finished(ref.host!);
    }, { onSourceLost: () => Promise.resolve({ kind: "template", host: "golden" }) }, (helper) => { helper.failNext = refused("blockdev-add"); });
    await transfer.run();
    assert.deepEqual([helpers.length, transfer.readsTemplate, transfer.needsTemplate], [1, true, true]);
  });

  it("needs no look at the template when it read finished copies alone", async () => {
    const { transfer } = transferFrom(base("one"), () => finished("one"));
    await transfer.run();
    assert.equal(transfer.needsTemplate, false);
  });
});

describe("a copy that is to change its source", () => {
  it("says no when it fails before it could, and ever after", async () => {
    const abort = new AbortController();
    const { transfer } = transferFrom(base("one"), () => finished("one"), { signal: abort.signal }, (helper) => {
      helper.jobAtStart = { len: 2, offset: 1, ready: false };
    });
    const running = transfer.run();
    await clock.sleep(20);
    const [change] = [transfer.redirect(base("two"))];
    abort.abort(new Error("enough"));
    await assert.rejects(running, /enough/);
    await assert.rejects(change, /enough/);
    await assert.rejects(transfer.redirect(base("two")), /enough/);
  });
});

describe("a copy under way", () => {
  const slow = (helper: FakeHelper): void => { helper.jobAtStart = { len: 2, offset: 1, ready: false }; };
  const finish = (helper: FakeHelper): void => { helper.job!.ready = true; };

  it("reads from where it is told to, the last order counting, and closes what it read from once", async () => {
    const { transfer, helpers, resolved, closed } = transferFrom(base("one"), (ref) => finished(ref.host!), {}, slow);
    const running = transfer.run();
    await clock.sleep(20);
    const overtaken = assert.rejects(transfer.redirect(base("two")), /another source was chosen meanwhile/);
    await transfer.redirect(base("three"));
    await overtaken;
    finish(helpers[0]!);
    await running;
    await transfer.redirect(base("four")); // it needs none any more
    assert.deepEqual([resolved.map(({ host }) => host), closed], [["one", "three"], ["one", "three"]]);
  });

  it("goes back to its relay where that has another helper, and looks for no other source", async () => {
    const relay = new Copy("relay", clock);
    relay.isFed();
    const { transfer, helpers, resolved } = transferFrom(base("relay"), () => ({ kind: "arriving", copy: relay, local: false }), { onSourceLost: () => assert.fail("it has one") }, slow);
    const running = transfer.run();
    await clock.sleep(20);
    relay.epoch++;
    helpers[0]!.job!["io-status"] = "failed";
    await clock.sleep(1000);
    helpers[0]!.job!["io-status"] = "ok";
    assert.ok(resolved.length > 1);
    finish(helpers[0]!);
    await running;
    assert.deepEqual([...new Set(resolved.map(({ host }) => host))], ["relay"]);
  });

  it("gives up a source that sends nothing for as long as it may", async () => {
    const lost: string[] = [];
    const { transfer, helpers } = transferFrom(base("one"), (ref) => finished(ref.host!), {
      onSourceLost: (error) => { lost.push(error.message); return Promise.resolve(base("two")); },
    }, slow);
    const begunMs = clock.nowMs();
    const running = transfer.run();
    while (lost.length === 0) await clock.sleep(100);
    assert.match(lost[0]!, /no byte from one for 1 s/);
    assert.ok(clock.nowMs() - begunMs < 1500);
    finish(helpers[0]!);
    await running;
  });

  it("answers an order that comes while its own helper is replaced", async () => {
    const { transfer, helpers, resolved } = transferFrom(base("one"), (ref) => finished(ref.host!), {}, slow);
    const running = transfer.run();
    await clock.sleep(20);
    helpers[0]!.failNext = { command: "query-block-jobs", error: new LibvirtError(1, 1, "domain is not running") };
    await transfer.redirect(base("two"));
    finish(helpers[1]!);
    await running;
    assert.deepEqual([helpers.length, resolved.map(({ host }) => host)], [2, ["one", "one", "two"]]);
  });
});

describe("a copy whose own helper goes", () => {
  it("begins again with another, wherever it was seen", async () => {
    const { transfer, helpers } = transferFrom(base("one"), () => finished("one"), {}, (helper) => {
      if (helpers.length > 1) return;
      helper.jobAtStart = { len: 2, offset: 1, ready: false };
      const gone = new LibvirtError(1, 1, "domain is not running");
      clock.after(20, () => {
        if (helper.job) helper.job["io-status"] = "failed";
        helper.failNext = { command: "yank", error: gone };
      });
    });
    await transfer.run();
    assert.equal(helpers.length, 2);
  });
});

describe("the pull of a disk", () => {
  it("stays with its source, and leaves nothing, when another cannot be connected", async () => {
    const helper = new FakeHelper();
    const pull = new Pull(asHelper(helper));
    await pull.connect(AT, 100);
    for (const command of ["blockdev-add", "object-add", "blockdev-reopen"]) {
      helper.failNext = refused(command);
      await assert.rejects(pull.connect(AT, 100), QmpError);
      assert.deepEqual(helper.sources, ["vmfleet-source-1"]);
    }
    await pull.connect(AT, 100);
    assert.equal(helper.sources.length, 1);
    assert.notDeepEqual(helper.sources, ["vmfleet-source-1"]);
    assert.equal([...helper.nodes].filter((name) => name.startsWith("vmfleet-limit")).length, 2, "one group, one filter");
  });

  it("stays over no file but the one it was started over", async () => {
    const helper = new FakeHelper();
    const pull = new Pull(asHelper(helper));
    await assert.rejects(pull.stayLocal("/image"), /no file/);
    helper.localFile = "/map";
    await assert.rejects(pull.stayLocal("/image"), /map/);
    helper.localFile = "/image";
    await pull.stayLocal("/image");
    assert.deepEqual(helper.reopened, ["libvirt-2-storage"]);
  });
});

describe("the copies of an adapter", () => {
  it("are remembered as failed until they are begun anew", () => {
    const copies = new Copies(clock);
    assert.equal(copies.endedWhole("key"), false);
    copies.begin("key", "host");
    copies.end("key", new Error("gone"));
    assert.throws(() => copies.endedWhole("key"), SourceLostError);
    copies.begin("key", "host");
    assert.equal(copies.endedWhole("key"), false);
    copies.end("key");
    assert.equal(copies.endedWhole("key"), true);
  });
});
