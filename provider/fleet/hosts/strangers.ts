/** What bears this fleet's tag and is not its member: copies that somebody made, and twins of members on other hosts. */
import type { Census, Incumbent, SeenIncumbent } from "./census";
import type { HostTable } from "./table";
import { memberUuid } from "../members/identity";
import type { FleetPlan, ObservedMember, Problem } from "../model";
import { byHand } from "../words/byHand";
import { compare } from "../words/problems";

/** Whose they are nobody can tell from here; who made them is told what they are, once a run. */
export function strangerWarnings({ table, census }: { table: HostTable; census: Census }): string[] {
  const strangers = table.hosts.flatMap(({ name, seen }) => (seen?.strangers ?? []).map((one) => `${one.name} on ${name} is left alone: ${one.reason}`));
  const holderOf = holders(census);
  const twins = census.twins.map((twin) => {
    const { name, host, member, slot } = twin;
    const holder = holderOf(slot);
    const whose = holder.host !== host ? `the member stands on ${holder.host.name}` : "another holds its slot";
    const why = member.displaced ? "its disks bear another host's name" : "it is of the same generation";
    return `${name} on ${host.name} is left alone: it is a twin (${whose}, ${why}); ${twinAdvice(twin, holder)}`;
  });
  return [...strangers, ...twins].sort(compare);
}

/** Whatever has a twin is held: by what is seen, or by what is on record where nobody could look. */
function holders(census: Census): (slot: number) => Incumbent {
  const bySlot = new Map((census.twins.length === 0 ? [] : [...census.present, ...census.stranded, ...census.lost]).map((one) => [one.slot, one]));
  return (slot) => bySlot.get(slot)!;
}

const runs = ({ power }: ObservedMember): boolean => power !== "stopped";

/** What to do about a member that is defined twice. One that runs is never told to be undefined: it may be the only one that lives. */
function twinAdvice(twin: SeenIncumbent, holder: Incumbent): string {
  const words = twin.host.seen!.words; // it is seen, or it were no twin
  const take = ({ name, host }: Incumbent) => `${byHand(words.takeAway, { name })} on ${host.name}`;
  if (!runs(twin.member)) return `where it should not be, take it away: ${take(twin)}`;
  if (!holder.member) return "it runs, so leave it until the host of the member answers, and start no other meanwhile";
  if (runs(holder.member)) {
    return `both run: shut down the one that should not (${words.shutDown}), and take away what is left of it: ${take(twin)}, or ${take(holder)}`;
  }
  return `its guest runs on ${twin.host.name}: bring it back with ${words.moveBack}, or, for it to count where it runs, take away the definition that is shut off: ${take(holder)}. Never start both`;
}

/**
 * A member that is defined a second time with its very disks, as after a move that leaves a definition behind, or a restore: what would be started, changed or removed may be the disk of the guest that lives elsewhere.
 * @param acted the slots that the plan does something to
 */
export function twinProblems(census: Census, acted: ReadonlySet<number>): Problem[] {
  const holderOf = holders(census);
  return census.twins.filter(({ slot, member }) => member.displaced && acted.has(slot)).map((twin) => {
    const holder = holderOf(twin.slot);
    const stands = (one: Incumbent) => `${one.member ? `${runs(one.member) ? "running" : "shut off"} on` : "on record on"} ${one.host.name}`;
    return {
      path: twin.host.declared ? `hosts[${twin.host.declared.index}]` : "hosts",
      message: `expected one definition of ${twin.name}, which is to be started, changed or removed, got two that may have the same disk: ` +
        `${stands(holder)}, and ${stands(twin)}; ${twinAdvice(twin, holder)}`,
    };
  });
}

/** The slots whose guests or disks a plan does something to. */
export const actedSlots = ({ create, reconfigure, consolidate, complete, move, destroy }: FleetPlan): Set<number> =>
  new Set([create, reconfigure, consolidate, complete, move, destroy].flat().map(({ slot }) => slot));

/** A machine that has a new member's UUID keeps its hypervisor from defining it: a member that was renamed, or lost its tag. */
export function takenUuidProblems(table: HostTable, plan: FleetPlan): Problem[] {
  const takenOn = new Map(table.hosts.flatMap(({ name, declared, seen }) => (declared && seen?.takenUuids ? [[name, { declared, words: seen.words, taken: seen.takenUuids }] as const] : [])));
  return plan.create.flatMap(({ slot, name, host }) => {
    const at = takenOn.get(host);
    if (!at) return [];
    const uuid = memberUuid(plan.fleetId, slot);
    const other = at.taken.find((one) => one.uuid === uuid && one.name !== name);
    return !other ? [] : [{
      path: `hosts[${at.declared.index}]`,
      message: `expected the UUID of ${name} to be free on ${host}, got ${JSON.stringify(other.name)}, which has it: a member that was renamed or whose tag was taken away; ` +
        `bring it back (${byHand(at.words.rename, { name: other.name, to: name })}), or take its ${at.words.machine} away if it is not needed any more`,
    }];
  });
}
