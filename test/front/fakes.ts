/** A front over fake doors: what this room decides and says is seen without an engine or hosts. */
import { createFront, type Front, type FrontDependencies, type Manner } from "../../provider/front";
import { realClock } from "../../provider/async/clock";
import type { FleetPlan, FleetState, Observation } from "../../provider/fleet/model";
import type { Preview, RunRequest, RunResult } from "../../provider/engine/types";
import type { Hypervisor } from "../../provider/hypervisors/hypervisor";

export const RESOURCE = "workers of dev";
/** Stands for a value that is not known yet. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export const declared = {
  namePrefix: "workers",
  template: { host: "a1", pool: "default", volume: "golden.qcow2" },
  count: 2,
  hosts: [
    { name: "a1", uri: "qemu+ssh://root@a1/system", rack: "rack-a" },
    { name: "b1", uri: "qemu+ssh://root@b1/system", rack: "rack-b" },
  ],
};

/** What tells whose a new fleet is. */
export const origin = () => ({ urn: RESOURCE, backend: "file:///state on test" });

export const state = (changes: Partial<FleetState> = {}): FleetState => ({
  fleetId: "abcdefghij",
  incarnation: "0123456789abcdef",
  contentId: "c".repeat(64),
  members: [],
  replicas: [],
  snapshots: [],
  placement: { a1: 1, b1: 1 },
  hosts: [],
  lastRun: {
    policy: "rounds", makespanSeconds: 38, bytesMoved: 2e9, bytesAcrossRacks: 1e9, bytesResent: 0, created: 2, destroyed: 0, reconfigured: 0,
  },
  ...changes,
});

export const plan = (changes: Partial<FleetPlan> = {}): FleetPlan => ({
  fleetId: "abcdefghij", seedContentId: "c", create: [], adopt: [], keep: [], reconfigure: [], consolidate: [], complete: [], awaiting: [], move: [], destroy: [], lost: [],
  cleanup: [], removeReplicas: [], placement: {}, problems: [], warnings: [], ...changes,
});

export const create = { slot: 0, name: "workers-000", host: "a1", rack: "rack-a", kind: "full", generation: 0, image: { contentId: "c", disks: [{ bytes: 1e9 }] }, wave: 0, reason: "new" } as const;

export interface FrontWorld {
  front: Front;
  dependencies: FrontDependencies;
  said: { resource: string; text: string; manner: Manner }[];
  /** Names of the doors that were entered, and what they were given. */
  entered: { door: string; request: Partial<RunRequest> & { observation?: Observation } }[];
  exits: number[];
  written: { file: string; text: string }[];
  /** Names of the hosts that runs noted, and when a note was forgotten. */
  noted: (string[] | "forgotten")[];
  otherSideGoes(): void;
  closed(): number;
}

export interface Doors {
  apply?: (request: RunRequest) => Promise<FleetState>;
  /** What apply copied. @default nothing */
  clones?: RunResult["clones"];
  refresh?: (request: RunRequest) => Promise<FleetState | null>;
  remove?: (request: RunRequest) => Promise<void>;
  preview?: Partial<Preview>;
  observe?: () => Promise<Observation>;
  /** Noted by a run that never ended. */
  begun?: FleetState["hosts"];
}

const seen: Observation = { hosts: [] };

export function frontWorld(doors: Doors = {}): FrontWorld {
  const said: FrontWorld["said"] = [];
  const entered: FrontWorld["entered"] = [];
  const exits: number[] = [];
  const written: FrontWorld["written"] = [];
  const noted: FrontWorld["noted"] = [];
  let gone: () => void = () => undefined;
  let closed = 0;
  const enter = (door: string, request: object) => { entered.push({ door, request: request as never }); };
  const dependencies: FrontDependencies = {
    fleetDoors: {
      applyFleet: async (request) => {
        enter("apply", request);
        const made = doors.apply ? await doors.apply(request) : state({ fleetId: request.fleetId, incarnation: request.incarnation });
        return { state: made, plan: plan(), clones: doors.clones ?? [], summary: made.lastRun } satisfies RunResult;
      },
      refreshFleet: async (request) => (enter("refresh", request), doors.refresh ? doors.refresh(request) : state()),
      removeFleet: async (request) => (enter("remove", request), doors.remove?.(request)),
      previewFleet: async (request) => {
        enter("preview", request);
        return {
          plan: plan(), policy: "rounds", summary: state().lastRun, clones: [], text: "+2 VMs on 2 hosts in 2 racks",
          observed: request.observation !== undefined, ...doors.preview,
        };
      },
    },
    createHypervisor: () => ({
      abilities: {}, costs: {},
      observe: doors.observe ?? (async () => seen),
      close: async () => { closed++; },
    }) as Partial<Hypervisor> as Hypervisor,
    clock: { ...realClock, sleep: (ms, signal) => new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms);
      signal?.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
    }) },
    otherSide: {
      say: async (resource, text, manner) => { said.push({ resource, text, manner }); },
      onGone: (callback) => { gone = callback; },
    },
    isUnknown: (value) => value === UNKNOWN,
    writeFile: async (file, text) => {
      if (file.startsWith("/nowhere/")) throw new Error("ENOENT");
      written.push({ file, text });
    },
    begun: {
      hostsOf: () => doors.begun ?? [],
      note: ({ observation }) => { noted.push(observation.hosts.map((host) => host.name)); },
      forget: () => { noted.push("forgotten"); },
    },
    newIncarnation: () => "fedcba9876543210",
    holder: () => "pid 1 on test since 12:00:00",
    exit: (code) => { exits.push(code); },
    previewDeadlineMs: 50,
    progressIntervalMs: 10,
  };
  return { front: createFront(dependencies), dependencies, said, entered, exits, written, noted, otherSideGoes: () => gone(), closed: () => closed };
}
