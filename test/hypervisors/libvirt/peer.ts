import { Duplex } from "node:stream";
import { HEADER_BYTES, MessageStatus, MessageType, Program } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { XdrReader, XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";

/** The daemon's end of a connection, in memory: what it received, and a way to say something. */
export class Peer {
  readonly received: { program: number; proc: number; type: number; serial: number; status: number; body: Buffer }[] = [];
  readonly stream: Duplex;
  onMessage: (message: Peer["received"][number]) => void = () => undefined;

  constructor() {
    this.stream = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _e, done) => {
        const r = new XdrReader(chunk.subarray(4));
        const program = r.u32();
        r.u32();
        const proc = r.i32();
        const message = { program, proc, type: r.u32(), serial: r.u32(), status: r.u32(), body: chunk.subarray(HEADER_BYTES) };
        this.received.push(message);
        this.onMessage(message);
        done();
      },
    });
  }

  frame(program: number, proc: number, type: number, serial: number, status: number, body: Buffer = Buffer.alloc(0)): Buffer {
    return Buffer.concat([
      new XdrWriter().u32(HEADER_BYTES + body.length).u32(program).u32(1).i32(proc).u32(type).u32(serial).u32(status).toBuffer(), body,
    ]);
  }
  answer(serial: number, body: XdrWriter, status: number = MessageStatus.ok): void {
    this.stream.push(this.frame(Program.remote, 1, MessageType.reply, serial, status, body.toBuffer()));
  }
}
