import type { Duplex } from "node:stream";
import { every, realClock, type Clock } from "../../../async/clock";
import { CallTimeoutError, ConnectionLostError, decodeError } from "./errors";
import {
  HEADER_BYTES, KeepaliveProc, MAX_MESSAGE_BYTES, MessageStatus, MessageType, Program, PROGRAM_VERSION,
} from "./protocol";
import { Places } from "./places";
import { XdrReader, XdrWriter } from "./xdr";

export interface ConnectionOptions {
  /** Deadline of one call. @default 30000 */
  callTimeoutMs?: number;
  /** Time between keepalive pings. @default 5000 */
  keepaliveIntervalMs?: number;
  /** Unanswered pings after which the connection counts as dead. @default 3 */
  keepaliveCount?: number;
  /** @default realClock */
  clock?: Clock;
  /** Asked right before each call is sent; what it throws the caller gets, and nothing is sent. */
  mayCall?: () => void;
}

/**
 * Calls in flight at once. A daemon stops reading from a client that has `max_client_requests` (default 5) under way,
 * keepalive included: one place stays free, or five slow starts would look like a dead host. Another is kept for
 * urgent calls, which never wait behind slow ones.
 */
const MAX_IN_FLIGHT = 3;

interface Pending {
  program: number;
  proc: number;
  resolve(reader: XdrReader): void;
  reject(error: Error): void;
  forget(): void;
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
  /** Calls whose deadline passed before their answer: each keeps its place at the daemon until the answer comes. */
  private readonly overdue = new Map<number, { giveBack(): void; opensStream: boolean; proc: number }>();
  private readonly streams = new Map<number, StreamHandler>();
  /** What came on a stream that nobody listens to yet: the answer to the call that opens it may share its segment. */
  private readonly early = new Map<number, ((handler: StreamHandler) => void)[]>();
  private readonly listeners = new Set<MessageListener>();
  private readonly closeListeners = new Set<(error: ConnectionLostError) => void>();
  private chunks: Buffer[] = [];
  private buffered = 0;
  private closed: ConnectionLostError | undefined;
  private unanswered = 0;
  private readonly places: Places;
  private readonly endKeepalive: () => void;
  readonly clock: Clock;
  private readonly callTimeoutMs: number;
  private readonly keepaliveCount: number;

  constructor(private readonly socket: Duplex, readonly peer: string, private readonly options: ConnectionOptions = {}) {
    this.clock = options.clock ?? realClock;
    this.places = new Places(MAX_IN_FLIGHT, this.clock);
    this.callTimeoutMs = options.callTimeoutMs ?? 30_000;
    this.keepaliveCount = options.keepaliveCount ?? 3;
    socket.on("data", (chunk: Buffer) => this.onData(chunk));
    socket.on("error", (error) => this.fail(`connection to ${peer} failed: ${error.message}`, error));
    socket.on("end", () => this.fail(`${peer} closed the connection`));
    socket.on("close", () => this.fail(`connection to ${peer} closed`));
    this.endKeepalive = every(this.clock, options.keepaliveIntervalMs ?? 5_000, () => this.ping());
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

  /** How many calls were given up and are still unanswered. At three (see `isClogged`) nothing else gets through. */
  get overdueCalls(): number {
    return this.overdue.size;
  }
  /** Every place is held by a call that was given up: only another connection reaches this daemon now. */
  get isClogged(): boolean {
    return this.overdue.size >= MAX_IN_FLIGHT;
  }

  /**
   * One call. Rejects with LibvirtError (the daemon's own error), CallTimeoutError or ConnectionLostError.
   * A call that times out fails alone: its late answer is dropped, and the connection goes on for all others. Until that
   * answer comes the call keeps its place, because the daemon, too, still counts it.
   * `timeoutMs` 0: no deadline, for calls that are long by nature and watched otherwise.
   */
  async call(program: number, proc: number, name: string, args: XdrWriter, timeoutMs = this.callTimeoutMs): Promise<XdrReader> {
    return (await this.inPlace(program, proc, name, args, timeoutMs, false)).reader;
  }

  /** Like call, past all that waits. One at a time, and only for what the daemon answers at once. */
  async callUrgently(program: number, proc: number, name: string, args: XdrWriter, timeoutMs = this.callTimeoutMs): Promise<XdrReader> {
    return (await this.exchange(program, proc, name, args, timeoutMs, false, () => undefined)).reader;
  }

  /**
   * A call that opens a stream under its own serial. What comes on the stream is kept until `registerStream`, which the
   * caller owes. If the call is given up, its stream is ended as soon as the daemon opens it.
   */
  callWithSerial(
    program: number, proc: number, name: string, args: XdrWriter, timeoutMs = this.callTimeoutMs,
  ): Promise<{ reader: XdrReader; serial: number }> {
    return this.inPlace(program, proc, name, args, timeoutMs, true);
  }

  private async inPlace(
    program: number, proc: number, name: string, args: XdrWriter, timeoutMs: number, opensStream: boolean,
  ): Promise<{ reader: XdrReader; serial: number }> {
    if (this.closed) throw this.closed;
    const wait = this.places.take(timeoutMs, () => new CallTimeoutError(`${name} on ${this.peer}`, timeoutMs));
    if (wait) await wait;
    let mine = true;
    const giveBack = (): void => {
      if (mine) this.places.give();
      mine = false;
    };
    try {
      const answered = await this.exchange(program, proc, name, args, timeoutMs, opensStream, giveBack);
      giveBack();
      return answered;
    } catch (error) {
      if (!(error instanceof CallTimeoutError)) giveBack();
      throw error;
    }
  }

  private async exchange(
    program: number, proc: number, name: string, args: XdrWriter, timeoutMs: number, opensStream: boolean, giveBack: () => void,
  ): Promise<{ reader: XdrReader; serial: number }> {
    if (this.closed) throw this.closed;
    this.options.mayCall?.();
    const serial = ++this.serial;
    const reader = await new Promise<XdrReader>((resolve, reject) => {
      const forget = timeoutMs > 0
        ? this.clock.after(timeoutMs, () => {
          this.pending.delete(serial);
          this.early.delete(serial);
          this.overdue.set(serial, { giveBack, opensStream, proc });
          reject(new CallTimeoutError(`${name} on ${this.peer}`, timeoutMs));
        })
        : () => undefined;
      this.pending.set(serial, { program, proc, resolve, reject, forget });
      if (opensStream) this.early.set(serial, []);
      this.send(program, proc, MessageType.call, serial, MessageStatus.ok, args.toBuffer());
    });
    return { reader, serial };
  }

  /** Hears what has come on the stream already, then what comes. The answer ends the listening. */
  registerStream(serial: number, handler: StreamHandler): () => void {
    const early = this.early.get(serial) ?? [];
    this.early.delete(serial);
    this.streams.set(serial, handler);
    for (const tell of early) tell(handler);
    if (this.closed && this.streams.delete(serial)) handler.onError(this.closed);
    return () => this.streams.delete(serial);
  }

  /** Resolves when the socket has room again. */
  async sendStream(
    proc: number, serial: number, type: number, status: number, payload: Buffer,
  ): Promise<void> {
    if (this.closed) throw this.closed;
    if (this.send(Program.remote, proc, type, serial, status, payload)) return;
    await new Promise<void>((resolve, reject) => {
      const drained = (): void => {
        off();
        resolve();
      };
      const off = this.onClose((error) => {
        this.socket.removeListener("drain", drained);
        reject(error);
      });
      this.socket.once("drain", drained);
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
        this.fail(`${this.peer} does not speak libvirt's protocol (${beginning(this.chunks[0]!, length)})`);
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
    if (type === MessageType.reply) this.onReply(program, proc, serial, status, reader);
    else if (type === MessageType.stream || type === MessageType.streamHole) this.onStream(serial, status, reader);
    else if (type === MessageType.message) for (const listener of this.listeners) listener(program, proc, reader.fork());
  }

  private onReply(program: number, proc: number, serial: number, status: number, reader: XdrReader): void {
    const overdue = this.overdue.get(serial);
    if (overdue) {
      this.overdue.delete(serial);
      overdue.giveBack();
      // Nobody feeds or reads the stream that it opens: the daemon would keep it, and what it holds, to the end.
      if (overdue.opensStream && status === MessageStatus.ok) {
        this.send(Program.remote, overdue.proc, MessageType.stream, serial, MessageStatus.error, Buffer.alloc(0));
      }
      return;
    }
    const pending = this.pending.get(serial);
    if (!pending) return;
    if (pending.program !== program || pending.proc !== proc) {
      throw new RangeError(`an answer of procedure ${proc} to a call of ${pending.proc}`);
    }
    // Read before the call is forgotten: where reading fails, the connection's end must still find the call.
    const error = status === MessageStatus.ok ? undefined : decodeError(reader);
    this.pending.delete(serial);
    pending.forget();
    if (error) {
      this.early.delete(serial);
      pending.reject(error);
    } else pending.resolve(reader);
  }

  private onStream(serial: number, status: number, reader: XdrReader): void {
    const handler = this.streams.get(serial);
    const early = this.early.get(serial);
    if (!handler && !early) return;
    const error = status === MessageStatus.ok || status === MessageStatus.continue ? undefined : decodeError(reader);
    const tell = (to: StreamHandler): void => {
      if (status === MessageStatus.continue) return to.onData?.(reader.rest());
      this.streams.delete(serial);
      if (error) to.onError(error);
      else to.onEnd();
    };
    if (handler) tell(handler);
    else early!.push(tell);
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
    this.endKeepalive();
    this.socket.destroy();
    for (const pending of this.pending.values()) {
      pending.forget();
      pending.reject(error);
    }
    this.pending.clear();
    this.overdue.clear();
    this.places.close(error);
    const streams = [...this.streams.values()];
    this.streams.clear();
    for (const stream of streams) stream.onError(error);
    for (const listener of this.closeListeners) listener(error);
    this.closeListeners.clear();
  }
}

/** What came instead of a message: mostly a text, such as what a login shell prints on stdout. */
function beginning(chunk: Buffer, length: number): string {
  const text = chunk.subarray(0, 60).toString("latin1").split(/[^ -~]/)[0]!;
  return text.length >= 4 ? `it began with ${JSON.stringify(text)}` : `message of ${length} bytes`;
}
