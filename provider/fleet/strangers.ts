/** What bears this fleet's tag and is not its member: copies that somebody made, and twins of members on other hosts. */
import type { Census } from "./census";
import type { HostTable } from "./hosts";
import { memberUuid } from "./identity";
import type { FleetPlan, Problem } from "./model";
import { compare } from "./problems";

/** Whose they are nobody can tell from here; who made them is told what they are, once a run. */
export function strangerWarnings({ table, census }: { table: HostTable; census: Census }): string[] {
  const strangers = table.hosts.flatMap(({ name, seen }) => (seen?.strangers ?? []).map((one) => `${one.name} on ${name} is left alone: ${one.reason}`));
  const holders = new Map((census.twins.length === 0 ? [] : [...census.present, ...census.stranded, ...census.lost]).map((one) => [one.slot, one]));
  const twins = census.twins.map(({ slot, name, host, member }) => {
    const holder = holders.get(slot);
    const whose = holder && holder.host !== host ? `the member stands on ${holder.host.name}` : "another holds its slot";
    const why = member?.displaced ? "its disks bear another host's name" : "it is of the same generation";
    return `${name} on ${host.name} is left alone: it is a twin (${whose}, ${why}); where it should not be, take it away: virsh undefine ${name} on ${host.name}`;
  });
  return [...strangers, ...twins].sort(compare);
}

/** A domain that has a new member's UUID keeps libvirt from defining it: a member that was renamed, or lost its tag. */
export function takenUuidProblems(table: HostTable, plan: FleetPlan): Problem[] {
  const hosts = new Map(table.hosts.filter(({ seen }) => seen?.takenUuids?.length).map((one) => [one.name, one]));
  if (hosts.size === 0) return [];
  return plan.create.flatMap(({ slot, name, host }) => {
    const known = hosts.get(host);
    const uuid = known && memberUuid(plan.fleetId, slot);
    const other = known?.seen?.takenUuids?.find((taken) => taken.uuid === uuid && taken.name !== name);
    return !other ? [] : [{
      path: known?.declared ? `hosts[${known.declared.index}]` : "hosts",
      message: `expected the UUID of ${name} to be free on ${host}, got ${JSON.stringify(other.name)}, which has it: a member that was renamed or whose tag was taken away; ` +
        `bring it back (virsh domrename ${other.name} ${name}), or take its domain away if it is not needed any more`,
    }];
  });
}
