/** A member's definition: made of documented defaults, of its template's definition, or of the one that it has. */
import { isDeepStrictEqual } from "node:util";
import { cardPlace } from "../../../fleet";
import { memberMacs } from "../../../fleet/members/addresses";
import { memberUuid } from "../../../fleet/members/identity";
import type { ExtraDiskSpec, VmSpec } from "../../../fleet/model";
import type { ReconfigureOrder } from "../../hypervisor";
import { baseName } from "../look/domainDisks";
import { libvirts } from "../own";
import { cardPlaces, cardXml } from "./cards";
import { allBelow, append, attribute, below, childOf, children, readDefinition, remove, setText, writeDefinition, type Element } from "./definition";
import { backingXml, diskName, diskNames, diskXml, fill, imageDisksOf, memberXml, scsiControllers, scsiControllerXml, type DiskXml, type MemberSlot } from "./domainXml";
import { held, intruded, placesOf } from "./held";
import { hasAgentChannel } from "./channels";
import { clonedDisks, describeHardware, inherit, isDisk, unshareable, type ClonedFrom, type LonePart } from "./inherit";
import { isIgnitionVolume } from "../volumes/names";
import { setFirmware } from "./setFirmware";
import { setIgnition } from "./setIgnition";
import { setPaths } from "./setPaths";
import { memoryOf, setSize } from "./setSize";
import { TAG_URI, taggedMetadata, type MemberTag } from "./tags";
import { parseXml } from "./xml";

export type DataDisk = DiskXml & { label: string };

/** Of the disk that tells a guest who it is: it is gone from a definition once nothing is told. */
export const IDENTITY_LABEL = "cidata";

/** What else a definition says beside what the order names: the parts are the same whatever it is made of. */
export interface Parts {
  tag: MemberTag;
  /** Its cloned disks, in the order of its image: the first is the one that its guest boots from. */
  image: readonly DiskXml[];
  extra: readonly DataDisk[];
  /** Of a new member: the file that its firmware's variables are in already. Absent: its host makes them. */
  nvram?: string;
  /** The file that Ignition is to be handed. Absent: none, and what it was handed as a member goes. */
  ignition?: string;
  /** Where documented defaults make it: a channel to its guest's agent, which one that is there keeps having or not. @default as the order has it */
  agentChannel?: boolean;
}

/** A template's definition, as its host gave it. */
export interface TemplateMachine extends ClonedFrom {
  xml: string;
  /** The file on its host that its firmware's variables are in. Absent: nowhere that they can be copied from. */
  variablesAt?: string;
  /** What is in there, once it was read. */
  variables?: Buffer;
}

/** Whether members have what the template's firmware keeps: another firmware would not know it. */
export function keepsVariables({ variablesAt }: TemplateMachine, { own }: Pick<VmSpec, "own">): boolean {
  const { firmware, efiSecureBootEnabled } = libvirts(own);
  return variablesAt !== undefined && firmware === undefined && efiSecureBootEnabled === undefined;
}

/**
 * @param from what it has already, or what it is to be like. Absent: documented defaults
 * @throws UnfitMachineError where members cannot be like this template
 */
export function memberDefinition(order: ReconfigureOrder, parts: Parts, from?: { own: string } | { template: TemplateMachine }): string {
  const { vm } = order;
  if (vm.hardware === "defaults" || !from) {
    const made = memberXml(order, parts.tag, parts.image, parts.extra, parts.agentChannel ?? vm.agentChannel);
    if (isPlain(vm) && parts.ignition === undefined) return made;
    const root = readDefinition(made);
    setIgnition(root, parts.ignition, isIgnitionVolume);
    if (isPlain(vm)) return writeDefinition(root);
    setFirmware(root, libvirts(vm.own));
    return finished(root, order, parts, { isNew: true, isAgain: false });
  }
  const root = readDefinition("own" in from ? from.own : from.template.xml);
  const standing = "template" in from ? inherit(root, from.template).cloned : memberDisks(root, order, parts.image.length);
  setIdentity(root, order, parts.tag);
  setSize(root, vm);
  setMachine(root, vm, order, "own" in from);
  if (parts.nvram !== undefined) setText(below(root, "os", "nvram") ?? append(childOf(root, "os"), { nvram: {} }), parts.nvram);
  setCards(root, order, "template" in from ? undefined : cardPlaces(parseXml(from.own)["domain"]));
  setDisks(root, standing, parts);
  setIgnition(root, parts.ignition, isIgnitionVolume);
  return finished(root, order, parts, { isNew: "template" in from, isAgain: "own" in from || from.template.member !== undefined });
}

/** Why a template's machine cannot be had many times, or what `vm.xml` makes of it is no member. */
export class UnfitMachineError extends Error {
  override readonly name = "UnfitMachineError";
  constructor(readonly reasons: readonly string[]) { super(reasons.join("; ")); }
}

function setIdentity(root: Element, order: ReconfigureOrder, tag: MemberTag): void {
  for (const [name, text] of [["uuid", memberUuid(order.fleet.fleetId, order.slot)], ["name", order.name]] as const) {
    const element = below(root, name) ?? append(root, { [name]: {} }, children(root)[0] ?? null);
    setText(element, text);
  }
  const metadata = below(root, "metadata") ?? append(root, { metadata: {} }, children(root)[2] ?? null);
  for (const one of children(metadata)) if (one.namespaceURI === TAG_URI) remove(one);
  append(metadata, taggedMetadata(tag));
}

/** What is declared of the machine itself. @param isMember its guest was set up with the firmware and the TPM that it has */
function setMachine(root: Element, vm: VmSpec, order: ReconfigureOrder, isMember: boolean): void {
  const own = libvirts(vm.own);
  if (own.domainType !== undefined) root.setAttribute("type", own.domainType);
  const os = childOf(root, "os");
  const type = childOf(os, "type");
  if (own.arch !== undefined) type.setAttribute("arch", own.arch);
  if (own.machine !== undefined) type.setAttribute("machine", own.machine);
  setFirmware(root, isMember ? { hypervisor: own.hypervisor, ...(own.cpuMode !== undefined && { cpuMode: own.cpuMode }) } : own);
  if (own.kernelBoot) {
    const { kernel, initrd, cmdline } = own.kernelBoot;
    const wanted = { kernel, initrd, cmdline: cmdline === undefined ? undefined : fill(order, cmdline) };
    for (const [name, text] of Object.entries(wanted)) {
      if (text === undefined) remove(below(os, name));
      else setText(childOf(os, name), text);
    }
  }
  if (own.serialLog === undefined) return;
  const devices = childOf(root, "devices");
  const source = { "@path": fill(order, own.serialLog), "@append": "on" };
  const there = ["serial", "console"].flatMap((name) => children(devices, name));
  if (there.length === 2 && there.every((one) => attribute(one, "type") === "file" && attribute(below(one, "source"), "path") === source["@path"])) return;
  remove(...there);
  append(devices, { serial: { "@type": "file", source, target: { "@port": "0" } } });
  append(devices, { console: { "@type": "file", source, target: { "@type": "serial", "@port": "0" } } });
}

/** Cards keep the places that their guests know them by. @param places of those that it has, as a member; undefined: it is new */
function setCards(root: Element, order: ReconfigureOrder, places: readonly string[] | undefined): void {
  const devices = childOf(root, "devices");
  const there = children(devices, "interface");
  const declared = order.vm.networks;
  const macs = memberMacs(order.fleet.fleetId, order.slot, Math.max(there.length, declared?.length ?? 0));
  if (declared && places && isDeepStrictEqual(declared.map(cardPlace), places)) return;
  if (declared) {
    declared.forEach((card, index) => {
      const before = there[index];
      const made = append(devices, { interface: cardXml(card, macs[index]!) }, before ?? null);
      const address = below(before, "address");
      if (address && attribute(address, "type") === "pci") made.appendChild(address);
    });
    remove(...there);
    return;
  }
  if (!places) there.forEach((card, index) => append(card, { mac: { "@address": macs[index]! } }, children(card)[0] ?? null));
}

/** @param standing elements of its cloned disks, as far as there are any */
function setDisks(root: Element, standing: readonly (Element | undefined)[], { image, extra }: Parts): void {
  const devices = childOf(root, "devices");
  remove(...standing.slice(image.length)); // of an image with more disks
  image.forEach((disk, place) => {
    setImage(standing[place] ?? append(devices, { disk: diskXml(disk, diskName(place)) }, place === 0 ? children(devices)[0] ?? null : null), disk);
  });
  const wanted = new Set(extra.map(({ path }) => path));
  for (const disk of children(devices, "disk")) {
    if (below(disk, "readonly") && below(disk, "serial")?.textContent === IDENTITY_LABEL && !wanted.has(attribute(below(disk, "source"), "file") ?? "")) remove(disk);
  }
  const names = new Set(allBelow(root, "devices", "disk", "target").flatMap((target) => attribute(target, "dev") ?? []));
  // By their last names, as they were found: a pool's path may have another name by now.
  const files = new Set(allBelow(root, "devices", "disk", "source").map((source) => baseName(attribute(source, "file") ?? attribute(source, "volume"))));
  const added = extra.filter(({ path }) => !files.has(baseName(path)));
  const given = diskNames(added, names);
  added.forEach((disk, index) => append(devices, { disk: diskXml(disk, given[index]!, disk.label.slice(0, 20)) }));
  const controllers = new Set(children(devices, "controller").filter((one) => attribute(one, "type") === "scsi").map((one) => Number(attribute(one, "index") ?? 0)));
  for (const index of scsiControllers(given.filter((_, at) => added[at]!.bus === "scsi"))) if (!controllers.has(index)) append(devices, { controller: scsiControllerXml(index) });
}

/** What a cloned disk is read from. */
function setImage(element: Element, disk: DiskXml): void {
  element.setAttribute("type", "file");
  const driver = childOf(element, "driver");
  driver.setAttribute("name", "qemu");
  driver.setAttribute("type", disk.format);
  for (const name of ["error_policy", "rerror_policy"]) {
    if (disk.stopOnError) driver.setAttribute(name, "stop");
    else if (attribute(driver, name) === "stop") driver.removeAttribute(name);
  }
  remove(...["source", "backingStore"].flatMap((name) => children(element, name)));
  append(element, { source: { "@file": disk.path } });
  const backing = backingXml(disk.backing);
  if (backing) append(element, { backingStore: backing });
}

/** A member's definition with one of its cloned disks in another file, which needs nothing that the definition says. @param from its last name */
export function withImageAt(own: string, from: string, path: string): string {
  const root = readDefinition(own);
  for (const disk of allBelow(root, "devices", "disk")) {
    if (baseName(attribute(below(disk, "source"), "file")) === from) setImage(disk, { path, format: "qcow2" });
  }
  return writeDefinition(root);
}

/** What is declared so that it differs by member. */
function ownPaths(order: ReconfigureOrder): Set<string> {
  const { serialLog, xml = {} } = libvirts(order.vm.own);
  const declared = [serialLog, ...Object.values(xml)].filter((one): one is string => typeof one === "string");
  return new Set(declared.map((one) => fill(order, one)).filter((one, index) => one !== declared[index]));
}

/** The cloned disks of a member, as whoever looks for them finds them (look/domainDisks.ts). */
const memberDisks = (root: Element, { slot, generation }: MemberSlot, count: number): (Element | undefined)[] => imageDisksOf(allBelow(root, "devices", "disk").filter(isDisk), { slot, generation, count }, (disk) => ({
  device: attribute(below(disk, "target"), "dev"), file: attribute(below(disk, "source"), "file"),
}));

/**
 * Sets what `vm.xml` declares, last.
 * @throws UnfitMachineError where this is no definition of that member any more then, or is one that only one machine can have
 */
function finished(root: Element, order: ReconfigureOrder, { tag, image, extra }: Parts, { isNew, isAgain }: { isNew: boolean; isAgain: boolean }): string {
  const { xml } = libvirts(order.vm.own);
  const places = (): string[] => memberDisks(root, order, image.length).map(placesOf);
  const [before, own] = [held(root), places()];
  const lone = (): LonePart[] => unshareable(root, ownPaths(order));
  // What somebody gave a member by hand since is that member's.
  const given = new Set(isNew ? [] : lone().map(({ what }) => what));
  const wrong = setPaths(root, xml, { isAgain, fill: (text) => fill(order, text) });
  wrong.push(...lone().filter(({ what }) => !given.has(what)).map(({ what, path }) => `the machine has ${what}, which only one machine can have: leave it out with vm.xml: { ${JSON.stringify(path)}: false }`));
  const isOwn = below(root, "name")?.textContent === order.name && below(root, "uuid")?.textContent === memberUuid(order.fleet.fleetId, order.slot) &&
    allBelow(root, "metadata").flatMap((metadata) => children(metadata)).some((one) => one.namespaceURI === TAG_URI && attribute(one, "incarnation") === tag.incarnation);
  if (!isOwn || root.nodeName !== "domain") wrong.push("vm.xml changes what tells members apart (name, UUID or tag)");
  const files = allBelow(root, "devices", "disk", "source").map((source) => baseName(attribute(source, "file") ?? attribute(source, "volume")));
  const isWhole = memberDisks(root, order, image.length).every((disk, place) => attribute(below(disk, "source"), "file") === image[place]!.path) &&
    isDeepStrictEqual(places(), own) && extra.every(({ path }) => files.includes(baseName(path)));
  wrong.push(...intruded(before, held(root), isWhole));
  if (wrong.length > 0) throw new UnfitMachineError(wrong);
  return writeDefinition(root);
}

/** What members of a template machine will be like. */
export interface LikeTemplate {
  /** As a definition that a host can be asked about: that of a member which is never made. */
  sample: string;
  cards: number;
  agentChannel: boolean;
  /** MiB */
  memory: number;
  words: string;
}

/** @throws UnfitMachineError */
export function likeTemplate(template: TemplateMachine, vm: VmSpec): LikeTemplate {
  const isKept = keepsVariables(template, vm);
  const { cloned, lost } = inherit(readDefinition(template.xml), { ...template, keepsVariables: isKept });
  const sample = sampleOf(vm, { template });
  const root = readDefinition(sample);
  const without = lost.length > 0 ? `, without ${lost.join(", ")}` : "";
  const agentChannel = hasAgentChannel(parseXml(sample)["domain"]);
  return {
    sample, cards: allBelow(root, "devices", "interface").length, agentChannel, memory: memoryOf(root),
    words: `hardware as the template's: ${describeHardware(root, cloned, isKept)}${without}`,
  };
}

/** The definition of a member that is never made, for hosts to be asked about. @throws UnfitMachineError */
export function sampleOf(vm: VmSpec, from?: { template: TemplateMachine }): string {
  const fleet = { fleetId: "sample", incarnation: "sample", namePrefix: "sample" };
  const of = { kind: "full", slot: 0, generation: 0, contentId: "" } as const;
  const order: ReconfigureOrder = { fleet, host: "", name: "vmfleet-sample", ...of, vm, autostart: false };
  const tag: MemberTag = { purpose: "member", fleetId: fleet.fleetId, incarnation: fleet.incarnation, base: "frozen", ...of };
  const extra = vm.disks.filter(isOnBus).map(({ label, own }) => ({ path: `/vmfleet-sample-${label}`, format: "qcow2", label, bus: libvirts(own!).bus }));
  const disks = from ? clonedDisks(readDefinition(from.template.xml), from.template).length : 1;
  const image = Array.from({ length: disks }, (_, place): DiskXml => ({ path: `/vmfleet-sample.s0.g0.base${place === 0 ? "" : `-${place}`}.qcow2`, format: "qcow2" }));
  return memberDefinition(order, { tag, image, extra }, from);
}

/** On one that not every machine has. */
export const isOnBus = ({ own }: ExtraDiskSpec): boolean => own !== undefined && libvirts(own).bus !== "virtio";

/** Whether documented defaults alone make its machine, which any host that can run members can run. */
export const isPlain = ({ own }: Pick<VmSpec, "own">): boolean => {
  const { xml, firmware, efiSecureBootEnabled, vtpm, cpuMode } = libvirts(own);
  return [xml, firmware, efiSecureBootEnabled, vtpm, cpuMode].every((one) => one === undefined);
};
