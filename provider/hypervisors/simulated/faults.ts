/** What goes wrong in the simulated datacenter, at its time. */
import { HostUnreachableError, NoSpaceError, SourceLostError } from "../hypervisor";
import type { VirtualClock } from "./clock";
import type { Fault } from "./options";

export interface FaultActs {
  takeDown(host: string): void;
  bringUp(host: string): void;
  slow(host: string, factor: number, direction: "out" | "both"): void;
  changeTemplate(): void;
  loseLocks(): void;
}

/** All but those of copies, which `CopyFaults` has. */
export function armFaults(faults: readonly Fault[], clock: VirtualClock, acts: FaultActs): void {
  const at = (seconds: number, fire: () => void): void => {
    if (seconds <= clock.nowMs() / 1000) fire();
    else clock.at(seconds * 1000, fire, { daemon: true });
  };
  for (const fault of faults) {
    switch (fault.kind) {
      case "cloneFails":
        break;
      case "hostDown":
        at(fault.atSeconds, () => acts.takeDown(fault.host));
        if (fault.untilSeconds !== undefined) at(fault.untilSeconds, () => acts.bringUp(fault.host));
        break;
      case "slowHost":
        at(fault.fromSeconds ?? 0, () => acts.slow(fault.host, fault.factor, fault.direction ?? "both"));
        break;
      case "templateChanges":
        at(fault.atSeconds, acts.changeTemplate);
        break;
      case "lockLost":
        at(fault.atSeconds, acts.loseLocks);
    }
  }
}

type CopyFault = Extract<Fault, { kind: "cloneFails" }>;

/** Those of copies, each as often as it was asked for. */
export class CopyFaults {
  private readonly armed: { fault: CopyFault; left: number }[];

  constructor(faults: readonly Fault[]) {
    this.armed = faults.filter((fault) => fault.kind === "cloneFails").map((fault) => ({ fault, left: fault.times ?? 1 }));
  }

  /** What the copy that begins now fails of. */
  take(targetHost: string, slot: number | undefined): CopyFault | undefined {
    const next = this.armed.find(({ fault, left }) => left > 0 && fault.targetHost === targetHost && (fault.slot === undefined || fault.slot === slot));
    if (next) next.left--;
    return next?.fault;
  }
}

/** @param sourceHost null: the provider's own machine */
export function failureOf({ error, targetHost }: CopyFault, sourceHost: string | null): Error {
  switch (error) {
    case "sourceLost":
      return new SourceLostError(sourceHost ?? "", targetHost, `the source on ${sourceHost} stopped sending`);
    case "noSpace":
      return new NoSpaceError(targetHost, "clone", "the pool is full");
    case "hostUnreachable":
      return new HostUnreachableError(targetHost, "clone", "the host stopped answering");
  }
}
