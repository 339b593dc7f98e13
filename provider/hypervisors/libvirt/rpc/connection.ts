import type { Duplex } from "node:stream";
import { CallTimeoutError, ConnectionLostError, decodeError } from "./errors";
import {
  HEADER_BYTES, KeepaliveProc, MAX_MESSAGE_BYTES, MessageStatus, MessageType, Program, PROGRAM_VERSION,
} from "./protocol";
import { XdrReader, XdrWriter } from "./xdr";

export interface ConnectionOptions {
  /** Deadline of one call. @default 30000 */
  callTimeoutMs?: number;
  /** Time between keepalive pings. @default 5000 */
  keepaliveIntervalMs?: number;
  /** Unanswered pings after which the connection counts as dead. @default 3 */
  keepaliveCount?: number;
}

/**
 * Calls in flight at once. A daemon stops reading from a client that has `max_client_requests` (default 5) under way,
 * keepalive included: one place stays free, or five slow starts would look like a dead host. Another is kept for
 * urgent calls, which never wait behind slow ones.
 */
const MAX_IN_FLIGHT = 3;

interface Pending {
  name: string;
  resolve(reader: XdrReader): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout | undefined;
}

export interface StreamHandler {
  onData?(payload: Buffer): void;
  onEnd(): void;
  onError(error: Error): void;
}

export type MessageListener = (program: number, proc: number, reader: XdrReader) => void;

/**
 * Framing, serials, deadlines and keepalive over one byte stream (unix socket, TCP socket or ssh's pipes).
 * Calls may be executed out of order by the daemon: await one before a call that depends on it.
 */
export class RpcConnection {
  private serial = 0;
  private readonly pending = new Map<number, Pending>();
  private readonly streams = new Map<number, StreamHandler>();
  private readonly listeners = new Set<MessageListener>();
  private readonly closeListeners = new Set<(error: ConnectionLostError) => void>();
  private chunks: Buffer[] = [];
  private buffered = 0;
  private closed: ConnectionLostError | undefined;
  private unanswered = 0;
  private inFlight = 0;
  private readonly waiting: (() => void)[] = [];
  private readonly keepaliveTimer: NodeJS.Timeout;
  private readonly callTimeoutMs: number;
  private readonly keepaliveCount: number;

  constructor(private readonly socket: Duplex, readonly peer: string, options: ConnectionOptions = {}) {
    this.callTimeoutMs = options.callTimeoutMs ?? 30_000;
    this.keepaliveCount = options.keepaliveCount ?? 3;
    socket.on("data", (chunk: Buffer) => this.onData(chunk));
    socket.on("error", (error) => this.fail(`connection to ${peer} failed: ${error.message}`, error));
    socket.on("end", () => this.fail(`${peer} closed the connection`));
    socket.on("close", () => this.fail(`connection to ${peer} closed`));
    this.keepaliveTimer = setInterval(() => this.ping(), options.keepaliveIntervalMs ?? 5_000);
    this.keepaliveTimer.unref();
  }

  get isOpen(): boolean {
    return this.closed === undefined;
  }

  onMessage(listener: MessageListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Called once, at once if it is closed already. */
  onClose(listener: (error: ConnectionLostError) => void): () => void {
    if (this.closed) listener(this.closed);
    else this.closeListeners.add(listener);
    return () => this.closeListeners.delete(listener);
  }

  /**
   * One call. Rejects with LibvirtError (the daemon's own error), CallTimeoutError or ConnectionLostError.
   * `timeoutMs` 0: no deadline, for calls that are long by nature and watched otherwise.
   */
  async call(program: number, proc: number, name: string, args: XdrWriter, timeoutMs?: number): Promise<XdrReader> {
    return (await this.callWithSerial(program, proc, name, args, timeoutMs)).reader;
  }

  /** Like call, past all that waits. One at a time, and only for what the daemon answers at once. */
  async callUrgently(program: number, proc: number, name: string, args: XdrWriter): Promise<XdrReader> {
    return (await this.exchange(program, proc, name, args, this.callTimeoutMs)).reader;
  }

  async callWithSerial(
    program: number, proc: number, name: string, args: XdrWriter, timeoutMs = this.callTimeoutMs,
  ): Promise<{ reader: XdrReader; serial: number }> {
    if (this.inFlight >= MAX_IN_FLIGHT) await new Promise<void>((go) => this.waiting.push(go));
    else this.inFlight++;
    try {
      return await this.exchange(program, proc, name, args, timeoutMs);
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.inFlight--;
    }
  }

  private async exchange(
    program: number, proc: number, name: string, args: XdrWriter, timeoutMs: number,
  ): Promise<{ reader: XdrReader; serial: number }> {
    if (this.closed) throw this.closed;
    const serial = ++this.serial;
    const reader = await new Promise<XdrReader>((resolve, reject) => {
      const timer = timeoutMs > 0
        ? setTimeout(() => {
          this.pending.delete(serial);
          reject(new CallTimeoutError(`${name} on ${this.peer}`, timeoutMs));
        }, timeoutMs)
        : undefined;
      this.pending.set(serial, { name, resolve, reject, timer });
      this.send(program, proc, MessageType.call, serial, MessageStatus.ok, args.toBuffer());
    });
    return { reader, serial };
  }

  registerStream(serial: number, handler: StreamHandler): () => void {
    this.streams.set(serial, handler);
    return () => this.streams.delete(serial);
  }

  /** Resolves when the socket has room again. */
  async sendStream(
    proc: number, serial: number, type: number, status: number, payload: Buffer,
  ): Promise<void> {
    if (this.closed) throw this.closed;
    if (this.send(Program.remote, proc, type, serial, status, payload)) return;
    await new Promise<void>((resolve, reject) => {
      const off = this.onClose(reject);
      this.socket.once("drain", () => {
        off();
        resolve();
      });
    });
  }

  close(): void {
    if (this.closed) return;
    this.fail(`connection to ${this.peer} was closed by us`);
  }

  private send(program: number, proc: number, type: number, serial: number, status: number, payload: Buffer): boolean {
    const header = new XdrWriter()
      .u32(HEADER_BYTES + payload.length).u32(program).u32(PROGRAM_VERSION).i32(proc).u32(type).u32(serial).u32(status)
      .toBuffer();
    return this.socket.write(Buffer.concat([header, payload]));
  }

  private onData(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    this.unanswered = 0; // whatever arrives shows that the peer lives
    while (this.buffered >= 4) {
      if (this.chunks.length > 1 && this.chunks[0]!.length < 4) this.chunks = [Buffer.concat(this.chunks)];
      const length = this.chunks[0]!.readUInt32BE(0);
      if (length < HEADER_BYTES || length > MAX_MESSAGE_BYTES) {
        this.fail(`${this.peer} does not speak libvirt's protocol (message of ${length} bytes)`);
        return;
      }
      if (this.buffered < length) return;
      const all = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
      const message = all.subarray(4, length);
      const rest = all.subarray(length);
      this.chunks = rest.length > 0 ? [rest] : [];
      this.buffered = rest.length;
      try {
        this.dispatch(message);
      } catch (error) {
        this.fail(`malformed message from ${this.peer}: ${(error as Error).message}`, error);
        return;
      }
    }
  }

  private dispatch(message: Buffer): void {
    const reader = new XdrReader(message);
    const program = reader.u32();
    reader.u32(); // version
    const proc = reader.i32();
    const type = reader.u32();
    const serial = reader.u32();
    const status = reader.u32();
    if (program === Program.keepalive) {
      if (proc === KeepaliveProc.ping) {
        this.send(Program.keepalive, KeepaliveProc.pong, MessageType.message, 0, MessageStatus.ok, Buffer.alloc(0));
      }
      return;
    }
    if (type === MessageType.reply) this.onReply(serial, status, reader);
    else if (type === MessageType.stream || type === MessageType.streamHole) this.onStream(serial, status, reader);
    else if (type === MessageType.message) for (const listener of this.listeners) listener(program, proc, reader);
  }

  private onReply(serial: number, status: number, reader: XdrReader): void {
    const pending = this.pending.get(serial);
    if (!pending) return; // answered after its deadline
    this.pending.delete(serial);
    clearTimeout(pending.timer);
    if (status === MessageStatus.ok) pending.resolve(reader);
    else pending.reject(decodeError(reader));
  }

  private onStream(serial: number, status: number, reader: XdrReader): void {
    const handler = this.streams.get(serial);
    if (!handler) return;
    if (status === MessageStatus.continue) handler.onData?.(reader.rest());
    else {
      this.streams.delete(serial);
      if (status === MessageStatus.ok) handler.onEnd();
      else handler.onError(decodeError(reader));
    }
  }

  private ping(): void {
    if (this.unanswered >= this.keepaliveCount) {
      this.fail(`${this.peer} no longer answers (${this.unanswered} keepalive probes)`);
      return;
    }
    this.unanswered++;
    this.send(Program.keepalive, KeepaliveProc.ping, MessageType.message, 0, MessageStatus.ok, Buffer.alloc(0));
  }

  private fail(message: string, cause?: unknown): void {
    if (this.closed) return;
    const error = new ConnectionLostError(message, { cause });
    this.closed = error;
    clearInterval(this.keepaliveTimer);
    this.socket.destroy();
    for (const pending of this.pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.pending.clear();
    for (const stream of this.streams.values()) stream.onError(error);
    this.streams.clear();
    for (const listener of this.closeListeners) listener(error);
    this.closeListeners.clear();
  }
}
