import type { XdrReader } from "./xdr";

/** An error that libvirt itself reported: `code` is virErrorNumber, `domain` virErrorDomain. */
export class LibvirtError extends Error {
  constructor(readonly code: number, readonly errorDomain: number, message: string) {
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

/** `remote_error`; only the first three fields carry anything today. */
export function decodeError(reader: XdrReader): LibvirtError {
  const code = reader.i32();
  const domain = reader.i32();
  const message = reader.optionalString() ?? `libvirt error ${code}`;
  return new LibvirtError(code, domain, message);
}

export function isLibvirtError(error: unknown, ...codes: number[]): error is LibvirtError {
  return error instanceof LibvirtError && codes.includes(error.code);
}
