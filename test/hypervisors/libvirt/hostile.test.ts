/** A daemon that says anything at all: whatever comes, every call and every stream settles, within its deadline. */
import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import fc from "fast-check";
import { LibvirtClient } from "../../../provider/hypervisors/libvirt/rpc/client";
import { RpcConnection } from "../../../provider/hypervisors/libvirt/rpc/connection";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { HEADER_BYTES, MessageStatus, MessageType, Proc, Program } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { uploadStream } from "../../../provider/hypervisors/libvirt/rpc/stream";
import { XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";
import { Peer } from "./peer";

const libvirtError = (message: string): Buffer => new XdrWriter().i32(1).i32(10).optionalString(message).i32(2).u32(0).toBuffer();

async function* zeros(chunks: number): AsyncGenerator<{ data: Buffer }> {
  for (let i = 0; i < chunks; i++) yield await Promise.resolve({ data: Buffer.alloc(1_000) });
}

describe("a hostile daemon", function () {
  this.timeout(60_000); // a fuzzer, on a machine that may be busy

  it("settles a call by an error reply whose body is cut short", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const failed = rpc.call(Program.remote, 1, "test", new XdrWriter());
    peer.answer(1, new XdrWriter().i32(42), MessageStatus.error);
    await assert.rejects(failed, (e) => e instanceof ConnectionLostError && /malformed message from peer/.test(e.message));
  });

  it("settles a stream by an error whose body is cut short", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const failed = uploadStream(rpc, 1, 1, zeros(1));
    peer.stream.push(peer.frame(Program.remote, 1, MessageType.stream, 1, MessageStatus.error, Buffer.alloc(4)));
    await assert.rejects(failed, ConnectionLostError);
  });

  it("does not take the answer to another procedure for its own", async () => {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer");
    const failed = rpc.call(Program.remote, 7, "test", new XdrWriter());
    peer.answer(1, new XdrWriter());
    await assert.rejects(failed, /an answer of procedure 1 to a call of 7/);
  });

  /** Opens an upload as the client does, over a daemon that answers with these frames in one segment. */
  async function upload(frames: (peer: Peer, serial: number) => Buffer[], signal?: AbortSignal, lastWordMs?: number): Promise<void> {
    const peer = new Peer();
    const rpc = new RpcConnection(peer.stream, "peer", lastWordMs === undefined ? {} : { clock: new VirtualClock() });
    peer.onMessage = (m) => {
      if (m.type === MessageType.call) peer.stream.push(Buffer.concat(frames(peer, m.serial)));
    };
    try {
      const { serial } = await rpc.callWithSerial(Program.remote, Proc.storageVolUpload, "upload", new XdrWriter(), 1_000);
      await uploadStream(rpc, Proc.storageVolUpload, serial, zeros(3), signal, lastWordMs);
    } finally {
      rpc.close();
    }
  }
  const opened = (peer: Peer, serial: number): Buffer =>
    peer.frame(Program.remote, Proc.storageVolUpload, MessageType.reply, serial, MessageStatus.ok);

  it("gives an upload's error that came in one segment with the answer", async () => {
    await assert.rejects(upload((peer, serial) => [
      opened(peer, serial),
      peer.frame(Program.remote, Proc.storageVolUpload, MessageType.stream, serial, MessageStatus.error, libvirtError("the disk is full")),
    ]), (e) => e instanceof LibvirtError && e.message === "the disk is full");
  });

  it("gives an upload the end of a connection that died with the answer", async () => {
    await assert.rejects(upload((peer, serial) => [opened(peer, serial), Buffer.alloc(HEADER_BYTES)]), ConnectionLostError);
  });

  it("does not wait for ever for the last word on an upload", async () => {
    await assert.rejects(upload((peer, serial) => [opened(peer, serial)], undefined, 10), CallTimeoutError);
  });

  it("ends an upload that waits for its last word when the run is aborted", async () => {
    const abort = new AbortController();
    const failed = upload((peer, serial) => [opened(peer, serial)], abort.signal);
    setImmediate(() => abort.abort());
    await assert.rejects(failed, { name: "AbortError" });
  });

  const DEADLINE_MS = 15;
  const word = fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 6, 27, 28, 0xffffffff, 60_000_000), fc.nat({ max: 0xffffffff }));
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes)),
    fc.array(word, { maxLength: 12 }).map((words) => words.reduce((w, n) => w.u32(n), new XdrWriter()).toBuffer()),
    fc.string({ maxLength: 20 }).map(libvirtError),
    fc.string({ maxLength: 20 }).map((text) => new XdrWriter().string(text).toBuffer()),
  );
  /** What the daemon says: a frame, well made or not, for a call that there is or not; or bytes; or the end. */
  const saying = fc.oneof(
    { weight: 8, arbitrary: fc.record({
      kind: fc.constant("frame" as const),
      program: fc.constantFrom<number>(Program.remote, Program.remote, Program.remote, Program.qemu, Program.keepalive, 7),
      proc: fc.oneof(fc.constant(undefined), fc.constantFrom<number>(1, 2, Proc.domainEventBlockJob2, Proc.domainEventCallbackLifecycle)),
      type: fc.constantFrom<number>(...Object.values(MessageType), 0, 9),
      serial: fc.integer({ min: 0, max: 12 }),
      status: fc.constantFrom<number>(0, 0, 1, 2, 3),
      body,
      lie: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: -40, max: 40_000_000 }) }),
    }) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => ({ kind: "bytes" as const, bytes: Buffer.from(bytes) })) },
    { weight: 1, arbitrary: fc.constantFrom({ kind: "end" as const }, { kind: "destroy" as const }) },
  );

  it("settles every call, upload and listener, whatever is said, cut and joined as it may be", async () => {
    await fc.assert(fc.asyncProperty(
      fc.array(saying, { maxLength: 14 }), fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 12 }), fc.boolean(),
      async (sayings, cuts, joined) => {
        const peer = new Peer();
        const procs = new Map<number, number>();
        peer.onMessage = (m) => { if (m.type === MessageType.call) procs.set(m.serial, m.proc); };
        const options = { callTimeoutMs: DEADLINE_MS, keepaliveIntervalMs: 5_000 };
        const client = await open(peer, options);
        const started = performance.now();
        const asked: Promise<unknown>[] = [
          client.listDomains(), client.nodeUpSeconds(), client.capabilities(), client.lookupPool("p"),
          client.events.onBlockJob(() => undefined), client.events.onLifecycle(() => undefined),
          client.qmp({ name: "d", uuid: Buffer.alloc(16), id: 1 }, "query-status", undefined, DEADLINE_MS),
          client.peekDisk({ name: "d", uuid: Buffer.alloc(16), id: 1 }, "vda", 0, 512),
          client.uploadVolume({ pool: "p", name: "v", key: "k" }, 3_000, zeros(3), AbortSignal.timeout(DEADLINE_MS * 8)),
        ];
        const settled = Promise.allSettled(asked);
        await say(peer, sayings, procs, cuts, joined);
        await settled;
        // Three places, nine calls, a line that moves: a few deadlines, and the machine's own slowness.
        assert.ok(performance.now() - started < DEADLINE_MS * 8 + 15_000);
        client.close();
      },
    ), { numRuns: 150, seed: 24 });
  });

  it("settles the opening of a session, whatever is said", async () => {
    await fc.assert(fc.asyncProperty(fc.array(saying, { maxLength: 6 }), async (sayings) => {
      const peer = new Peer();
      const procs = new Map<number, number>();
      peer.onMessage = (m) => { procs.set(m.serial, m.proc); };
      const settled = LibvirtClient.open(peer.stream, "peer", "qemu:///system", { callTimeoutMs: DEADLINE_MS })
        .then((client) => client.close(), () => undefined);
      await say(peer, sayings, procs, [], true);
      await settled;
    }), { numRuns: 60, seed: 24 });
  });

  async function open(peer: Peer, options: { callTimeoutMs: number; keepaliveIntervalMs: number }): Promise<LibvirtClient> {
    const sane = peer.onMessage;
    peer.onMessage = (m) => {
      const reply = m.proc === Proc.authList ? new XdrWriter().u32(0) : m.proc === Proc.connectSupportsFeature ? new XdrWriter().i32(1) : new XdrWriter();
      peer.stream.push(peer.frame(m.program, m.proc, MessageType.reply, m.serial, MessageStatus.ok, reply.toBuffer()));
    };
    const client = await LibvirtClient.open(peer.stream, "peer", "qemu:///system", options);
    peer.onMessage = sane;
    return client;
  }

  async function say(
    peer: Peer, sayings: readonly (typeof saying extends fc.Arbitrary<infer T> ? T : never)[], procs: ReadonlyMap<number, number>,
    cuts: readonly number[], joined: boolean,
  ): Promise<void> {
    const parts: Buffer[] = [];
    let end: (() => void) | undefined;
    for (const one of sayings) {
      if (one.kind === "bytes") parts.push(one.bytes);
      else if (one.kind === "frame") {
        const frame = peer.frame(one.program, one.proc ?? procs.get(one.serial) ?? 1, one.type, one.serial, one.status, one.body);
        frame.writeUInt32BE(Math.max(0, frame.length + one.lie), 0);
        parts.push(frame);
      } else {
        end = one.kind === "end" ? () => peer.stream.push(null) : () => peer.stream.destroy(new Error("reset"));
        break;
      }
    }
    let bytes = Buffer.concat(parts);
    for (const cut of joined ? [] : cuts) {
      if (bytes.length === 0 || peer.stream.destroyed) break;
      peer.stream.push(bytes.subarray(0, cut));
      bytes = bytes.subarray(cut);
      await new Promise(setImmediate);
    }
    if (peer.stream.destroyed) return;
    if (bytes.length > 0) peer.stream.push(bytes);
    end?.();
  }
});
