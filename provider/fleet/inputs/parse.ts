/** Inputs → FleetSpec, or everything that is wrong with them at once. */
import { crossProblems } from "./checks";
import { GUEST_WITHOUT_EFFECT_ON_PLAN, guestOf } from "./guest";
import { isMachine, libvirtCard, libvirtDisk, libvirtFleet, libvirtHost, libvirtMachine, libvirtTemplate, LIBVIRT_WITHOUT_EFFECT_ON_PLAN, withUris } from "./libvirt";
import { DEFAULTS, fleetInputsSchema, type ParsedInputs } from "./schema";
import type { CloneSpec, DefaultsVersion, ExtraDiskSpec, FleetSpec, FleetState, HostSpec, Problem, RackSpec, TargetSpec, TemplateSpec, VmSpec } from "../model";
import { formatBytes, tidy } from "../words/problems";
import { structureProblems } from "./structure";
import { asksGuests, waitForOf } from "./waiting";
import { concernsUnknown, prune, withoutUnknowns } from "./unknowns";

export { fleetInputsSchema, DEFAULTS, type FleetInputs } from "./schema";

export interface ParseOptions {
  /** Tells values that Pulumi does not know yet at preview. @default nothing is unknown */
  isUnknown?: (value: unknown) => boolean;
  /**
   * Planning without a hypervisor: `uri` may be left out (it becomes ""), and how hosts reach each other does not
   * matter. @default false
   */
  planning?: boolean;
  /**
   * Inputs that a check has let pass before, such as a resource's own when it is read or deleted: what later versions
   * are stricter about must not keep anybody from removing a fleet. @default false
   */
  recorded?: boolean;
  /** What the fleet is recorded with (`defaultsVersionOf`). @default that of new fleets */
  defaultsVersion?: DefaultsVersion;
}

/** Of fleets that are not recorded yet. */
export const NEW_DEFAULTS: DefaultsVersion = 3;

/** What inputs that are left out mean to a fleet. @param recorded undefined: it is new */
export const defaultsVersionOf = (recorded: Pick<FleetState, "defaultsVersion"> | undefined): DefaultsVersion =>
  (recorded ? recorded.defaultsVersion ?? 1 : NEW_DEFAULTS);

export type ParseResult = { spec: FleetSpec; problems?: undefined } | { spec?: undefined; problems: Problem[] };

export interface PreviewParseResult {
  /** Present when nothing is wrong and all that shapes the plan is known. A uri that is unknown is "". */
  spec?: FleetSpec;
  /** Never about an unknown value or what is beneath it. */
  problems: Problem[];
  /** Paths of the unknown values. */
  unknown: string[];
}

/**
 * Validates and normalises a fleet's inputs. Never throws.
 * Without `isUnknown` the result has either `spec` or `problems` (all of them, in reading order); with it, see
 * PreviewParseResult: when anything that shapes the plan is unknown there is no spec, and no problem because of that.
 */
export function parseFleetSpec(input: unknown, options: ParseOptions & { isUnknown: (value: unknown) => boolean }): PreviewParseResult;
export function parseFleetSpec(input: unknown, options?: ParseOptions & { isUnknown?: undefined }): ParseResult;
export function parseFleetSpec(input: unknown, options: ParseOptions = {}): ParseResult | PreviewParseResult {
  const { value, unknown } = prune(input, options.isUnknown ?? (() => false));
  const planning = options.planning ?? false;
  const known = planning ? withUris(value) : value;
  const problems = tidy(
    [...structureProblems(known), ...crossProblems(known, { planning, recorded: options.recorded ?? false })].filter((one) => !concernsUnknown(one.path, unknown)),
  );
  const parseable = problems.length === 0 && !unknown.some(shapesThePlan);
  const spec = parseable ? toSpec(fleetInputsSchema.parse(withUris(withoutUnknowns(known))), options.defaultsVersion ?? NEW_DEFAULTS) : undefined;
  if (options.isUnknown) return { ...(spec && { spec }), problems, unknown };
  return spec ? { spec } : { problems };
}

/** Unknowns elsewhere change no plan, so that there can be one without them. */
const shapesThePlan = (path: string): boolean =>
  !/^((shutdown|connect|call|lock|stall)Timeout|waitForTimeoutSeconds)$/.test(path) && !LIBVIRT_WITHOUT_EFFECT_ON_PLAN.test(path) && !GUEST_WITHOUT_EFFECT_ON_PLAN.test(path);

const milliseconds = (seconds: number) => Math.round(seconds * 1000);

function toSpec(inputs: ParsedInputs, defaultsVersion: DefaultsVersion): FleetSpec {
  const racks = racksOf(inputs);
  return {
    defaultsVersion,
    ...(inputs.fleetId !== undefined && { fleetId: inputs.fleetId }),
    namePrefix: inputs.namePrefix,
    template: templateOf(inputs.template, defaultsVersion),
    clone: cloneOf(inputs.clone),
    policy: inputs.policy,
    targets: targetsOf(inputs),
    racks,
    hosts: inputs.hosts.map(hostOf),
    vm: vmOf(inputs, defaultsVersion),
    guest: guestOf(inputs.guest, defaultsVersion),
    powerOn: inputs.powerOn,
    start: inputs.start,
    waitFor: waitForOf(inputs.waitFor),
    keepSeeds: inputs.keepSeeds,
    onTemplateChange: inputs.onTemplateChange,
    allowRecreate: inputs.allowRecreate,
    deletionProtection: inputs.deletionProtection,
    abandonHosts: inputs.abandonHosts,
    own: libvirtFleet(inputs),
    timeouts: {
      callMs: milliseconds(inputs.callTimeout),
      connectMs: milliseconds(inputs.connectTimeout),
      shutdownMs: milliseconds(inputs.shutdownTimeout),
      lockMs: milliseconds(inputs.lockTimeout),
      stallMs: milliseconds(inputs.stallTimeout),
      readyMs: milliseconds(inputs.waitForTimeoutSeconds),
    },
    limits: {
      maxConcurrentClones: inputs.maxConcurrentClones,
      maxConcurrentOperations: inputs.maxConcurrentOperations,
      maxConfiguring: inputs.maxConfiguring,
      retries: inputs.retries,
      stragglerFactor: inputs.stragglerFactor,
    },
    ...(inputs.timelineFile !== undefined && { timelineFile: inputs.timelineFile }),
    ...(inputs.imageBytes !== undefined && { imageBytes: inputs.imageBytes }),
    assumed: assumedOf(inputs, racks),
  };
}

function templateOf(template: ParsedInputs["template"], defaultsVersion: DefaultsVersion): TemplateSpec {
  return template.file !== undefined ? { kind: "file", file: template.file } : libvirtTemplate(template, defaultsVersion > 2 ? "all" : "first");
}

function cloneOf(clone: ParsedInputs["clone"]): CloneSpec {
  return typeof clone === "string" ? { kind: clone } : { kind: "mixed", linkedShare: clone.mixed.linkedShare };
}

function targetsOf(inputs: ParsedInputs): TargetSpec {
  if (inputs.count !== undefined) return { kind: "count", count: inputs.count };
  if (inputs.countPerHost !== undefined) return { kind: "countPerHost", countPerHost: inputs.countPerHost };
  return { kind: "each", counts: Object.fromEntries(inputs.hosts.map((host) => [host.name, host.count ?? 0])) };
}

/** The declared racks, then those that hosts imply. */
function racksOf(inputs: ParsedInputs): RackSpec[] {
  const declared = (inputs.racks ?? []).map((rack) => ({
    name: rack.name,
    uplinkBitsPerSecond: rack.uplinkBitsPerSecond ?? DEFAULTS.uplinkBitsPerSecond,
    ...(rack.transferRateBitsPerSecond !== undefined && { transferRateBitsPerSecond: rack.transferRateBitsPerSecond }),
  }));
  const named = new Set(declared.map((rack) => rack.name));
  const implied = [...new Set(inputs.hosts.map((host) => host.rack ?? DEFAULTS.rack))].filter((name) => !named.has(name));
  return [...declared, ...implied.map((name) => ({ name, uplinkBitsPerSecond: DEFAULTS.uplinkBitsPerSecond }))];
}

function hostOf(host: ParsedInputs["hosts"][number]): HostSpec {
  return {
    name: host.name,
    rack: host.rack ?? DEFAULTS.rack,
    nicBitsPerSecond: host.nicBitsPerSecond ?? DEFAULTS.nicBitsPerSecond,
    ...(host.transferRateBitsPerSecond !== undefined && { transferRateBitsPerSecond: host.transferRateBitsPerSecond }),
    diskBytesPerSecond: host.diskBytesPerSecond ?? DEFAULTS.diskBytesPerSecond,
    maxConcurrent: host.maxConcurrent,
    ...(host.capacity !== undefined && { capacity: host.capacity }),
    own: libvirtHost(host),
  };
}

function vmOf({ vm, template, waitFor }: ParsedInputs, defaultsVersion: DefaultsVersion): VmSpec {
  const hardware = vm.hardware ?? (isMachine(template) && defaultsVersion > 1 ? "template" : "defaults");
  const inherits = hardware === "template";
  const { numCpus = inherits ? undefined : 1, memory = inherits ? undefined : 1024, networks = inherits ? undefined : [] } = vm;
  const leftOut = inherits ? [] : (["numCpus", "memory", "networks"] as const).filter((name) => vm[name] === undefined);
  return {
    hardware,
    ...(leftOut.length > 0 && { leftOut }),
    ...(numCpus !== undefined && { numCpus }),
    ...(memory !== undefined && { memory }),
    ...(vm.maxCpus !== undefined && { maxCpus: vm.maxCpus }),
    ...(vm.maxMemory !== undefined && { maxMemory: vm.maxMemory }),
    ...(networks && { networks: networks.map((card) => ({ adapterType: card.adapterType, ...(card.mtu !== undefined && { mtu: card.mtu }), own: libvirtCard(card) })) }),
    ...(vm.rootDisk && { rootDisk: vm.rootDisk }),
    disks: vm.disks.map((disk) => dataDisk(disk, defaultsVersion)),
    autostart: vm.autostart,
    ...(!inherits && asksGuests(waitForOf(waitFor)) && { agentChannel: true }),
    own: libvirtMachine(vm, inherits),
  };
}

function dataDisk(disk: ParsedInputs["vm"]["disks"][number], defaultsVersion: DefaultsVersion): ExtraDiskSpec {
  const { label, sizeBytes, onDelete, reattach = defaultsVersion > 2 } = disk;
  const own = libvirtDisk(disk);
  return { label, sizeBytes, onDelete, ...(reattach && onDelete === "keep" && { reattach }), ...(own && { own }) };
}

/** Which rates took their defaults, in words. */
function assumedOf(inputs: ParsedInputs, racks: RackSpec[]): string[] {
  const withoutNic = inputs.hosts.filter((host) => host.nicBitsPerSecond === undefined).map((host) => host.name);
  const withoutDisk = inputs.hosts.filter((host) => host.diskBytesPerSecond === undefined).map((host) => host.name);
  const withUplink = new Set((inputs.racks ?? []).filter((rack) => rack.uplinkBitsPerSecond !== undefined).map((rack) => rack.name));
  const withoutUplink = racks.map((rack) => rack.name).filter((name) => !withUplink.has(name));
  const gigabits = (rate: number) => `${rate / 1e9} Gbit/s`;
  const say = (names: string[], all: number, kind: string, what: string) =>
    names.length === 0 ? [] : [`${what} assumed for ${names.length === all ? `all ${kind}` : `${kind} ${names.join(", ")}`}`];
  return [
    ...say(withoutNic, inputs.hosts.length, "hosts", `NICs of ${gigabits(DEFAULTS.nicBitsPerSecond)}`),
    ...say(withoutUplink, racks.length, "racks", `uplinks of ${gigabits(DEFAULTS.uplinkBitsPerSecond)}`),
    ...say(withoutDisk, inputs.hosts.length, "hosts", `disks of ${formatBytes(DEFAULTS.diskBytesPerSecond)}/s`),
  ];
}
