/**
 * What is wrong with inputs that are each well-formed but do not fit together. Reads the raw input leniently, so that
 * these problems are told in one list with the structural ones.
 */
import type { Problem } from "../model";
import { alternatives, expected, nearest, seen } from "../words/problems";
import { redactValue } from "../words/redaction";
import { reachProblems, uriProblems } from "./reach";
import { UNKNOWN } from "./unknowns";

type Raw = Record<string, unknown>;

export interface CheckOptions {
  /** Planning without a hypervisor: how hosts are reached does not matter. */
  planning: boolean;
  /** Inputs that a check has let pass before, maybe an earlier version's: how hosts are reached is not judged again. */
  recorded: boolean;
}

export function crossProblems(input: unknown, options: CheckOptions): Problem[] {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return [];
  const raw = record(input);
  const hosts = items(raw.hosts);
  return [
    ...targetProblems(raw, hosts),
    ...capacityProblems(raw, hosts),
    ...templateProblems(raw, hosts),
    ...rackProblems(raw, hosts),
    ...duplicates(hosts, "hosts", "name"),
    ...(options.recorded ? [] : uriProblems(hosts)),
    ...(options.planning ? [] : duplicates(hosts, "hosts", "uri")),
    ...(options.planning || options.recorded ? [] : reachProblems(raw, hosts)),
    ...portProblems(hosts),
    ...vmProblems(record(raw.vm)),
    ...(options.recorded ? [] : diskProblems(record(raw.vm))),
    ...tlsProblems(raw),
  ];
}

// An absent value is undefined; one of the wrong type reads as undefined too, since the schema has told of it.
const record = (value: unknown): Raw => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Raw) : {});
const items = (value: unknown): Raw[] => (Array.isArray(value) ? value.map(record) : []);
const str = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);
const num = (value: unknown): number | undefined => (typeof value === "number" && Number.isFinite(value) ? value : undefined);
const given = (value: unknown): boolean => value !== undefined;

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

const EXACTLY_ONE = "exactly one of count, countPerHost and hosts[].count";

function targetProblems(raw: Raw, hosts: Raw[]): Problem[] {
  if (raw.hosts === UNKNOWN || hosts.some((host) => (host as unknown) === UNKNOWN)) return [];
  const fleetWide = ["count", "countPerHost"].filter((key) => given(raw[key]));
  const each = hosts.flatMap((host, index) => (given(host.count) ? [index] : []));
  if (fleetWide.length === 2) {
    return [{ path: "countPerHost", message: `expected ${EXACTLY_ONE}, got count and countPerHost; remove one of them` }];
  }
  if (fleetWide.length === 1) {
    return each.map((index) => ({
      path: `hosts[${index}].count`,
      message: `expected ${EXACTLY_ONE}, got ${fleetWide[0]} and hosts[${index}].count; remove one of them`,
    }));
  }
  return each.length > 0 ? [] : [{ path: "count", message: `expected ${EXACTLY_ONE}, got none; add one, for example count: 3` }];
}

function capacityProblems(raw: Raw, hosts: Raw[]): Problem[] {
  const capacities = hosts.map((host) => num(host.capacity));
  const perHost = num(raw.countPerHost);
  const problems = hosts.flatMap((host, index) => {
    const wanted = num(host.count) ?? perHost;
    const capacity = capacities[index];
    if (wanted === undefined || capacity === undefined || wanted <= capacity) return [];
    const what = num(host.count) === undefined ? "countPerHost" : "count";
    return [{
      path: `hosts[${index}].capacity`,
      message: expected(`a capacity of at least the host's ${what} ${wanted}`, capacity, `raise it or lower ${what}`),
    }];
  });
  const count = num(raw.count);
  if (count !== undefined && hosts.length > 0 && capacities.every((capacity) => capacity !== undefined)) {
    const total = capacities.reduce((sum, capacity) => sum + capacity, 0);
    if (count > total) {
      problems.push({
        path: "count",
        message: expected(`at most the ${total} members that all hosts' capacities allow`, count, "lower it, raise a capacity or add hosts"),
      });
    }
  }
  return problems;
}

const TEMPLATE_FORMS = "{ host, pool, volume }, { host, domain } or { file }";

function templateProblems(raw: Raw, hosts: Raw[]): Problem[] {
  if (raw.template === UNKNOWN) return [];
  const template = record(raw.template);
  const keys = ["host", "pool", "volume", "domain", "file"].filter((key) => given(template[key]));
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
      for (const key of keys.filter((one) => !wanted.includes(one))) {
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

function rackProblems(raw: Raw, hosts: Raw[]): Problem[] {
  const racks = items(raw.racks);
  const names = racks.map((rack) => str(rack.name));
  const problems = duplicates(racks, "racks", "name");
  if (raw.racks === undefined || !complete(raw.racks, "name")) return problems;
  hosts.forEach((host, index) => {
    const rack = str(host.rack);
    if (rack !== undefined && !names.includes(rack)) {
      problems.push({ path: `hosts[${index}].rack`, message: undeclared("the name of a declared rack", rack, names, "declare it under racks") });
    }
  });
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

/** "10809-10872" or { from, to }; undefined for anything else. */
export function parsePorts(value: unknown): { from: number; to: number } | undefined {
  if (typeof value === "string") {
    const match = /^\s*(\d{1,5})\s*-\s*(\d{1,5})\s*$/.exec(value);
    return match ? { from: Number(match[1]), to: Number(match[2]) } : undefined;
  }
  const { from, to } = record(value);
  return num(from) !== undefined && num(to) !== undefined ? { from: from as number, to: to as number } : undefined;
}

/** virtio's limit of a disk's serial number. */
const SERIAL_LENGTH = 20;
/** Data disks and network cards that machines of all types start with: libvirt 9 finds no slots for 57 of them on `pc`. */
const MAX_DEVICES = 56;

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

function vmProblems(vm: Raw): Problem[] {
  const problems = duplicates(items(vm.disks), "vm.disks", "label");
  for (const key of ["initrd", "cmdline"]) {
    if (given(vm[key]) && !given(vm.kernel)) {
      problems.push({ path: `vm.${key}`, message: `expected vm.kernel beside vm.${key}, got nothing; add vm.kernel or remove vm.${key}` });
    }
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

function duplicates(list: Raw[], path: string, key: string): Problem[] {
  const first = new Map<string, number>();
  return list.flatMap((item, index) => {
    const value = str(item[key]);
    if (value === undefined) return [];
    const earlier = first.get(value);
    if (earlier === undefined) {
      first.set(value, index);
      return [];
    }
    const message = expected(`a ${key} of its own for each of ${path}`, value, `${path}[${earlier}] has it already`);
    return [{ path: `${path}[${index}].${key}`, message }];
  });
}

/** True when the list and this key of all its items are known and well-formed: only then can a name be missing. */
function complete(list: unknown, key: string): boolean {
  return Array.isArray(list) && list.every((item) => str(record(item)[key]) !== undefined);
}

function undeclared(what: string, value: string, names: readonly (string | undefined)[], next: string): string {
  const known = names.filter((one): one is string => one !== undefined).map(redactValue);
  const meant = nearest(value, known);
  const allowed = known.length > 0 && known.length <= 8 ? ` (${alternatives(known)})` : "";
  return expected(`${what}${allowed}`, value, meant ? `did you mean ${meant}?` : next);
}
