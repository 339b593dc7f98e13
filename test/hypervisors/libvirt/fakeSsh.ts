/** Programs that stand for ssh (`command=` in the URI), and a daemon behind them. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MessageStatus, MessageType, Proc } from "../../../provider/hypervisors/libvirt/rpc/protocol";
import { XdrReader, XdrWriter } from "../../../provider/hypervisors/libvirt/rpc/xdr";

export interface FakeSsh {
  dir: string;
  /** Writes a program and gives the URI that runs it. */
  uri(name: string, script: string): string;
  remove(): void;
}

export function fakeSsh(): FakeSsh {
  const dir = mkdtempSync(join(tmpdir(), "vmfleet-ssh-"));
  return {
    dir,
    uri(name, script) {
      const file = join(dir, name);
      writeFileSync(file, script);
      chmodSync(file, 0o755);
      return `qemu+ssh://root@a1/system?command=${encodeURIComponent(file)}`;
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** Answers what opening a session asks, as a daemon without authentication does. */
export function speakLibvirt(socket: Socket): void {
  let bytes = Buffer.alloc(0);
  socket.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 4 && bytes.length >= bytes.readUInt32BE(0)) {
      const length = bytes.readUInt32BE(0);
      const r = new XdrReader(bytes.subarray(4, length));
      bytes = bytes.subarray(length);
      const program = r.u32();
      r.u32();
      const proc = r.i32();
      if (r.u32() !== MessageType.call) continue;
      const serial = r.u32();
      const body = (proc === Proc.authList ? new XdrWriter().u32(0) : proc === Proc.connectGetHostname ? new XdrWriter().string("a1") : new XdrWriter().i32(1)).toBuffer();
      socket.write(Buffer.concat([
        new XdrWriter().u32(28 + body.length).u32(program).u32(1).i32(proc).u32(MessageType.reply).u32(serial).u32(MessageStatus.ok).toBuffer(), body,
      ]));
    }
  });
  socket.on("error", () => undefined);
}

export interface Bastion {
  /** Makes connections of this bastion's, or is dropped by it. */
  script: string;
  dropped: number;
  most: number;
  close(): void;
}

const REFUSAL = "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n";

/**
 * An sshd with `MaxStartups at:100:at`: drops whatever comes while so many are being let in, which takes `handshakeMs`
 * each, and at first until one was dropped, however far apart a busy machine starts them.
 */
export async function bastion(dir: string, at: number, handshakeMs: number): Promise<Bastion> {
  const path = join(dir, "bastion");
  const made = { dropped: 0, most: 0, under: 0 };
  const server = createServer((socket) => {
    if (made.under >= at) {
      made.dropped++;
      socket.on("error", () => undefined);
      socket.end("R");
      return;
    }
    made.most = Math.max(made.most, ++made.under);
    const letIn = (): void => {
      if (made.dropped === 0) return void setTimeout(letIn, handshakeMs);
      made.under--;
      socket.write("G");
      speakLibvirt(socket);
    };
    setTimeout(letIn, handshakeMs);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    script: `#!${process.execPath}
const socket = require("net").connect(${JSON.stringify(path)});
socket.once("data", (chunk) => {
  if (chunk[0] === 82) { process.stderr.write(${JSON.stringify(REFUSAL)}, () => process.exit(255)); return; }
  if (chunk.length > 1) process.stdout.write(chunk.subarray(1));
  socket.pipe(process.stdout);
  process.stdin.pipe(socket);
});
socket.on("close", () => process.exit(0));
`,
    get dropped() { return made.dropped; },
    get most() { return made.most; },
    close: () => server.close(),
  };
}
