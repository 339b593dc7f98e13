import { supposedTemplate } from "../../fleet/images";
import { templateHostOf } from "../../fleet/own";
import { asLearned } from "../../scheduler/learned";
import { topologyOf } from "../../scheduler/topology";
import { VirtualClock } from "./clock";
import { SimulatedHypervisor } from "./hypervisor";
import type { SimulatedSetup } from "./options";

export { VirtualClock } from "./clock";
export { SimulatedHypervisor } from "./hypervisor";
export { SIMULATED_WORDS } from "./words";
export { UNBOUNDED, type Fault, type SimulatedCosts, type SimulatedOptions, type SimulatedSetup } from "./options";

/** Content id of a template nobody has looked at. */
const UNSEEN_CONTENT = "0".repeat(64);

/** A datacenter in memory with the hosts, racks and rates of a spec, and a virtual clock to run it on. */
export function createSimulated(
  { spec, observation, fleetId, options = {} }: SimulatedSetup,
): { hypervisor: SimulatedHypervisor; clock: VirtualClock } {
  if (observation && fleetId === undefined) throw new TypeError("Expected `fleetId` with `observation`: whose members it lists");
  const observed = observation?.template;
  const supposed = supposedTemplate({ imageBytes: options.imageBytes ?? spec.imageBytes }, UNSEEN_CONTENT);
  const clock = new VirtualClock();
  const topology = asLearned(topologyOf(spec, {
    startupSeconds: options.startupSeconds ?? options.traits?.costs.copyStartupSeconds,
    hopSeconds: options.hopSeconds ?? options.traits?.abilities.relaying?.hopSeconds,
    time: options.time,
    freeLocalCopies: options.traits?.costs.freeLocalCopies,
  }), options.learned);
  const hypervisor = new SimulatedHypervisor(clock, topology, {
    contentId: options.contentId ?? observed?.contentId ?? supposed.contentId,
    host: templateHostOf(spec.template) ?? null,
    disks: observed && options.imageBytes === undefined ? observed.disks : supposed.disks,
  }, options);
  for (const { name, own } of spec.hosts) hypervisor.host(name).own = own;
  for (const found of observation?.hosts ?? []) hypervisor.host(found.name).restore(fleetId!, found);
  for (const [name, bytes] of Object.entries(options.freeBytes ?? {})) hypervisor.host(name).freeBytes = bytes;
  for (const [name, names] of Object.entries(options.foreignNames ?? {})) hypervisor.host(name).foreignNames = [...names];
  return { hypervisor, clock };
}
