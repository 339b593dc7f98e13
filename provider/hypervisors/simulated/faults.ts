/** What goes wrong in the simulated datacenter, at its time. */
import type { VirtualClock } from "./clock";
import type { Fault } from "./options";

export interface FaultActs {
  takeDown(host: string): void;
  bringUp(host: string): void;
  slow(host: string, factor: number, direction: "out" | "both"): void;
  changeTemplate(): void;
  loseLocks(): void;
}

/** Those of copies are the copies' own. */
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
