/**
 * Which hosts a run works on, noted on the machine that runs Pulumi until the run has an end that Pulumi records. Of a
 * run that is killed Pulumi's state says nothing: a host that is taken out of the program before the next run would be
 * known to nobody, and its members would run on beside new ones of their names and addresses. What is noted counts as a
 * recorded host with work undone: it is looked at, emptied as any host that is no longer declared, and asked for when it
 * does not answer.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addressOf, knowHosts, NO_RUN, parseState, recordedAddress, recordState, redact, withoutPassword } from "../fleet";
import type { FleetSpec, FleetState, Observation, RecordedHost } from "../fleet/model";

interface Run {
  spec: FleetSpec;
  fleetId: string;
  incarnation: string;
  previous?: FleetState;
}

/** A password of an address stays in Pulumi's state, encrypted: without it the host is the same. */
const shownAddress = (host: RecordedHost): string => redact(recordedAddress(host));

export interface BegunRuns {
  /** Of a run of this fleet that never ended; none where none is known of. */
  hostsOf(fleetId: string): RecordedHost[];
  note(run: Run & { observation: Observation }): void;
  forget(fleetId: string): void;
}

/** The run with the noted hosts that it would not know of otherwise. */
export function withBegun<T extends Run>(run: T, begun: readonly RecordedHost[]): T {
  const { spec, fleetId, incarnation, previous } = run;
  const known = new Set([...spec.hosts.map((host) => redact(addressOf(host))), ...(previous?.hosts ?? []).map(shownAddress)]);
  const extra = begun.filter((host) => !known.has(shownAddress(host))).map((host) => ({ ...host, unsettled: true, noted: true }));
  if (extra.length === 0) return run;
  const recorded: FleetState = previous ?? {
    fleetId, incarnation, defaultsVersion: spec.defaultsVersion, contentId: "", members: [], replicas: [], snapshots: [], placement: {}, hosts: [], lastRun: NO_RUN,
  };
  return { ...run, previous: { ...recorded, hosts: [...recorded.hosts, ...extra] } };
}

/**
 * What was noted of a killed run is known otherwise by now, or nothing of it is left. Asked where a look at the hosts found
 * nothing to do: no run follows then whose end would have the note forgotten.
 */
export function isOutlived(run: Run, begun: readonly RecordedHost[], observation: Observation): boolean {
  const { hosts } = knowHosts(run.spec, withBegun(run, begun).previous, observation);
  const recorded = new Set((run.previous?.hosts ?? []).map(shownAddress));
  return begun.every((one) => {
    const address = shownAddress(one);
    if (recorded.has(address)) return true;
    const host = hosts.find(({ declared, recorded: noted }) =>
      (declared && redact(addressOf(declared.spec)) === address) || (noted && shownAddress(noted) === address));
    return host?.seen !== undefined && (host.declared !== undefined || host.seen.members.length + host.seen.leftovers.length === 0);
  });
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // a disk that is full or read-only
  }
}

/** Notes in a folder, a file a fleet. One that cannot be written or read is done without: it must not stop a run. */
export function begunIn(folder: string): BegunRuns {
  const fileOf = (fleetId: string) => join(folder, `${encodeURIComponent(fleetId)}.json`);
  return {
    hostsOf(fleetId) {
      try {
        return parseState(JSON.parse(readFileSync(fileOf(fleetId), "utf8")))?.hosts ?? [];
      } catch {
        return [];
      }
    },
    note({ observation, ...run }) {
      const { fleetId, incarnation } = run;
      const declared = recordState({ ...run, observation, lastRun: NO_RUN }).hosts;
      // Those that the run knows of otherwise are worked on as well, and what it does there may not come to its end.
      const known = new Map([...run.previous?.hosts ?? [], ...declared].map((host) => [shownAddress(host), withoutPassword(host)]));
      const hosts = [...known.values()];
      const partial = `${fileOf(fleetId)}.${process.pid}`;
      attempt(() => {
        mkdirSync(folder, { recursive: true, mode: 0o700 });
        writeFileSync(partial, JSON.stringify({ fleetId, incarnation, hosts }), { mode: 0o600 });
        renameSync(partial, fileOf(fleetId));
      });
    },
    forget: (fleetId) => attempt(() => rmSync(fileOf(fleetId), { force: true })),
  };
}
