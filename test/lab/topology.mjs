/**
 * Pure: what a topology file may say, and every name, address and path that follows from it.
 *
 * A file gives racks with their hosts; a rate given at the top holds for every rack and host that gives none.
 * Rates are decimal bits per second.
 */
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";

export const DEFAULT_LAB = "lab";
export const DEFAULT_TOPOLOGY_FILE = fileURLToPath(new URL("topology.json", import.meta.url));
export const RUN_ROOT = "/run/vmfleet-lab";
export const DATA_ROOT = "/var/lib/vmfleet-lab";

/** No hyphen: `lab-a1` can then belong to the lab `lab` only. Ten characters: `vfm-NAME` is an interface (at most 15). */
const LAB_NAME = /^[a-z][a-z0-9]{0,9}$/;
/** Host names become the interface `port-NAME` (at most 15). */
const HOST_NAME = /^[a-z][a-z0-9-]{0,9}$/;
const RACK_NAME = /^[a-z][a-z0-9-]{0,19}$/;
const MAX_RACKS = 200;
const MAX_HOSTS_PER_RACK = 200;
const DEFAULT_SUBNET = 77;
const FIRST_SUBNET = 78;
const LAST_SUBNET = 120;

/** @throws when the name cannot be one. */
export function checkLabName(name) {
  if (typeof name !== "string" || !LAB_NAME.test(name)) {
    throw new Error(`lab name: expected ${LAB_NAME.source}, got ${JSON.stringify(name)}`);
  }
  return name;
}

/**
 * @param {unknown} input the parsed topology file
 * @returns {{racks: {name: string, uplinkBitsPerSecond: number, hosts: {name: string, nicBitsPerSecond: number}[]}[]}}
 * @throws one error that lists every problem with its property path
 */
export function parseTopology(input) {
  const problems = [];
  const top = isObject(input) ? input : {};
  if (!Array.isArray(top.racks) || top.racks.length < 1 || top.racks.length > MAX_RACKS) {
    throw new Error(`topology: racks: expected 1 to ${MAX_RACKS} racks, got ${show(top.racks)}`);
  }
  const seen = new Set(["core"]);
  const named = (path, value, pattern) => {
    if (typeof value !== "string" || !pattern.test(value)) problems.push(`${path}: expected ${pattern.source}, got ${show(value)}`);
    else if (seen.has(value)) problems.push(`${path}: expected a name not used elsewhere, got ${show(value)}`);
    seen.add(value);
    return value;
  };
  const rate = (path, value) => {
    if (!Number.isInteger(value) || value < 1e6 || value > 1e11) {
      problems.push(`${path}: expected bits per second from 1e6 to 1e11, got ${show(value)}`);
    }
    return value;
  };
  const racks = top.racks.map((rack, r) => {
    const path = `racks[${r}]`;
    const hosts = Array.isArray(rack?.hosts) ? rack.hosts : [];
    if (hosts.length < 1 || hosts.length > MAX_HOSTS_PER_RACK) {
      problems.push(`${path}.hosts: expected 1 to ${MAX_HOSTS_PER_RACK} hosts, got ${show(rack?.hosts)}`);
    }
    return {
      name: named(`${path}.name`, rack?.name, RACK_NAME),
      uplinkBitsPerSecond: rate(`${path}.uplinkBitsPerSecond`, rack?.uplinkBitsPerSecond ?? top.uplinkBitsPerSecond),
      hosts: hosts.map((host, h) => ({
        name: named(`${path}.hosts[${h}].name`, host?.name, HOST_NAME),
        nicBitsPerSecond: rate(`${path}.hosts[${h}].nicBitsPerSecond`, host?.nicBitsPerSecond ?? top.nicBitsPerSecond),
      })),
    };
  });
  if (problems.length > 0) throw new Error(`topology: ${problems.join("; ")}`);
  return { racks };
}

/** The second octets of 10.N.0.0/16 that this lab may take, best first: always the same one while it is free. */
export function subnetCandidates(name) {
  const all = Array.from({ length: LAST_SUBNET - FIRST_SUBNET + 1 }, (_, i) => FIRST_SUBNET + i);
  const start = createHash("sha256").update(name).digest().readUInt32BE(0) % all.length;
  const rotated = [...all.slice(start), ...all.slice(0, start)];
  return name === DEFAULT_LAB ? [DEFAULT_SUBNET, ...rotated] : rotated;
}

/** A stable UUID (version 5 shape): a host keeps its libvirt identity from one `up` to the next. */
export function stableUuid(text) {
  const hash = createHash("sha1").update(`vmfleet-lab/${text}`).digest();
  hash[6] = (hash[6] & 0x0f) | 0x50;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  return hash.toString("hex", 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export const labPaths = (name) => ({
  run: `${RUN_ROOT}/${name}`,
  data: `${DATA_ROOT}/${name}`,
  state: `${RUN_ROOT}/${name}/state.json`,
  lock: `${RUN_ROOT}/${name}.lock`,
  boot: `${DATA_ROOT}/${name}/boot`,
});

/**
 * Everything that `up` makes, before it makes it.
 * @param {number} subnet N of 10.N.0.0/16
 */
export function layOut(name, topology, subnet) {
  const { run, data } = labPaths(name);
  const racks = topology.racks.map((rack, r) => ({
    name: rack.name,
    uplinkBitsPerSecond: rack.uplinkBitsPerSecond,
    netns: `${name}-${rack.name}`,
    coreInterface: `rack${r + 1}`,
  }));
  const hosts = topology.racks.flatMap((rack, r) => rack.hosts.map((host, h) => {
    const address = `10.${subnet}.${r + 1}.${h + 1}`;
    const runDir = `${run}/${host.name}`;
    return {
      name: host.name,
      rack: rack.name,
      address,
      uuid: stableUuid(`${name}/${host.name}`),
      uri: `qemu+tcp://${address}/system`,
      unixUri: `qemu+unix:///system?socket=${runDir}/run/libvirt-sock`,
      poolDir: `${data}/${host.name}/images`,
      runDir,
      dataDir: `${data}/${host.name}`,
      netns: `${name}-${host.name}`,
      rackNetns: `${name}-${rack.name}`,
      rackInterface: `port-${host.name}`,
      nicBitsPerSecond: host.nicBitsPerSecond,
    };
  }));
  return {
    name,
    subnet: `10.${subnet}.0.0/16`,
    managementInterface: `vfm-${name}`,
    managementAddress: `10.${subnet}.255.1`,
    coreNetns: `${name}-core`,
    racks,
    hosts,
  };
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const show = (value) => (value === undefined ? "nothing" : JSON.stringify(value));
