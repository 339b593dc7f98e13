import type { XdrReader } from "./xdr";

/** An error that libvirt itself reported: `code` is virErrorNumber, `domain` virErrorDomain. */
export class LibvirtError extends Error {
  /** @param errno the host's own, where a system call failed: the same in every language */
  constructor(readonly code: number, readonly errorDomain: number, message: string, readonly errno?: number) {
    super(message);
    this.name = "LibvirtError";
  }
}

/** The connection is gone: socket closed, keepalive unanswered, or never opened. */
export class ConnectionLostError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "ConnectionLostError";
  }
}

/** One call was not answered within its deadline; the connection may still be fine. */
export class CallTimeoutError extends Error {
  constructor(readonly call: string, readonly deadlineMs: number) {
    super(`no answer to ${call} within ${deadlineMs / 1000} s`);
    this.name = "CallTimeoutError";
  }
}

/** A QMP command that QEMU refused; `errorClass` is QAPI's. */
export class QmpError extends Error {
  constructor(readonly command: string, readonly errorClass: string, readonly description: string) {
    super(`${command}: ${description}`);
    this.name = "QmpError";
  }
}

/** `remote_error`. What follows the message is read as far as it is there. */
export function decodeError(reader: XdrReader): LibvirtError {
  const code = reader.i32();
  const domain = reader.i32();
  const message = reader.optionalString() ?? `libvirt error ${code}`;
  return new LibvirtError(code, domain, message, code === SYSTEM_ERROR ? errnoAfter(reader) : undefined);
}

/** VIR_ERR_SYSTEM_ERROR: its first number is errno. */
const SYSTEM_ERROR = 38;
const UUID_BYTES = 16;

function errnoAfter(reader: XdrReader): number | undefined {
  try {
    reader.i32(); // level
    if (reader.u32() !== 0) {
      reader.string(); // the domain it is about
      reader.bytes(UUID_BYTES);
      reader.i32();
    }
    for (let i = 0; i < 3; i++) reader.optionalString();
    return reader.i32();
  } catch (error) {
    if (error instanceof RangeError) return undefined; // a short error is an error all the same
    throw error;
  }
}

export function isLibvirtError(error: unknown, ...codes: number[]): error is LibvirtError {
  return error instanceof LibvirtError && codes.includes(error.code);
}
