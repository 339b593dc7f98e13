/**
 * The lab's network: a namespace for the core, one per rack, one per host; a bridge in the core and in each rack;
 * veth pairs between them, made inside the namespaces, so that the only interface in the root namespace is the
 * management one. Rates are token buckets on both ends of a link: a NIC and an uplink are full duplex.
 */
import { existsSync } from "node:fs";
import { run } from "./exec.mjs";

/** Large enough for a timer tick at 1 Gbit/s and for one 64 KiB segment, else the rate is not reached. */
const BURST_BYTES = 262_144;
/** Queue before drops: about what a switch port buffers. */
const QUEUE_MS = 100;

const ip = (netns, lines) => run(["ip", ...(netns ? ["-n", netns] : []), "-batch", "-"], { input: `${lines.join("\n")}\n` });
const limit = (netns, device, bitsPerSecond) => run([
  "tc", "-n", netns, "qdisc", "replace", "dev", device, "root", "tbf",
  "rate", `${bitsPerSecond}bit`, "burst", String(Math.max(BURST_BYTES, Math.ceil(bitsPerSecond / 1600))), "latency", `${QUEUE_MS}ms`,
]);

/** The second octets N for which the root namespace already has a route into 10.N. */
export async function subnetsInUse() {
  const routes = JSON.parse(await run(["ip", "-j", "-4", "route", "show", "table", "all"]) || "[]");
  return new Set(routes.map(({ dst }) => /^10\.(\d+)\./.exec(dst ?? "")?.[1]).filter(Boolean).map(Number));
}

export const namespacesOf = (layout) => [
  ...layout.hosts.map((host) => host.netns), ...layout.racks.map((rack) => rack.netns), layout.coreNetns,
];

/** What exists already under one of the lab's names. */
export function findExisting(layout) {
  return [
    ...namespacesOf(layout).filter((name) => existsSync(`/run/netns/${name}`)).map((name) => `network namespace ${name}`),
    ...(existsSync(`/sys/class/net/${layout.managementInterface}`) ? [`interface ${layout.managementInterface}`] : []),
  ];
}

export async function createNetwork(layout) {
  const { coreNetns, managementInterface } = layout;
  await ip(null, namespacesOf(layout).map((name) => `netns add ${name}`));
  await ip(coreNetns, ["link set lo up", "link add br0 type bridge", "link set br0 up"]);
  for (const rack of layout.racks) {
    await ip(rack.netns, [
      "link set lo up", "link add br0 type bridge", "link set br0 up",
      `link add uplink type veth peer name ${rack.coreInterface} netns ${coreNetns}`,
      "link set uplink master br0 up",
    ]);
    await ip(coreNetns, [`link set ${rack.coreInterface} master br0 up`]);
    await limit(rack.netns, "uplink", rack.uplinkBitsPerSecond);
    await limit(coreNetns, rack.coreInterface, rack.uplinkBitsPerSecond);
  }
  await Promise.all(layout.hosts.map(async (host) => {
    await ip(host.netns, [
      "link set lo up",
      `link add eth0 type veth peer name ${host.rackInterface} netns ${host.rackNetns}`,
      `addr add ${host.address}/16 dev eth0`,
      "link set eth0 up",
      // Guests of the libvirt network `default` plug in here.
      "link add vmbr0 type bridge", "link set vmbr0 up",
    ]);
    await ip(host.rackNetns, [`link set ${host.rackInterface} master br0 up`]);
    await limit(host.netns, "eth0", host.nicBitsPerSecond);
    await limit(host.rackNetns, host.rackInterface, host.nicBitsPerSecond);
  }));
  await ip(null, [
    `link add ${managementInterface} type veth peer name management netns ${coreNetns}`,
    `addr add ${layout.managementAddress}/16 dev ${managementInterface}`,
    `link set ${managementInterface} up`,
  ]);
  await ip(coreNetns, ["link set management master br0 up"]);
}

/** Removes what is there of it; the veth pairs inside the namespaces go with them. */
export async function removeNetwork(layout) {
  if (existsSync(`/sys/class/net/${layout.managementInterface}`)) await run(["ip", "link", "del", layout.managementInterface]);
  for (const name of namespacesOf(layout)) {
    if (existsSync(`/run/netns/${name}`)) await run(["ip", "netns", "del", name]);
  }
}

export const setNic = (host, up) => run(["ip", "-n", host.netns, "link", "set", "eth0", up ? "up" : "down"]);

/** Another rate for a host's network card, both ways. */
export const setNicRate = (host, bitsPerSecond) => Promise.all([
  limit(host.netns, "eth0", bitsPerSecond), limit(host.rackNetns, host.rackInterface, bitsPerSecond),
]);

/** Bytes since the interface was made. */
export async function interfaceBytes(netns, device) {
  const [{ stats64 }] = JSON.parse(await run(["ip", "-n", netns, "-s", "-j", "link", "show", "dev", device]));
  return { rx: stats64.rx.bytes, tx: stats64.tx.bytes };
}
