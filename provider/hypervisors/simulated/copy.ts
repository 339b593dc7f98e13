/** One copy in the simulated datacenter: what was ordered, how it stands, and what breaks it. */
import type { CallContext, CloneResult, ImageRef } from "../hypervisor";
import { HostUnreachableError, NoSpaceError, SourceLostError } from "../hypervisor";
import type { Flow } from "../../scheduler/time/flows";
import type { Fault } from "./options";

export interface CopySource {
  /** null: the provider's own machine. */
  host: string | null;
  /** Names what is being read, so that its removal breaks the copy and a copy under way is found. */
  key: string;
}

export interface CopyOrder {
  source: CopySource;
  /** Looks whether this may be read. @throws SourceLostError and others of the port */
  sourceOf: (ref: ImageRef) => CopySource;
  targetHost: string;
  targetKey: string;
  slot: number | undefined;
  /** There already, of an earlier attempt. @default 0 */
  arrivedBytes?: number;
  context: CallContext;
  /** What arrives: its bytes are written there when somebody asks for them, and at the end. */
  image: { bytes: number };
}

export interface Copy {
  order: CopyOrder;
  source: CopySource;
  flow: Flow<Copy>;
  upstream: Copy | undefined;
  /** It is being given this source, and goes to it at once if it loses its own. */
  turning: { ref: ImageRef; over: (error?: Error) => void } | undefined;
  /** Made when there is one. */
  readers: Set<Copy> | undefined;
  /** Hosts on which it counts. */
  loads: number[];
  /** Part of the image at which it fails. */
  part: number;
  failure: Error | undefined;
  bytesMoved: number;
  bytesResent: number;
  /** Of the image, when its present source took over. */
  bytesBefore: number;
  resolve(result: CloneResult): void;
  reject(error: Error): void;
  /** It hears of the run's abort no more. */
  unlisten: (() => void) | undefined;
}

export const lost = (host: string, copy: Copy, message: string): SourceLostError =>
  new SourceLostError(host, copy.order.targetHost, message);

export function failureOf(fault: Extract<Fault, { kind: "cloneFails" }>, copy: Copy): Error {
  const { targetHost } = copy.order;
  switch (fault.error) {
    case "sourceLost":
      return lost(copy.source.host ?? "", copy, `the source on ${copy.source.host} stopped sending`);
    case "noSpace":
      return new NoSpaceError(targetHost, "clone", "the pool is full");
    case "hostUnreachable":
      return new HostUnreachableError(targetHost, "clone", "the host stopped answering");
  }
}
