/**
 * What an administrator made, or left, on a simulated host beside the provider: domains that are no members of a fleet
 * (or no longer), and volumes that are nobody's. The simulated hypervisor refuses what a guard of a real one refuses,
 * and writes down whoever asked for it.
 */
import type { PowerState } from "../../fleet/model";
import { ForeignNameError, HypervisorError } from "../hypervisor";

/** A domain that is none of a fleet's members by its name, its UUID or its disks, whatever its tag says. */
export interface HandDomain {
  name: string;
  uuid: string;
  power: PowerState;
  /** Copied or left over from a member. Absent: it bears no tag of ours. */
  tag?: { fleetId: string; slot: number; generation: number };
  /** Volumes of this host that it names, or that one of its images stands on. */
  volumes: string[];
}

/** A volume that no run made. */
export interface HandVolume {
  name: string;
  bytes: number;
  /** What its name begins with, where that is a fleet's: a copy takes its name from the copied. */
  held?: { fleetId: string; slot: number; generation: number };
}

export class ByHand {
  readonly domains = new Map<string, HandDomain>();
  readonly volumes = new Map<string, HandVolume>();
  /** Images that somebody's snapshots put over members' disks, by the member's key. */
  readonly overlays = new Map<string, string>();
  /** What a run asked for that would have harmed somebody: it was refused. Empty after every honest history. */
  readonly offences: string[] = [];

  /** Names of the domains made by hand that use this volume. */
  usersOf(volume: string): string[] {
    return [...this.domains.values()].filter((domain) => domain.volumes.includes(volume)).map((domain) => domain.name).sort();
  }

  isUsed(volume: string): boolean {
    return this.usersOf(volume).length > 0;
  }

  /** Domains that bear the tag of this fleet. */
  strangersOf(fleetId: string): { name: string; reason: string }[] {
    return [...this.domains.values()].filter(({ tag }) => tag?.fleetId === fleetId).map(({ name, tag }) => ({
      name, reason: `it bears the tag of slot ${tag!.slot} and is by its name, UUID or disks not that member`,
    })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Names of the others. */
  untagged(fleetId: string): string[] {
    return [...this.domains.values()].filter(({ tag }) => tag?.fleetId !== fleetId).map(({ name }) => name);
  }

  /** UUIDs that members might have, and what has them. */
  takenUuids(): { uuid: string; name: string }[] {
    return [...this.domains.values()].map(({ uuid, name }) => ({ uuid, name })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  heldBy(fleetId: string): { slot: number; generation: number }[] {
    return [...this.volumes.values()].flatMap(({ held }) => (
      held?.fleetId === fleetId ? [{ slot: held.slot, generation: held.generation }] : []
    ));
  }

  /** Whether a name or UUID is taken here by something that is no member. */
  holderOf(name: string, uuid: string): HandDomain | undefined {
    return this.domains.get(name) ?? [...this.domains.values()].find((domain) => domain.uuid === uuid);
  }

  /**
   * Before an image is overwritten or removed.
   * @param asked what was asked for where no honest run would ask it: it is written down as an offence
   * @throws HypervisorError naming the domain that uses one of the volumes
   */
  assertUnused(host: string, step: string, volumes: readonly string[], asked?: string): void {
    if (this.domains.size === 0) return;
    for (const volume of volumes) {
      const [user] = this.usersOf(volume);
      if (user === undefined) continue;
      if (asked !== undefined) this.offences.push(`${asked} on ${host}: ${volume}, which ${user} uses`);
      throw new HypervisorError(host, step, `${volume} is used by ${user}: remove that domain or give it a disk of its own first`);
    }
  }

  /** Before a member's disk is taken away or put elsewhere. @throws HypervisorError where somebody's snapshot stands on it */
  assertBare(host: string, step: string, memberKey: string, name: string): void {
    const overlay = this.overlays.get(memberKey);
    if (overlay === undefined) return;
    throw new HypervisorError(host, step, `the disk of ${name} is ${overlay}, not one of this fleet's: merge or remove the snapshot first`);
  }

  /** Before a member is defined. @throws ForeignNameError where its name or UUID is taken */
  assertFree(host: string, step: string, { name, uuid }: { name: string; uuid: string }): void {
    const holder = this.holderOf(name, uuid);
    if (holder) throw new ForeignNameError(host, step, `the domain ${holder.name} has the name or the UUID of ${name}`);
  }
}
