import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import fc from "fast-check";
import { RpcConnection } from "../../../provider/hypervisors/libvirt/rpc/connection";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { KeepaliveProc, MessageStatus, MessageType, Program } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { XdrReader, XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";
import { Peer } from "./peer";

const call = (rpc: RpcConnection, timeoutMs?: number) => rpc.call(Program.remote, 1, "test", new XdrWriter(), timeoutMs);

describe("XDR", () => {
  it("reads back what it wrote, padded to four bytes", () => {
    fc.assert(fc.property(fc.nat(0xffffffff), fc.integer(), fc.bigInt({ min: 0n, max: (1n << 53n) - 1n }), fc.string(), fc.option(fc.string()), (u, i, h, s, o) => {
      const b = new XdrWriter().u32(u).i32(i).u64(h).string(s).optionalString(o).toBuffer();
      assert.equal(b.length % 4, 0);
      const r = new XdrReader(b);
      assert.deepEqual([r.u32(), r.i32(), BigInt(r.u64()), r.string(), r.optionalString()], [u, i, h, s, o ?? null]);
    }));
  });

  it("refuses to read past the end", () => {
    assert.throws(() => new XdrReader(new XdrWriter().u32(100).toBuffer()).string(), RangeError);
  });

  it("refuses a list that claims more items than there are bytes for, before it makes any", () => {
    const claimed = () => new XdrReader(new XdrWriter().u32(60_000_000).u32(0).toBuffer());
    const made = { items: 0 };
    assert.throws(() => claimed().list((r) => { made.items++; return r; }), /a list of 60000000 items in 4 bytes/);
    assert.throws(() => claimed().list((r) => { made.items++; return r.u32(); }), RangeError);
    assert.equal(made.items, 0);
  });

  it("refuses items of a list that take no bytes", () => {
    assert.throws(() => new XdrReader(new XdrWriter().u32(1).u32(0).toBuffer()).list((r) => r), /takes no bytes/);
  });
});

describe("an RPC connection", () => {
  it("matches answers to calls by serial, in whatever order they come", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const calls = [call(rpc), call(rpc), call(rpc)];
    for (const serial of [3, 1, 2]) peer.answer(serial, new XdrWriter().u32(serial * 10));
    assert.deepEqual((await Promise.all(calls)).map((r) => r.u32()), [10, 20, 30]);
    rpc.close();
  });

  it("puts messages together however the bytes are cut", async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }), async (cuts) => {
      const peer = new Peer();
      const rpc = new RpcConnection(peer.stream, "peer");
      const calls = [call(rpc), call(rpc)];
      let bytes = Buffer.concat([1, 2].map((serial) => peer.frame(Program.remote, 1, MessageType.reply, serial, 0, new XdrWriter().string(`answer ${serial}`).toBuffer())));
      for (const cut of cuts) {
        if (bytes.length === 0) break;
        peer.stream.push(bytes.subarray(0, cut));
        bytes = bytes.subarray(cut);
      }
      if (bytes.length > 0) peer.stream.push(bytes);
      assert.deepEqual((await Promise.all(calls)).map((r) => r.string()), ["answer 1", "answer 2"]);
      rpc.close();
    }), { numRuns: 50 });
  });

  it("gives the daemon's own error, with its code", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const failed = call(rpc);
    peer.answer(1, new XdrWriter().i32(42).i32(10).optionalString("Domain not found").i32(2).u32(0), MessageStatus.error);
    await assert.rejects(failed, (e) => e instanceof LibvirtError && e.code === 42 && e.message === "Domain not found");
    rpc.close();
  });

  it("ends a call at its deadline and goes on with the others", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer", { clock: new VirtualClock() });
    const slow = call(rpc, 20);
    const fine = call(rpc);
    await assert.rejects(slow, CallTimeoutError);
    peer.answer(1, new XdrWriter()); // too late: nobody waits
    peer.answer(2, new XdrWriter().u32(7));
    assert.equal((await fine).u32(), 7);
    rpc.close();
  });

  it("keeps the place of a call that was given up until its late answer, and lets the line go at its deadline", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer", { clock: new VirtualClock() });
    const hung = [call(rpc, 5), call(rpc, 5), call(rpc, 5)];
    for (const one of hung) await assert.rejects(one, CallTimeoutError);
    assert.deepEqual([rpc.overdueCalls, rpc.isClogged, rpc.isOpen], [3, true, true]);
    await assert.rejects(call(rpc, 5), CallTimeoutError);
    assert.equal(peer.received.length, 3); // the fourth was never sent: the daemon has its hands full
    peer.answer(2, new XdrWriter());
    await new Promise(setImmediate);
    assert.deepEqual([rpc.overdueCalls, rpc.isClogged], [2, false]);
    const fine = call(rpc, 1_000);
    peer.answer(4, new XdrWriter().u32(7));
    assert.equal((await fine).u32(), 7);
    rpc.close();
  });

  it("ends the stream of a call that was given up, once the daemon opens it", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer", { clock: new VirtualClock() });
    await assert.rejects(rpc.callWithSerial(Program.remote, 1, "open a stream", new XdrWriter(), 5), CallTimeoutError);
    const ended = new Promise<Peer["received"][number]>((resolve) => { peer.onMessage = resolve; });
    peer.answer(1, new XdrWriter());
    const { type, serial, status } = await ended;
    assert.deepEqual([type, serial, status], [MessageType.stream, 1, MessageStatus.error]);
    rpc.close();
  });

  it("never has more than three calls under way, so that keepalive and urgent calls still get through", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const calls = Array.from({ length: 6 }, () => call(rpc));
    await new Promise(setImmediate);
    assert.equal(peer.received.length, 3);
    const urgent = rpc.callUrgently(Program.remote, 1, "urgent", new XdrWriter());
    await new Promise(setImmediate);
    assert.equal(peer.received.length, 4);
    peer.answer(4, new XdrWriter());
    await urgent;
    peer.onMessage = (m) => peer.answer(m.serial, new XdrWriter());
    for (const serial of [1, 2, 3]) peer.answer(serial, new XdrWriter());
    await Promise.all(calls);
    rpc.close();
  });

  it("answers a ping", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const pong = new Promise<number>((resolve) => { peer.onMessage = (m) => resolve(m.proc); });
    peer.stream.push(peer.frame(Program.keepalive, KeepaliveProc.ping, MessageType.message, 0, 0));
    assert.equal(await pong, KeepaliveProc.pong);
    rpc.close();
  });

  it("gives a silent peer up after the keepalive probes, failing every call", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer", { keepaliveIntervalMs: 5, keepaliveCount: 2, clock: new VirtualClock() });
    await assert.rejects(call(rpc), (e) => e instanceof ConnectionLostError && /no longer answers/.test(e.message));
    assert.equal(rpc.isOpen, false);
    await assert.rejects(call(rpc), ConnectionLostError);
  });

  it("names a peer that does not speak the protocol", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const failed = call(rpc);
    peer.stream.push(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"));
    await assert.rejects(failed, /peer does not speak libvirt's protocol/);
  });

  it("fails all calls when the socket closes", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const calls = [call(rpc), call(rpc)];
    peer.stream.push(null);
    for (const c of calls) await assert.rejects(c, ConnectionLostError);
  });
});
