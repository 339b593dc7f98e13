/** What the resource gives back, described for schema.json and docs/configuration.md. Mirrors FleetState. */
import { z } from "zod";
import type { FleetState } from "./model";

const contentId = z.string().describe("Identifies the image's content.");
const slot = z.int().describe("Stable index of the member; its name, UUID and MACs follow from it.");

const memberOutput = z.object({
  slot,
  name: z.string().describe("Name of the virtual machine."),
  host: z.string().describe("Name of the host it is on."),
  hostUuid: z.string().describe("The hypervisor's own id of that host."),
  rack: z.string().describe("Name of the rack that host stands in."),
  uuid: z.string().describe("UUID of the virtual machine."),
  kind: z.enum(["full", "linked"]).describe("full: has its own copy. linked: a delta disk over its host's replica."),
  generation: z.int().describe("How often the slot was made anew."),
  contentId: contentId.describe("Identifies the template content it was cloned from."),
  macs: z.array(z.string()).describe("MAC addresses, in the order of vm.networks."),
  state: z.enum(["running", "stopped", "paused", "lost"]).describe("Power state; lost: its host is gone."),
  base: z.enum(["frozen", "consolidating", "consolidated", "replica"]).describe("What its base image is to the fleet."),
  chain: z.array(z.string()).describe("Volumes of its disk, what the guest writes first, the base last."),
});

export const fleetOutputsSchema = z.object({
  fleetId: z.string().describe("Id that every object of the fleet is tagged with."),
  incarnation: z.string().describe("Random id of the resource that owns the fleet; delete removes only what bears it."),
  contentId: contentId.describe("Identifies the template content that new members are cloned from."),
  members: z.array(memberOutput).describe("The members, by slot."),
  replicas: z.array(z.object({
    host: z.string().describe("Name of the host that holds it."),
    contentId,
    purpose: z.enum(["replica", "template"]).describe("replica: under linked clones. template: the upload of a local file."),
    volume: z.string().describe("Its volume."),
  })).describe("Base images under linked clones, and uploads of a local template."),
  snapshots: z.array(z.object({
    slot,
    host: z.string().describe("Name of the host that holds it."),
    volume: z.string().describe("The frozen base."),
  })).describe("Frozen bases that stand under a member's delta disk."),
  placement: z.record(z.string(), z.int()).describe("Members on each declared host, by its name."),
  lastRun: z.object({
    policy: z.enum(["rounds", "earliestCompletion", "relay", "singleSource", "none"]).describe("Policy that was used; none: nothing was cloned."),
    makespanSeconds: z.number().describe("Seconds from the first byte to the last member ready."),
    bytesMoved: z.number().describe("Bytes moved over the network."),
    bytesAcrossRacks: z.number().describe("Bytes moved across rack uplinks."),
    bytesResent: z.number().describe("Of the bytes moved, those that had arrived before: fetched again after a source was lost or a run resumed."),
    created: z.int().describe("Members made."),
    destroyed: z.int().describe("Members removed."),
    reconfigured: z.int().describe("Members changed."),
  }).describe("What the last run did."),
});

/** Outputs and record are one thing; `hosts` is in the record only. Does not compile when they drift apart. */
export type FleetOutputs = z.output<typeof fleetOutputsSchema>;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
const outputsMirrorState: Same<FleetOutputs, Omit<FleetState, "hosts">> = true;
void outputsMirrorState;
