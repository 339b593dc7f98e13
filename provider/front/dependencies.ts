/** Everything this room does not decide itself, so that tests can put simulated hosts behind the real methods. */
import type { FleetSpec, FleetState } from "../fleet/model";
import type { Clock } from "../async/clock";
import type { Preview, PreviewRequest, RunRequest, RunResult } from "../engine/types";
import type { Hypervisor } from "../hypervisors/hypervisor";
import type { BegunRuns } from "./begun";
import type { OtherSide } from "./otherSide";

export interface FrontDependencies {
  fleetDoors: {
    applyFleet(request: RunRequest): Promise<RunResult>;
    removeFleet(request: RunRequest): Promise<void>;
    refreshFleet(request: RunRequest): Promise<FleetState | null>;
    previewFleet(request: PreviewRequest): Promise<Preview>;
  };
  /** @param holder goes into the tags of helpers and locks */
  createHypervisor(request: { spec: FleetSpec; holder: string }): Hypervisor;
  clock: Clock;
  otherSide: OtherSide;
  /** Tells input values that are not known yet. */
  isUnknown(value: unknown): boolean;
  /** On the machine that runs Pulumi. */
  writeFile(file: string, text: string): Promise<void>;
  begun: BegunRuns;
  newIncarnation(): string;
  /** Names this run to others that wait for its lock: `pid 123 on ci-7 since 12:00:03`. */
  holder(): string;
  /** Ends the process: nobody is on the other side, to read what comes next. */
  exit(code: number): void;
  /** How long a preview may look at the hosts. */
  previewDeadlineMs: number;
  /** At most one live text per this long. */
  progressIntervalMs: number;
}

