/** What is wrong with inputs that are libvirt's own and do not fit together. */
import type { Problem } from "../model";
import { expected, formatPath, seen } from "../words/problems";
import { parsePorts } from "./libvirt";
import { complete, duplicates, given, items, record, str, undeclared, type CheckOptions, type Raw } from "./raw";
import { reachProblems, uriProblems } from "./reach";
import { UNKNOWN } from "./unknowns";
import { readXmlPath } from "./xmlPaths";

export function libvirtProblems(raw: Raw, hosts: Raw[], options: CheckOptions): Problem[] {
  return [
    ...templateProblems(raw, hosts),
    ...(options.recorded ? [] : uriProblems(hosts)),
    ...(options.planning ? [] : duplicates(hosts, "hosts", "uri")),
    ...(options.planning || options.recorded ? [] : reachProblems(raw, hosts)),
    ...portProblems(hosts),
    ...vmProblems(record(raw.vm)),
    ...hardwareProblems(raw),
    ...xmlProblems(record(raw.vm)),
    ...cardProblems(record(raw.vm)),
    ...(options.recorded ? [] : diskProblems(record(raw.vm))),
    ...tlsProblems(raw),
  ];
}

/**
 * Certificates that nothing uses are most likely meant to be used. A guest that starts early reads from its own host's export, and
 * libvirt gives its disk no certificates of ours.
 */
function tlsProblems(raw: Raw): Problem[] {
  if (given(raw.transferTlsDirectory) && (raw.transferTls === false || !given(raw.transferTls))) {
    return [{ path: "transferTls", message: expected("true beside transferTlsDirectory", raw.transferTls, "set it, or remove transferTlsDirectory: without it copies go unencrypted") }];
  }
  if (raw.transferTls !== true || raw.start !== "immediately") return [];
  return [{ path: "start", message: 'expected "whenCopied" with transferTls, got "immediately"; guests cannot read from copies over TLS yet' }];
}

const TEMPLATE_FORMS = "{ host, pool, volume }, { host, domain } or { file }";

function templateProblems(raw: Raw, hosts: Raw[]): Problem[] {
  if (raw.template === UNKNOWN) return [];
  const template = record(raw.template);
  const keys = ["host", "pool", "volume", "domain", "file", "disks"].filter((key) => given(template[key]));
  const problems: Problem[] = [];
  const kinds = ["volume", "domain", "file"].filter((key) => given(template[key]));
  if (given(raw.template) && typeof raw.template === "object" && !Array.isArray(raw.template)) {
    if (kinds.length !== 1) {
      const got = keys.length > 0 ? `{ ${keys.join(", ")} }` : "an empty object";
      problems.push({ path: "template", message: `expected ${TEMPLATE_FORMS}, got ${got}; name exactly one of volume, domain and file` });
    } else {
      const wanted = kinds[0] === "volume" ? ["host", "pool", "volume"] : kinds[0] === "domain" ? ["host", "domain"] : ["file"];
      for (const key of wanted.filter((one) => !keys.includes(one))) {
        problems.push({ path: `template.${key}`, message: `expected the template's ${key} beside ${kinds[0]}, got nothing; add it` });
      }
      for (const key of keys.filter((one) => !wanted.includes(one) && !(one === "disks" && kinds[0] === "domain"))) {
        problems.push({ path: `template.${key}`, message: `expected ${TEMPLATE_FORMS}, got ${key} beside ${kinds[0]}; remove it` });
      }
    }
  }
  const host = str(template.host);
  const names = hosts.map((one) => str(one.name));
  if (host !== undefined && names.length > 0 && kinds[0] !== "file" && !names.includes(host) && complete(raw.hosts, "name")) {
    problems.push({ path: "template.host", message: undeclared("the name of a declared host", host, names, "declare that host under hosts") });
  }
  return problems;
}

function portProblems(hosts: Raw[]): Problem[] {
  return hosts.flatMap((host, index) => {
    const range = host.transferPorts === UNKNOWN ? undefined : parsePorts(host.transferPorts);
    if (!range) return [];
    const fits = range.from >= 1024 && range.to <= 65535 && range.from <= range.to;
    // Single ends out of range are told by the schema when they are given as numbers.
    if (fits || (typeof host.transferPorts !== "string" && range.from <= range.to)) return [];
    const got = typeof host.transferPorts === "string" ? seen(host.transferPorts) : `from ${range.from} to ${range.to}`;
    return [{ path: `hosts[${index}].transferPorts`, message: `expected a port range within 1024 to 65535, lowest first, got ${got}` }];
  });
}

/** virtio's limit of a disk's serial number. */
const SERIAL_LENGTH = 20;
/** Data disks and network cards that machines of all types start with: libvirt 9 finds no slots for 57 of them on `pc`. */
export const MAX_DEVICES = 56;

function diskProblems(vm: Raw): Problem[] {
  const problems: Problem[] = [];
  const [disks, networks] = [items(vm.disks), items(vm.networks)];
  if (disks.length > 0 && disks.length + networks.length > MAX_DEVICES) {
    problems.push({
      path: "vm.disks",
      message: `expected at most ${MAX_DEVICES} disks and network cards together, got ${disks.length} and ${networks.length}; want fewer, larger disks`,
    });
  }
  const first = new Map<string, number>();
  disks.forEach((disk, index) => {
    const label = str(disk.label);
    if (label === undefined) return;
    const earlier = first.get(label.slice(0, SERIAL_LENGTH));
    if (earlier === undefined) first.set(label.slice(0, SERIAL_LENGTH), index);
    else if (disks[earlier]!.label !== label) {
      problems.push({
        path: `vm.disks[${index}].label`,
        message: expected(`a label that differs from others in its first ${SERIAL_LENGTH} characters, which are the disk's serial number`, label, `vm.disks[${earlier}] begins alike`),
      });
    }
  });
  return problems;
}

const CARD_FORMS = "{ network }, { bridge } or { direct }";

/** What a network card is plugged into, and what goes with that. */
function cardProblems(vm: Raw): Problem[] {
  if (!Array.isArray(vm.networks)) return [];
  return (vm.networks as unknown[]).flatMap((each, index) => {
    if (each === UNKNOWN || typeof each !== "object" || each === null || Array.isArray(each)) return [];
    const card = record(each);
    const path = `vm.networks[${index}]`;
    const kinds = ["network", "bridge", "direct"].filter((key) => given(card[key]));
    if (kinds.length !== 1) {
      const got = kinds.length > 0 ? `{ ${kinds.join(", ")} }` : "none of them";
      return [{ path, message: `expected ${CARD_FORMS}, got ${got}; name exactly one of network, bridge and direct` }];
    }
    const problems: Problem[] = [];
    const [kind] = kinds as [string];
    const beside = (key: string, message: string): void => void problems.push({ path: `${path}.${key}`, message });
    if (given(card.virtualPort) && kind !== "bridge") beside("virtualPort", `expected virtualPort beside bridge only, got it beside ${kind}; remove it`);
    if (given(card.mtu) && kind === "direct") beside("mtu", "expected mtu beside network or bridge only, got it beside direct; set it on the hosts' device, whose MTU the card takes");
    const tags = Array.isArray(card.vlanTags) ? card.vlanTags as unknown[] : [];
    const { mode } = record(card.direct);
    if (tags.length > 0 && kind === "direct" && mode !== "passthrough" && mode !== UNKNOWN) {
      beside("vlanTags", `expected vlanTags beside direct in mode passthrough only, got ${JSON.stringify(tags)}; plug the card into a VLAN device of the hosts, such as eth0.42`);
    }
    if (tags.length > 1 && kind === "direct") beside("vlanTags", `expected one tag beside direct, got ${JSON.stringify(tags)}; only Open vSwitch has trunks`);
    if (tags.length > 1 && kind === "bridge" && !given(card.virtualPort)) beside("vlanTags", `expected one tag, got ${JSON.stringify(tags)}; only Open vSwitch has trunks: add virtualPort: "openvswitch" if the bridge is one`);
    if (new Set(tags).size < tags.length) beside("vlanTags", `expected tags that differ, got ${JSON.stringify(tags)}`);
    return problems;
  });
}

function vmProblems(vm: Raw): Problem[] {
  const problems: Problem[] = [];
  for (const key of ["initrd", "cmdline"]) {
    if (given(vm[key]) && !given(vm.kernel)) {
      problems.push({ path: `vm.${key}`, message: `expected vm.kernel beside vm.${key}, got nothing; add vm.kernel or remove vm.${key}` });
    }
  }
  if (given(vm.efiSecureBootEnabled) && vm.firmware === "bios") {
    problems.push({ path: "vm.efiSecureBootEnabled", message: 'expected vm.firmware "efi" beside vm.efiSecureBootEnabled, got "bios"; remove one of them' });
  }
  if (given(vm.kernel) && vm.efiSecureBootEnabled === true) {
    problems.push({ path: "vm.kernel", message: "expected no kernel of the host's beside efiSecureBootEnabled, got one, which nobody signed for it; remove one of them" });
  }
  const log = str(vm.serialLog);
  if (log !== undefined && !log.includes("{name}") && !log.includes("{slot}")) {
    problems.push({
      path: "vm.serialLog",
      message: expected("a path that holds {name} or {slot}", log, "members must not share one file"),
    });
  }
  return problems;
}

function hardwareProblems(raw: Raw): Problem[] {
  if (record(raw.vm).hardware !== "template" || raw.template === UNKNOWN || given(record(raw.template).domain)) return [];
  return [{ path: "vm.hardware", message: 'expected a template { host, domain } beside "template", got one that is no machine; name the domain that has the disk, or leave hardware out' }];
}

/** What every member has of its own, which members would lose each other by. */
const OWN_PARTS: Readonly<Record<string, string>> = { name: "namePrefix", uuid: "the fleet's id", metadata: "the provider's tag" };

function xmlProblems(vm: Raw): Problem[] {
  if (vm.xml === UNKNOWN) return [];
  return Object.entries(record(vm.xml)).flatMap(([path, value]): Problem[] => {
    const at = formatPath(["vm", "xml", path]);
    const read = readXmlPath(path);
    if (!read) {
      return [{ path: at, message: `expected a path such as ./cpu/@mode, ./devices/disk[1]/driver/@cache or ./devices/interface[@type='bridge'], got ${seen(path)}` }];
    }
    const [first] = read.steps;
    const own = first && Object.hasOwn(OWN_PARTS, first.name) ? OWN_PARTS[first.name] : undefined;
    if (own !== undefined) return [{ path: at, message: `expected a path to what members have in common, got ${seen(path)}, which follows from ${own}; remove it` }];
    if (read.steps.length === 0) return value === true || value === false ? [{ path: at, message: expected("a text for an attribute", value) }] : [];
    if (read.attribute !== undefined && typeof value === "boolean" && value) return [{ path: at, message: expected("a text, or false for no such attribute", value) }];
    return [];
  });
}
