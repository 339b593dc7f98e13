import type { RpcConnection } from "./connection";
import { CallTimeoutError, ConnectionLostError } from "./errors";
import { MessageStatus, MessageType } from "./protocol";

/**
 * Takes what a download stream brings (virnetprotocol.x, VIR_NET_STREAM): data, then an empty packet, after which the
 * daemon waits for our word that all is well. A daemon that sends more than was asked for, or nothing any more, fails the
 * read alone.
 * @param mostBytes asked for; what comes may be less, at the file's end
 * @throws LibvirtError the daemon's own, CallTimeoutError, ConnectionLostError
 */
export async function downloadStream(rpc: RpcConnection, proc: number, serial: number, mostBytes: number, deadlineMs: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let bytes = 0;
  let isEnded = false;
  const ends: (() => void)[] = [];
  const say = (status: number): void => void rpc.sendStream(proc, serial, MessageType.stream, status, Buffer.alloc(0)).catch(() => undefined);
  try {
    await new Promise<void>((resolve, reject) => {
      ends.push(rpc.clock.after(deadlineMs, () => reject(new CallTimeoutError(`a read of ${mostBytes} bytes from ${rpc.peer}`, deadlineMs))));
      const end = (): void => {
        isEnded = true;
        resolve();
      };
      ends.push(rpc.onClose(reject), rpc.registerStream(serial, {
        onData(payload) {
          if (isEnded) return; // nobody asked
          if (payload.length === 0) return end();
          bytes += payload.length;
          if (bytes > mostBytes) return reject(new ConnectionLostError(`${rpc.peer} sends more than it was asked for`));
          parts.push(payload);
        },
        onEnd: end,
        onError: reject,
      }));
    });
    say(MessageStatus.ok);
    return Buffer.concat(parts, bytes);
  } catch (error) {
    if (rpc.isOpen) say(MessageStatus.error);
    throw error;
  } finally {
    for (const end of ends) end();
  }
}
