/** A member as it is to be defined, and as a host shows it then. */
import { memberUuid } from "../../fleet/members/identity";
import { cardsTold, guestIdentity } from "../../fleet/guest/identity";
import { waitsForGuests } from "../../fleet/members/waiting";
import { cardPlace } from "../../fleet/own";
import type { CloneKind, Image, ObservedMember, PlannedCreate } from "../../fleet/model";
import type { ReconfigureOrder } from "../../hypervisors/hypervisor";
import type { RunContext } from "../run/context";

/** A member that is to be defined, as far as the plan or the host that has it says. */
export interface NewMember {
  slot: number;
  name: string;
  host: string;
  kind: CloneKind;
  generation: number;
  /** What it is made of: its tag says so. */
  image: Pick<Image, "contentId">;
  /** As of the plan. */
  reattach?: PlannedCreate["reattach"];
}

export function definition(
  { fleet, spec, hypervisor: { identities } }: RunContext,
  { slot, name, host, kind, generation, image: { contentId }, reattach }: NewMember,
): ReconfigureOrder {
  const { fleetId } = fleet;
  const rack = spec.hosts.find((one) => one.name === host)?.rack ?? "";
  const macs = identities.cardAddresses(fleetId, slot, cardsTold(spec.guest, spec.vm.networks));
  const guest = guestIdentity(spec.guest, { fleetId, slot, generation, name, host, rack, macs });
  return {
    fleet, host, slot, name, kind, generation, contentId,
    ...(guest && { guest }),
    ...(reattach && { reattach }),
    ...(waitsForGuests(spec) && { configuring: true }),
    vm: spec.vm,
    autostart: spec.vm.autostart ?? false,
  };
}

/** As a host shows it once it is defined; what only the host can tell is left for whoever sees it next. */
export function asDefined(
  { hypervisor: { identities } }: RunContext, { fleet: { fleetId, incarnation }, slot, name, kind, generation, contentId, vm, guest, configuring }: ReconfigureOrder,
): ObservedMember {
  return {
    slot, name, uuid: memberUuid(fleetId, slot), cardAddresses: identities.cardAddresses(fleetId, slot, vm.networks?.length ?? 0),
    kind, generation, contentId, incarnation, power: "running",
    base: kind === "linked" ? "replica" : "consolidated", chain: [], disks: [],
    numCpus: vm.numCpus ?? 0, memory: vm.memory ?? 0, networks: (vm.networks ?? []).map(cardPlace), ...(guest && { guest: guest.hash }), ...(configuring && { configuring }),
  };
}
