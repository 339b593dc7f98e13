/** What is wrong with `guest` beyond each value by itself. Its texts may be secret: lines and columns are told, never what stands there. */
import { parseDocument } from "yaml";
import { bitsOf, ipOf, ipText, networkOf, slotsOf, unfitKind, type Ip } from "../guest/addresses";
import { DOMAIN_RULE, HOSTNAME_RULE, isDomain, isHostname } from "../guest/hostnames";
import { fill, holdsMember, placeholderProblem, type Filling } from "../guest/placeholders";
import { slotName } from "../members/identity";
import type { Problem } from "../model";
import { expected } from "../words/problems";
import { MAX_USER_DATA_BYTES } from "./guest";
import { given, items, num, record, str, type Raw } from "./raw";
import { UNKNOWN } from "./unknowns";

export function guestProblems(raw: Raw, hosts: Raw[]): Problem[] {
  if (typeof raw.guest !== "object" || raw.guest === null || raw.guest === UNKNOWN) return [];
  const guest = record(raw.guest);
  const cloudInit = record(guest.cloudInit);
  const wanted = wantedOf(raw, hosts);
  const fillings = fillingsOf(raw, hosts, wanted);
  return [
    ...ignitionProblems(guest, fillings),
    ...textProblems(guest, cloudInit),
    ...nameProblems(guest, fillings),
    ...cloudInitProblems(guest, cloudInit, fillings),
    ...addressProblems(raw, guest, wanted),
    ...labelProblems(raw),
  ];
}

/** Members that are asked for: slots go at least so far. Undefined: that is not known. */
function wantedOf(raw: Raw, hosts: Raw[]): number | undefined {
  const count = num(raw.count);
  if (given(raw.count) || raw.hosts === UNKNOWN) return count;
  if (given(raw.countPerHost)) return num(raw.countPerHost) === undefined ? undefined : num(raw.countPerHost)! * hosts.length;
  const each = hosts.map((host) => (given(host.count) ? num(host.count) : 0));
  return each.some((one) => one === undefined) ? undefined : each.reduce<number>((sum, one) => sum + one!, 0);
}

/** What placeholders may become: at each host the first slot and the last that is known of. */
function fillingsOf(raw: Raw, hosts: Raw[], wanted: number | undefined): Filling[] {
  const prefix = str(raw.namePrefix) ?? "w";
  const fleet = str(raw.fleetId) ?? "abcdefghij";
  return hosts.flatMap((host) => [0, Math.max(0, (wanted ?? 1) - 1)].map((slot) => (
    { name: slotName(prefix, slot), slot: String(slot), host: str(host.name) ?? "h", rack: str(host.rack) ?? "default", fleet }
  )));
}

const CLOUD_INIT_TEXTS = ["userData", "metaData", "networkConfig", "vendorData"] as const;

function textProblems(guest: Raw, cloudInit: Raw): Problem[] {
  const texts = [
    ...["hostname", "domain", "ignition"].map((key) => [`guest.${key}`, guest[key]] as const),
    ...CLOUD_INIT_TEXTS.map((key) => [`guest.cloudInit.${key}`, cloudInit[key]] as const),
  ];
  return texts.flatMap(([path, value]) => {
    const message = str(value) === undefined ? undefined : placeholderProblem(str(value)!);
    return message === undefined ? [] : [{ path, message }];
  });
}

function nameProblems(guest: Raw, fillings: Filling[]): Problem[] {
  const [hostname, domain] = [str(guest.hostname), str(guest.domain)];
  const problems: Problem[] = [];
  if (hostname !== undefined && placeholderProblem(hostname) === undefined) {
    const wrong = fillings.map((filling) => fill(hostname, filling)).find((one) => !isHostname(one));
    if (wrong !== undefined) {
      problems.push({ path: "guest.hostname", message: expected(HOSTNAME_RULE, wrong, hostname === wrong ? undefined : `which ${JSON.stringify(hostname)} becomes; leave it out to have the member's name with '-' for the rest`) });
    } else if (!holdsMember(hostname)) {
      problems.push({ path: "guest.hostname", message: expected("a host name that holds {name} or {slot}", hostname, "members must not share one") });
    }
  }
  if (domain !== undefined && placeholderProblem(domain) === undefined) {
    const wrong = fillings.map((filling) => fill(domain, filling)).find((one) => !isDomain(one));
    if (wrong !== undefined) problems.push({ path: "guest.domain", message: expected(DOMAIN_RULE, wrong) });
  }
  (Array.isArray(guest.dnsDomains) ? guest.dnsDomains as unknown[] : []).forEach((one, index) => {
    const text = str(one);
    if (text !== undefined && !isDomain(text)) problems.push({ path: `guest.dnsDomains[${index}]`, message: expected(DOMAIN_RULE, text) });
  });
  return problems;
}

function ignitionProblems(guest: Raw, [filling]: Filling[]): Problem[] {
  if (!given(guest.ignition)) return [];
  const problems: Problem[] = ["hostname", "domain", "cloudInit", "addresses", "dnsServers", "dnsDomains", "sshAuthorizedKeys"]
    .filter((key) => given(guest[key]))
    .map((key) => ({ path: `guest.${key}`, message: `expected nothing beside ignition, got ${key}; say it in the Ignition configuration, or remove ignition` }));
  const text = str(guest.ignition);
  if (text === undefined || !filling || placeholderProblem(text) !== undefined) return problems;
  const parsed = jsonOf(fill(text, filling));
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    problems.push({ path: "guest.ignition", message: "expected a JSON object as Ignition takes it, got a text that is none; `butane` makes one of Butane's YAML" });
  } else if (typeof record(record(parsed).ignition).version !== "string") {
    problems.push({ path: "guest.ignition", message: "expected ignition.version in the Ignition configuration, got none; add it, for example \"3.4.0\"" });
  }
  return problems;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** What cloud-init knows user data by: its first line. */
const HEADERS = [
  "#cloud-config", "#cloud-config-archive", "#cloud-config-jsonp", "#cloud-boothook", "#include", "#include-once", "#part-handler", "#upstart-job",
];
const isHeader = (line: string): boolean => line.startsWith("#!") || HEADERS.includes(line.trimEnd()) || /^##\s*template:\s*jinja\s*$/.test(line);
const isMime = (text: string): boolean => /^content-type:\s*multipart\//im.test(text.slice(0, 4096).split(/\r?\n\r?\n/)[0]!);

function cloudInitProblems(guest: Raw, cloudInit: Raw, [filling]: Filling[]): Problem[] {
  const problems: Problem[] = [];
  const say = (key: string, message: string): void => void problems.push({ path: `guest.cloudInit.${key}`, message });
  const filled = (key: string): string | undefined => {
    const text = str(cloudInit[key]);
    return text === undefined || !filling || placeholderProblem(text) !== undefined ? undefined : fill(text, filling);
  };
  for (const key of ["userData", "vendorData"] as const) {
    const text = filled(key);
    if (text === undefined) continue;
    const [first] = text.split("\n") as [string];
    if (!isHeader(first) && !isMime(text)) {
      const hint = /^(\s|\ufeff)/.test(text) ? "its first line is blank or begins with a blank: remove what stands before the header" : `begin it with "#cloud-config" or "#!/bin/sh"`;
      say(key, `expected a text that begins with ${HEADERS.slice(0, 1).join("")}, #! or another of cloud-init's headers, or MIME multipart, got one that does not; ${hint}`);
    } else if (first.trimEnd() === "#cloud-config") {
      const wrong = mappingProblem(text, true);
      if (wrong !== undefined) say(key, wrong);
    }
    const declared = str(cloudInit[key])!;
    if (Buffer.byteLength(text) > MAX_USER_DATA_BYTES && Buffer.byteLength(declared) <= MAX_USER_DATA_BYTES) say(key, `expected at most ${MAX_USER_DATA_BYTES} bytes once placeholders are filled in, got ${Buffer.byteLength(text)}`);
  }
  for (const key of ["metaData", "networkConfig"] as const) {
    const text = filled(key);
    const wrong = text === undefined ? undefined : mappingProblem(text, false);
    if (wrong !== undefined) say(key, wrong);
  }
  const meta = filled("metaData");
  const keys = meta === undefined || mappingProblem(meta, false) !== undefined ? [] : Object.keys(record(parseDocument(meta).toJS()));
  if (keys.includes("instance-id")) say("metaData", "expected no instance-id, got one; the provider makes it, new where the content is new: remove it");
  if (keys.includes("local-hostname")) say("metaData", "expected no local-hostname, got one; say guest.hostname instead");
  if (keys.includes("public-keys") && given(guest.sshAuthorizedKeys)) say("metaData", "expected no public-keys beside guest.sshAuthorizedKeys, got both; remove one");
  if (given(cloudInit.networkConfig)) {
    for (const key of ["addresses", "dnsServers", "dnsDomains"].filter((one) => given(guest[one]))) {
      problems.push({ path: `guest.${key}`, message: `expected nothing beside cloudInit.networkConfig, got ${key}; remove one of them` });
    }
  }
  return problems;
}

/** As PyYAML reads it, which takes a key that stands twice. Of what is wrong only the place is told. */
function mappingProblem(text: string, mayBeEmpty: boolean): string | undefined {
  const document = parseDocument(text, { version: "1.1", uniqueKeys: false, logLevel: "silent" });
  const [error] = document.errors;
  const what = "a YAML mapping (key: value)";
  if (error) {
    const at = error.linePos?.[0];
    return `expected ${what}, got what YAML cannot read${at ? ` in line ${at.line}, column ${at.col}` : ""} (${error.code.toLowerCase().replaceAll("_", " ")})`;
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch {
    return `expected ${what}, got aliases that cannot be followed`; // to no anchor, or to too many; the error would quote them
  }
  if (mayBeEmpty && value === null) return undefined;
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return undefined;
  return `expected ${what}, got ${Array.isArray(value) ? "a list" : value === null ? "nothing" : "a single value"}`;
}

interface Range {
  path: string;
  card: number;
  from: Ip;
  to: Ip;
}

function addressProblems(raw: Raw, guest: Raw, wanted: number | undefined): Problem[] {
  const problems: Problem[] = [];
  const say = (path: string, message: string): void => void problems.push({ path, message });
  const ranges: Range[] = [];
  const { networks } = record(raw.vm);
  const cards = Array.isArray(networks) ? networks.length : undefined;
  const servers = (Array.isArray(guest.dnsServers) ? guest.dnsServers as unknown[] : []).flatMap((one) => ipIn(one) ?? []);
  items(guest.addresses).forEach((one, index) => {
    const path = `guest.addresses[${index}]`;
    const card = num(one.card) ?? index;
    const [from, to, prefix] = [ipIn(one.from), ipIn(one.to), num(one.prefix)];
    if (cards !== undefined && card >= cards) {
      say(given(one.card) ? `${path}.card` : path, `expected the place of one of the ${cards} network cards in vm.networks, got ${card}; ${cards === 0 ? "add a card" : "cards count from 0"}`);
    }
    if (!from || !to) return;
    if (from.family !== to.family) return say(`${path}.to`, expected(`an IPv${from.family} address, as from is`, one.to));
    const unfit = (["from", "to"] as const).find((key) => unfitKind(one[key] as unknown as string) !== undefined);
    if (unfit !== undefined) return say(`${path}.${unfit}`, expected("an address that a machine can have", one[unfit], `it is ${unfitKind(one[unfit] as unknown as string)}`));
    if (to.value < from.value) return say(`${path}.to`, expected(`an address from ${ipText(from)} on`, one.to, "from is the first, to the last"));
    if (prefix === undefined) return;
    const bits = bitsOf(from.family);
    if (prefix > bits) return say(`${path}.prefix`, `expected an integer from 1 to ${bits} for IPv${from.family}, got ${prefix}`);
    const network = networkOf(from, prefix);
    const shown = (value: bigint): string => ipText({ family: from.family, value });
    if (to.value > network.last) return say(`${path}.to`, expected(`an address in the network of from, ${shown(network.first)}/${prefix}, which ends at ${shown(network.last)}`, one.to, "lower it, or make prefix smaller"));
    if (prefix < bits - 1) {
      if (from.value === network.first) say(`${path}.from`, expected("an address of a machine", one.from, "it is the network's own; begin one later"));
      if (from.family === 4 && to.value === network.last) say(`${path}.to`, expected("an address of a machine", one.to, "it is the network's broadcast address; end one earlier"));
    }
    gatewayProblem(one, from, to, prefix).forEach((message) => say(`${path}.gateway`, message));
    if (servers.some(({ family, value }) => family === from.family && value >= from.value && value <= to.value)) {
      say("guest.dnsServers", `expected name servers outside ${path}, got one in it; a member would get its address`);
    }
    const size = slotsOf({ from: one.from as unknown as string, to: one.to as unknown as string });
    if (wanted !== undefined && BigInt(wanted) > size) {
      say(`${path}.to`, `expected a range for at least ${wanted} members, got ${size} addresses; raise to, which may be ${shown(network.last - (from.family === 4 ? 1n : 0n))} at most`);
    }
    for (const other of ranges) {
      if (other.from.family !== from.family) continue;
      if (other.card === card) say(path, `expected one range of IPv${from.family} for each card, got two for card ${card}; ${other.path} is the other`);
      else if (other.from.value <= to.value && from.value <= other.to.value) say(path, `expected a range that no other card has addresses of, got ${shown(from.value)} to ${shown(to.value)}; ${other.path} overlaps it`);
    }
    ranges.push({ path, card, from, to });
  });
  const hasServers = (["dnsServers", "dnsDomains"] as const).find((key) => given(guest[key]));
  if (hasServers !== undefined && cards === 0) say(`guest.${hasServers}`, "expected a network card in vm.networks for it, got none; add one, or remove it");
  return problems;
}

const ipIn = (value: unknown): Ip | undefined => {
  const text = str(value);
  try {
    return text === undefined ? undefined : ipOf(text);
  } catch {
    return undefined; // the schema has told of it
  }
};

function gatewayProblem(one: Raw, from: Ip, to: Ip, prefix: number): string[] {
  const gateway = ipIn(one.gateway);
  if (!gateway) return [];
  if (gateway.family !== from.family) return [expected(`an IPv${from.family} address, as from is`, one.gateway)];
  // A router of IPv6 is often known by its address on the link.
  if (gateway.family === 6 && unfitKind(one.gateway as unknown as string) !== undefined && ipText(gateway).startsWith("fe80:")) return [];
  const network = networkOf(from, prefix);
  const shown = (value: bigint): string => ipText({ family: from.family, value });
  if (gateway.value < network.first || gateway.value > network.last) return [expected(`an address in ${shown(network.first)}/${prefix}`, one.gateway)];
  if (gateway.value >= from.value && gateway.value <= to.value) return [expected("an address outside from to to", one.gateway, "a member would get it")];
  const isEnd = prefix < bitsOf(from.family) - 1 && from.family === 4 && (gateway.value === network.first || gateway.value === network.last);
  return isEnd ? [expected("an address of a machine", one.gateway, gateway.value === network.first ? "it is the network's own" : "it is the network's broadcast address")] : [];
}

/** Serial number of the image that carries the identity. */
const SERIAL = "cidata";

function labelProblems(raw: Raw): Problem[] {
  return items(record(raw.vm).disks).flatMap(({ label }, index) => (str(label) === SERIAL
    ? [{ path: `vm.disks[${index}].label`, message: `expected another label than ${SERIAL}, got it; it is the serial number of the disk that tells a guest who it is` }] : []));
}
