/** Guests that a plan waits for, and what of that cannot be. */
import type { Incumbent } from "../hosts/census";
import { MAX_DEVICES } from "../inputs/libvirtChecks";
import { namesOf } from "../members/changes";
import { canBeAwaited, isAwaited, waitsForGuests } from "../members/waiting";
import type { FleetPlan, ObservedMember, Problem } from "../model";
import type { PlanContext } from "./context";

export function awaitedMembers({ spec }: PlanContext, kept: readonly Incumbent[]): FleetPlan["awaiting"] {
  return kept.flatMap(({ slot, name, host, member }) => (member && isAwaited(spec, member)
    ? [{ slot, name, host: host.name, reason: "its guest was not ready when an earlier run ended" }] : []));
}

export function waitingRefusals({ spec, observation }: Pick<PlanContext, "spec" | "observation">, plan: FleetPlan): Problem[] {
  const { waitFor, vm, guest } = spec;
  if (plan.create.length === 0) return [];
  const problems: Problem[] = [];
  const { hardware } = observation?.template ?? {};
  if (waitFor.kind === "guestAgent" && spec.powerOn && vm.hardware === "template" && hardware?.agentChannel === false) {
    problems.push({
      path: "waitFor",
      message: 'expected a template machine with a channel org.qemu.guest_agent.0 beside "guestAgent", got one without, so that nobody could ask its members\' agents; ' +
        "add the channel to the template's machine, or wait for \"address\" or { tcpPort }",
    });
  }
  const cards = vm.networks?.length ?? 0;
  const others = 1 + (guest.kind === "cloudInit" ? 1 : 0);
  if (vm.agentChannel && vm.disks.length > 0 && vm.disks.length + cards + others > MAX_DEVICES) {
    problems.push({
      path: "vm.disks",
      message: `expected at most ${MAX_DEVICES - others} disks and network cards beside the channel to a guest's agent that waitFor brings, got ${vm.disks.length} and ${cards}; want fewer, larger disks, or waitFor: "started"`,
    });
  }
  return problems;
}

/** Told, because nothing else would show that these are ready with their start. */
export function waitingWarnings({ spec }: PlanContext, plan: FleetPlan, members: readonly ObservedMember[]): string[] {
  if (!waitsForGuests(spec)) return [];
  const started = new Set(plan.reconfigure.filter(({ changes }) => changes.some((one) => one.kind === "power" && one.to === "running")).map(({ slot }) => slot));
  const mute = members.filter((member) => !canBeAwaited(spec, member) && (member.configuring || started.has(member.slot)));
  if (mute.length === 0) return [];
  return [`waitFor: ${namesOf(mute)} ${mute.length === 1 ? "has" : "have"} no channel to a guest's agent and ${mute.length === 1 ? "is" : "are"} not waited for; members made anew get one`];
}
