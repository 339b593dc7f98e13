/**
 * The one schema of a fleet's inputs (DESIGN.md section 10). Everything that says what an input is comes from here:
 * validation, the TypeScript type of the resource's arguments, schema.json and the table in docs/configuration.md.
 * What concerns several fields at once stands in checks.ts, what is a hypervisor's own in a file of its name.
 */
import { z } from "zod";
import {
  bytes, choice, flag, integer, list, MAX_MEMBERS, MAX_MEMBERS_PER_HOST, name, object, quantity, seconds, share, text,
} from "./fields";
import { guestSchema } from "./guest";
import { libvirtCardFields, libvirtDiskFields, libvirtFleetFields, libvirtHostFields, libvirtMachineFields, libvirtTemplateFields } from "./libvirt";
import { waitingFields } from "./waiting";
import { expected } from "../words/problems";

/** Rates and limits that hold where the inputs name none; FleetSpec.assumed says which were taken. */
export const DEFAULTS = {
  rack: "default",
  nicBitsPerSecond: 10e9,
  uplinkBitsPerSecond: 40e9,
  diskBytesPerSecond: 1e9,
  hostMaxConcurrent: 8,
} as const;

const fleetIdError = (issue: { input?: unknown }) =>
  expected("a fleet id of 4 to 32 lowercase letters and digits", issue.input, "leave it out to have one derived");

const templateSchema = object("an object: { host, pool, volume }, { host, domain } or { file }", {
  ...libvirtTemplateFields,
  file: text("the path of a local image file (qcow2 or raw)", 4096).optional()
    .describe("Path of a local image file (qcow2 or raw) on the machine that runs Pulumi; uploaded once, to the first host."),
});

const cloneSchema = z.union([
  choice(["full", "linked"]),
  object("an object", {
    mixed: object("an object: { linkedShare }", {
      linkedShare: share().describe("Share of the slots that are linked clones, from 0 to 1."),
    }).describe("Both kinds in one fleet, spread evenly over the slots."),
  }),
], { error: (issue) => expected('"full", "linked" or { mixed: { linkedShare: 0.5 } }', issue.input) });

/** Less would not bring one request's answer within the default stallTimeout. */
const MIN_TRANSFER_BITS_PER_SECOND = 1e6;
const transferRate = (example: string) => quantity("bits per second", MIN_TRANSFER_BITS_PER_SECOND, example).optional();

const rackSchema = object("an object: { name, uplinkBitsPerSecond, transferRateBitsPerSecond }", {
  name: name(63).describe("Name of the rack; hosts refer to it."),
  uplinkBitsPerSecond: quantity("bits per second", 1, "4e10").optional()
    .describe("Rate of the rack's link to the rest, in bits per second, each way. Default: 4e10 (40 Gbit/s)."),
  transferRateBitsPerSecond: transferRate("1e10")
    .describe("Limit to what all copies together use of the uplink, in bits per second, each way; the plan reckons with it. Default: no limit."),
});

const hostSchema = object("an object: { name, uri, rack, pool, ... }", {
  name: name(63).describe("Name of the host in this program. Renaming it is no change: hosts are known by the hypervisor's own id."),
  uri: libvirtHostFields.uri,
  rack: name(63).optional().describe("Name of the rack the host stands in. Default: `default`, a rack shared by all hosts that name none."),
  pool: libvirtHostFields.pool,
  transferAddress: libvirtHostFields.transferAddress,
  transferPorts: libvirtHostFields.transferPorts,
  nicBitsPerSecond: quantity("bits per second", 1, "1e10").optional()
    .describe("Rate of the host's network card, in bits per second, each way. Default: 1e10 (10 Gbit/s)."),
  transferRateBitsPerSecond: transferRate("2e9")
    .describe("Limit to what all copies together send, and receive, at this host, in bits per second; the plan reckons with it. Copies within the host are not limited. Default: no limit."),
  diskBytesPerSecond: quantity("bytes per second", 1, "1e9").optional()
    .describe("Rate at which the host's storage reads, and writes, in bytes per second. Default: 1e9 (1 GB/s)."),
  maxConcurrent: integer(1, 1000).default(DEFAULTS.hostMaxConcurrent).describe("Copies that may read from or write to this host at once."),
  capacity: integer(0, MAX_MEMBERS_PER_HOST).optional()
    .describe("Members this host may hold at most; weighs how `count` is spread. Default: no cap."),
  count: integer(0, MAX_MEMBERS_PER_HOST).optional()
    .describe("Members wanted on this host. Where any host has it, hosts without it get 0. Excludes the fleet's count and countPerHost."),
});

const vmSchema = object("an object: { numCpus, memory, networks, ... }", {
  hardware: choice(["template", "defaults"]).optional()
    .describe("template: members have the template machine's hardware, but for what is declared here. defaults: what is not declared is as said here. Default: template for a template { host, domain }, else defaults; fleets made before this input existed keep defaults."),
  numCpus: integer(1, 1024).optional().describe("Virtual processors. More reach a running member at once, up to `maxCpus`; else a change is there from its next start. Default: the template machine's, else 1."),
  memory: integer(1, 67_108_864).optional().describe("Memory in MiB. A running member that has a balloon is asked to take a change at once, up to `maxMemory`; else it is there from its next start. Default: the template machine's, else 1024."),
  maxCpus: integer(1, 1024).optional().describe("Virtual processors that a member can be given while it runs; a change of it is there from a member's next start. Default: as many as it has."),
  maxMemory: integer(1, 67_108_864).optional().describe("Memory in MiB that a member can be given while it runs, of which its host must have all when it starts: its guest gives back what is beyond `memory`. A change of it is there from a member's next start. Default: as much as it has."),
  networks: list("a list of network cards such as { network: \"default\" }", object("an object: { network }, { bridge } or { direct }", {
    ...libvirtCardFields,
    adapterType: choice(["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"]).default("virtio").describe("Model of the network card."),
    mtu: integer(68, 65_535).optional().describe("Largest packet in bytes that the card tells its guest of. Default: the network's or the bridge's."),
  })).optional().describe("Network cards, in order; MAC addresses follow from fleet, slot and place in this list. A running member gets, loses and replugs cards in networks and bridges at once, without `vlanTags` and `mtu`; else a change is there from its next start. Default: cards as the template machine's, else none."),
  rootDisk: object("an object: { sizeBytes }", {
    sizeBytes: bytes(1_048_576, "50e9").describe("Size of the cloned disk in bytes, as its guest sees it. Larger than before: members that are there grow, too, running or not; a guest that runs sees it at once, or at its next start. Disks never shrink."),
  }).optional().describe("The disk that is cloned. Default: as large as the template's."),
  disks: list("a list of { label, sizeBytes, onDelete }", object("an object: { label, sizeBytes, onDelete, ... }", {
    label: name(32).describe("Name of the disk within its member; part of the volume's name. Its first 20 characters are the disk's serial number, which guests show under /dev/disk/by-id."),
    sizeBytes: bytes(1_048_576, "10e9").describe("Size of the disk in bytes, at least 1 MiB. Larger than before: members that are there grow theirs, too, running or not; a guest that runs sees it at once. Disks never shrink."),
    onDelete: choice(["delete", "keep"]).default("delete").describe("What becomes of the disk when its member is removed."),
    reattach: flag().optional().describe("Where `onDelete` is keep: a disk that was kept of a slot is given to the slot's next member on that host, with all that is on it; the preview names it. false: a new one is made beside it. Default: true for keep; fleets made before this input was there: false."),
    ...libvirtDiskFields,
  })).default([]).describe("Data disks beside the cloned one, empty at first, with the network cards at most 56. A change of anything but their sizes concerns new members only."),
  ...libvirtMachineFields,
  autostart: flag().default(false).describe("Start the member when its host starts."),
});

const POLICIES = ["auto", "rounds", "earliestCompletion", "relay", "singleSource"] as const;

export const fleetInputsSchema = object("an object that describes a fleet", {
  fleetId: z.string({ error: fleetIdError }).regex(/^[a-z0-9]{4,32}$/, { error: fleetIdError }).optional()
    .describe("Id that every object of the fleet is tagged with. Give that of an existing fleet to adopt it. Default: derived from the resource's URN and from what tells its Pulumi backend from others."),
  namePrefix: name(40).refine((prefix) => !/^vmfleet-/i.test(prefix), {
    error: (issue) => expected("a prefix that does not begin with vmfleet-", issue.input, "that beginning is kept for the provider's own domains"),
  }).describe("Beginning of every member's name: `workers` makes workers-000, workers-001 and so on."),
  template: templateSchema.describe("What seeds the fleet: a volume { host, pool, volume }, a domain { host, domain } or a local { file }."),
  clone: cloneSchema.default("full")
    .describe("full: every member has its own copy. linked: a delta disk over one replica a host. { mixed: { linkedShare } }: some of each. A change concerns new members only."),
  policy: choice(POLICIES).default("auto")
    .describe("Which copy feeds which next. auto simulates the others and takes the fastest."),
  count: integer(0, MAX_MEMBERS).optional()
    .describe("Members over the whole fleet, spread over racks, then hosts, by capacity. Exactly one of count, countPerHost and hosts[].count."),
  countPerHost: integer(0, MAX_MEMBERS_PER_HOST).optional().describe("Members on each host. Exactly one of count, countPerHost and hosts[].count."),
  racks: list("a list of { name, uplinkBitsPerSecond }", rackSchema).optional()
    .describe("The racks that hosts name. Left out: those the hosts name, with the default uplink."),
  hosts: list("a list of hosts", hostSchema).min(1, { error: (issue) => expected("at least one host", issue.input) })
    .describe("The hosts that may hold members."),
  vm: vmSchema.prefault({}).describe("Hardware of each member."),
  guest: guestSchema.optional().describe("What members' guests are told of who they are: host name, addresses, keys, cloud-init's or Ignition's configuration (docs/guest-identity.md). none: nothing. Left out: their host name and an id of their own, which an image without cloud-init ignores; fleets made before this input was there: nothing. A change reaches existing members at their next start."),
  powerOn: flag().default(true).describe("true: members run, and one found stopped is started. false: members are stopped."),
  start: choice(["immediately", "whenCopied"]).default("whenCopied")
    .describe("whenCopied: a member starts once its disk is there. immediately: it starts at once, what it reads is fetched first and the rest arrives while it runs. Without powerOn, on one host, or where the hypervisor cannot, as whenCopied."),
  ...waitingFields,
  keepSeeds: choice(["none", "rack", "host"]).default("none")
    .describe("Unwritten bases that stay as sources for later growth: none, one a rack, or one a host."),
  onTemplateChange: choice(["keep", "replace"]).default("keep")
    .describe("What a changed template does to existing members: nothing, or they are cloned anew (their data is lost)."),
  allowRecreate: flag().default(false).describe("Allow what loses data: moves between hosts (a member is destroyed and cloned anew), removing members that another run or resource of this fleet made, and removing disks made with onDelete delete that are declared keep by now."),
  deletionProtection: flag().default(false).describe("Refuse whatever removes a member: shrinking, moving, replacing, deleting the fleet."),
  abandonHosts: list("a list of host names", text("a host's name or URI")).default([])
    .describe("Hosts given up for dead: their members are forgotten and made anew elsewhere. Refused for a host that answers."),
  ...libvirtFleetFields,
  shutdownTimeout: seconds(0).default(60).describe("Seconds a guest has to shut down before it is switched off; 0: switched off at once."),
  connectTimeout: seconds().default(10).describe("Seconds after which a host that does not answer counts as unreachable."),
  callTimeout: seconds().default(30).describe("Seconds one call to a host may take."),
  lockTimeout: seconds().default(600).describe("Seconds to wait for another run of the same fleet to end."),
  stallTimeout: seconds().default(30).describe("Seconds without a byte after which a copy has lost its source."),
  maxConcurrentClones: integer(1, MAX_MEMBERS).default(MAX_MEMBERS).describe("Copies at once over the whole fleet. Default: as many as the hosts' own caps allow."),
  maxConcurrentOperations: integer(1, 10_000).default(16).describe("Members defined, started or removed at once over the whole fleet; and, beside those, as many merges of disks."),
  stragglerFactor: share().default(0.3)
    .describe("A copy that runs below this share of its estimated rate, measured against the other copies, is given another source; 0: never."),
  retries: integer(0, 100).default(3).describe("Times one clone is tried anew, from another source where there is one."),
  timelineFile: text("the path of a local file for the picture", 4096).optional()
    .describe("Local file (SVG) that each create and update that cloned something writes a picture to: who fed whom, when and how fast. A preview writes none."),
  imageBytes: bytes(1, "10e9").optional()
    .describe("Planning only: bytes one copy moves, where the template cannot be asked."),
});

/** What a program writes. */
export type FleetInputs = z.input<typeof fleetInputsSchema>;
/** The same with defaults filled in; becomes a FleetSpec in spec.ts. */
export type ParsedInputs = z.output<typeof fleetInputsSchema>;
