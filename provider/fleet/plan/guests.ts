/** Whether every member of the plan can be told who it is. */
import { slotsOf } from "../guest/addresses";
import { HOSTNAME_RULE, isHostname } from "../guest/hostnames";
import { guestHostname } from "../guest/identity";
import { MAX_DEVICES } from "../inputs/libvirtChecks";
import type { FleetPlan, Problem } from "../model";
import { expected } from "../words/problems";
import type { PlanContext } from "./context";

export function guestRefusals({ spec: { guest, vm, hosts }, fleetId, observation }: Pick<PlanContext, "spec" | "fleetId" | "observation">, plan: FleetPlan): Problem[] {
  if (guest.kind !== "cloudInit") return [];
  // Where they are inherited and the template was not seen, nobody knows.
  const cards = vm.networks?.length ?? observation?.template?.hardware?.cards ?? Infinity;
  const changing = [...plan.create, ...plan.reconfigure];
  const members = [...changing, ...plan.keep, ...plan.adopt];
  const last = members.reduce((most, one) => (most === undefined || one.slot > most.slot ? one : most), members[0]);
  const problems = guest.addresses.flatMap((range, index): Problem[] => {
    const path = `guest.addresses[${index}]`;
    if (range.card >= cards) return [{ path, message: `expected a network card of vm.networks, which has ${cards}, got card ${range.card}; cards count from 0` }];
    if (!last || slotsOf(range) > BigInt(last.slot)) return [];
    return [{ path: `${path}.to`, message: `expected a range that reaches as far as slot ${last.slot} (${last.name}), got ${slotsOf(range)} addresses from ${range.from} on; raise to` }];
  });
  if (guest.dnsServers.length + guest.dnsDomains.length > 0 && cards === 0) {
    problems.push({ path: guest.dnsServers.length > 0 ? "guest.dnsServers" : "guest.dnsDomains", message: "expected a network card in vm.networks for it, got none; add one, or remove it" });
  }
  if (plan.create.length > 0 && vm.disks.length > 0 && cards !== Infinity && vm.disks.length + cards >= MAX_DEVICES) {
    problems.push({ path: "vm.disks", message: `expected at most ${MAX_DEVICES - 1} disks and network cards beside the disk that tells a guest who it is, got ${vm.disks.length} and ${cards}; want fewer, larger disks, or guest: "none"` });
  }
  const racks = new Map(hosts.map(({ name, rack }) => [name, rack]));
  for (const { name, slot, host } of changing) {
    const hostname = guestHostname(guest, { name, slot: String(slot), host, rack: racks.get(host) ?? "", fleet: fleetId });
    if (isHostname(hostname)) continue;
    problems.push({ path: "guest.hostname", message: expected(HOSTNAME_RULE, hostname, `it would be that of ${name}`) });
    break;
  }
  return problems;
}
