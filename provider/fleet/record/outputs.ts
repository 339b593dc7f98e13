/** What the resource gives back: the one list of it, described for schema.json and docs/configuration.md. Mirrors FleetState. */
import { z } from "zod";
import type { FleetState } from "../model";

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
  base: z.enum(["frozen", "consolidating", "consolidated", "replica", "arriving", "arrived"]).describe("What its base image is to the fleet; arriving, arrived: the member runs (or waits) while its disk is not all there, or not yet put over it."),
  chain: z.array(z.string()).describe("Volumes of its disk, what the guest writes first, the base last."),
  ipAddresses: z.array(z.string()).describe("IP addresses of its guest, IPv4 first, at most 16, as they were last heard of: when it was waited for, and by a refresh; by its agent, else by the lease of its network, else by what its host heard. Those of guest.addresses are known without that. Without loopback and link-local ones."),
  hostname: z.string().optional().describe("What its guest calls itself, as its agent or the lease of its network said last."),
  configuring: z.boolean().optional().describe("true: its guest was not ready, as waitFor says, when it was last waited for; the next `pulumi up` waits for it again."),
});

const policyOutput = z.enum(["rounds", "earliestCompletion", "relay", "singleSource", "none"]).describe("Policy that was used; none: nothing was cloned.");

const cloneOutput = z.object({
  slot: z.string().describe("Name of the member, or `replica@host`."),
  source: z.string().describe("`template`, the name of a member, or `replica@host`."),
  sourceHost: z.string().describe("Name of the host that gave."),
  targetHost: z.string().describe("Name of the host that got."),
  startSeconds: z.number().describe("Since the run began to copy."),
  endSeconds: z.number().describe("Since the run began to copy."),
  replaced: z.array(z.object({
    source: z.string().describe("As `source`."),
    sourceHost: z.string().describe("Name of the host that gave."),
    untilSeconds: z.number().describe("When another source took over."),
  })).optional().describe("Sources it had before, oldest first."),
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
    policy: policyOutput,
    makespanSeconds: z.number().describe("Seconds from the first byte to the last member ready."),
    bytesMoved: z.number().describe("Bytes moved over the network."),
    bytesAcrossRacks: z.number().describe("Bytes moved across rack uplinks."),
    bytesResent: z.number().describe("Of the bytes moved, those that had arrived before: fetched again after a source was lost or a run resumed."),
    created: z.int().describe("Members made."),
    destroyed: z.int().describe("Members removed."),
    reconfigured: z.int().describe("Members changed."),
    predictedSeconds: z.number().optional().describe("What the time model said of makespanSeconds when the copies began."),
  }).describe("What the last run did."),
  timeline: z.object({
    policy: policyOutput,
    imageBytes: z.number().describe("Bytes one copy moved."),
    racks: z.array(z.object({
      name: z.string().describe("Name of the rack."),
      hosts: z.array(z.string()).describe("Those of its hosts that gave or got a copy."),
    })).describe("Where the hosts of these copies stand."),
    clones: z.array(cloneOutput).describe("At most 256 copies, those over the network first, in the order they started."),
    leftOut: z.int().describe("Copies beyond these; timelineFile shows all."),
  }).optional().describe("Who fed whom and when in the last run that cloned anything; `vmfleet picture` draws it."),
  learned: z.object({
    runs: z.int().describe("Runs that taught."),
    networkFactor: z.number().describe("Rate of NICs and uplinks as a part of what is declared."),
    diskFactor: z.number().describe("Rate of disks as a part of what is declared."),
    startupSeconds: z.number().optional().describe("Seconds a copy costs besides its bytes."),
    hopSeconds: z.number().optional().describe("Seconds a relay's reader begins after the relay itself."),
    finishSeconds: z.number().describe("Seconds from the last copy to the last member ready, beyond the members' turns."),
    memberSeconds: z.number().optional().describe("Seconds of its host's time that each member takes once its image is there."),
    guestSeconds: z.number().optional().describe("Seconds from a guest's start until it was ready, as waitFor says."),
  }).optional().describe("What the fleet's own runs taught the time model; previews and `policy: auto` go by it."),
  readProfiles: z.array(z.object({
    contentId,
    ranges: z.array(z.object({
      offsetBytes: z.int().describe("Where in the image it begins."),
      lengthBytes: z.int().describe("How long it is."),
    })).describe("At most 256, ascending."),
  })).optional().describe("What the first member that started early read when it booted, of at most 4 contents; copies under `start: immediately` fetch it first."),
});

/** Outputs and record are one thing; `hosts` and `defaultsVersion` are in the record only. Does not compile when they drift apart. */
export type FleetOutputs = z.output<typeof fleetOutputsSchema>;
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
const outputsMirrorState: Same<FleetOutputs, Omit<FleetState, "hosts" | "defaultsVersion">> = true;
void outputsMirrorState;

/** What the resource gives back, by name. `fleetId` is an input too. */
export const OUTPUT_NAMES = Object.keys(fleetOutputsSchema.shape) as readonly (keyof FleetOutputs)[];
