/**
 * What is wrong with inputs that are each well-formed but do not fit together. Reads the raw input leniently, so that
 * these problems are told in one list with the structural ones.
 */
import type { Problem } from "../model";
import { expected } from "../words/problems";
import { guestProblems } from "./guestChecks";
import { libvirtProblems } from "./libvirtChecks";
import { complete, duplicates, given, items, num, record, str, undeclared, type CheckOptions, type Raw } from "./raw";
import { UNKNOWN } from "./unknowns";
import { waitingProblems } from "./waiting";

export function crossProblems(input: unknown, options: CheckOptions): Problem[] {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return [];
  const raw = record(input);
  const hosts = items(raw.hosts);
  return [
    ...targetProblems(raw, hosts),
    ...capacityProblems(raw, hosts),
    ...rackProblems(raw, hosts),
    ...duplicates(hosts, "hosts", "name"),
    ...duplicates(items(record(raw.vm).disks), "vm.disks", "label"),
    ...ceilingProblems(record(raw.vm)),
    ...reattachProblems(items(record(raw.vm).disks)),
    ...libvirtProblems(raw, hosts, options),
    ...waitingProblems(raw),
    ...(options.recorded ? [] : guestProblems(raw, hosts)),
  ];
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

function ceilingProblems(vm: Raw): Problem[] {
  return ([["maxCpus", "numCpus"], ["maxMemory", "memory"]] as const).flatMap(([most, name]) => {
    const [limit, wanted] = [num(vm[most]), num(vm[name])];
    if (limit === undefined || wanted === undefined || limit >= wanted) return [];
    return [{ path: `vm.${most}`, message: expected(`at least vm.${name}, which is ${wanted}`, limit, "raise it, or leave it out") }];
  });
}

/** A disk that goes with its member comes back with nobody. */
function reattachProblems(disks: Raw[]): Problem[] {
  return disks.flatMap(({ reattach, onDelete }, index) => (reattach !== true || onDelete === "keep" || onDelete === UNKNOWN ? [] : [{
    path: `vm.disks[${index}].reattach`, message: 'expected onDelete "keep" beside reattach, got a disk that goes with its member; set onDelete, or remove reattach',
  }]));
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
