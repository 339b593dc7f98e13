/** What is read of a volume by way of its daemon, however the daemon behaves. */
import assert from "node:assert/strict";
import { VirtualClock } from "../../../provider/hypervisors/simulated/clock";
import fc from "fast-check";
import { downloadStream } from "../../../provider/hypervisors/libvirt/rpc/download";
import { RpcConnection } from "../../../provider/hypervisors/libvirt/rpc/connection";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "../../../provider/hypervisors/libvirt/rpc/errors";
import { MessageStatus, MessageType, Proc, Program } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";
import { Peer } from "./peer";

const PROC = Proc.storageVolDownload;
type Frame = [status: number, body: Buffer];
const data = (text: string): Frame => [MessageStatus.continue, Buffer.from(text)];
const END: Frame = [MessageStatus.continue, Buffer.alloc(0)];
const failed: Frame = [MessageStatus.error, new XdrWriter().i32(38).i32(18).optionalString("cannot read it").i32(2).u32(0).toBuffer()];

/** Against a daemon that says these frames in one segment with its answer. */
async function read(mostBytes: number, frames: Frame[], deadlineMs = 50): Promise<{ bytes: Buffer; said: number[] }> {
  const peer = new Peer();
  const rpc = new RpcConnection(peer.stream, "peer", { clock: new VirtualClock() });
  peer.onMessage = (message) => {
    if (message.type !== MessageType.call) return;
    peer.stream.push(Buffer.concat([
      peer.frame(Program.remote, PROC, MessageType.reply, message.serial, MessageStatus.ok),
      ...frames.map(([status, body]) => peer.frame(Program.remote, PROC, MessageType.stream, message.serial, status, body)),
    ]));
  };
  try {
    const { serial } = await rpc.callWithSerial(Program.remote, PROC, "download", new XdrWriter(), 1_000);
    const bytes = await downloadStream(rpc, PROC, serial, mostBytes, deadlineMs);
    return { bytes, said: peer.received.filter(({ type }) => type === MessageType.stream).map(({ status }) => status) };
  } finally {
    rpc.close();
  }
}

describe("a read of a volume", () => {
  it("is all that comes before the end, which is confirmed", async () => {
    assert.deepEqual(await read(10, [data("abc"), data("def"), END]), { bytes: Buffer.from("abcdef"), said: [MessageStatus.ok] });
    assert.deepEqual((await read(10, [END])).bytes, Buffer.alloc(0));
    assert.deepEqual((await read(10, [data("abc"), [MessageStatus.ok, Buffer.alloc(0)]])).bytes, Buffer.from("abc"));
  });

  it("fails alone where the daemon cannot read, falls silent, or says more than it was asked", async () => {
    await assert.rejects(read(10, [data("abc"), failed]), (error) => error instanceof LibvirtError && error.message === "cannot read it");
    await assert.rejects(read(10, [data("abc")]), CallTimeoutError);
    await assert.rejects(read(4, [data("abc"), data("def"), END]), /sends more than it was asked for/);
  });

  it("settles within its deadline, with no more than was asked for, whatever the daemon says", async () => {
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((body): Frame => [MessageStatus.continue, Buffer.from(body)]),
      fc.tuple(fc.integer({ min: 0, max: 4 }), fc.uint8Array({ maxLength: 20 })).map(([status, body]): Frame => [status, Buffer.from(body)]),
      fc.constant(END),
    );
    await fc.assert(fc.asyncProperty(fc.integer({ min: 1, max: 100 }), fc.array(frame, { maxLength: 8 }), async (most, frames) => {
      try {
        const { bytes } = await read(most, frames, 5);
        assert.ok(bytes.length <= most);
      } catch (error) {
        if (!(error instanceof LibvirtError) && !(error instanceof CallTimeoutError) && !(error instanceof ConnectionLostError)) throw error;
      }
    }), { numRuns: 300, seed: 18 });
  });
});
