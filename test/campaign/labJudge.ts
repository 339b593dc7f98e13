/**
 * What must hold on the lab whatever anybody did, by virsh and qemu-img. No guest of the campaign writes, so what a
 * disk holds changes by the administrator alone.
 */
import { basename, join } from "node:path";
import type { LabHost } from "../lab/lab.mjs";
import { memberUuid } from "../../provider/fleet/members/identity";
import type { FleetSpec, FleetState } from "../../provider/fleet";
import { lost, type Living } from "./judge";
import { chainOf, contentOf, domainsOn, faultOf, sha256, volumesOn, type LabDomain } from "./labGround";
import { key, type LabAdministrator, type LabSite } from "./labAdministrator";

export interface LabSurvey extends Living {
  members: LabDomain[];
  /** What each living member's first disk holds, by host, slot and generation. Absent: it is still arriving. */
  contents: Map<string, string>;
  /** Objects of somebody's: definitions, and what files hold. */
  foreign: Map<string, string>;
  /** Data disks that stay of removed members. */
  kept: Set<string>;
  /** All that bears this fleet's id, by host. */
  volumes: Map<string, string[]>;
  /** What does not: names of domains and volumes. */
  bystanders: Map<string, string>;
}

/** Characters of what an image holds, or of why nobody can say, that are told. */
const SAID = 300;

const at = (member: LabDomain): string => `${member.host.name}/${member.tag!.slot}/${member.tag!.generation}`;

export async function surveyLab(site: LabSite, administrator: LabAdministrator): Promise<LabSurvey> {
  const hosts = administrator.answering;
  const found = await Promise.all(hosts.map(async (host) => ({ host, domains: await domainsOn(host), volumes: await volumesOn(host) })));
  const all = found.flatMap(({ domains }) => domains);
  const members = all.filter((domain) => domain.tag?.fleetId === site.fleetId && !administrator.domains.has(key(domain)) &&
    domain.name === administrator.slotName(domain.tag.slot) && domain.uuid === memberUuid(site.fleetId, domain.tag.slot));
  const contents = new Map<string, string>();
  await Promise.all(members.filter(({ files }) => files[0] !== undefined && !files[0].includes(".early.")).map(async (member) => {
    contents.set(at(member), await holds(member.files[0]!));
  }));
  const foreign = new Map<string, string>();
  for (const domain of all.filter((one) => administrator.domains.has(key(one)))) foreign.set(`the domain ${key(domain)}`, sha256(domain.xml));
  // The hosts of a lab see each other's files; those of real ones do not.
  const shared = all.filter((one) => administrator.domains.has(key(one))).flatMap(({ host, files }) => files.filter((file) => file.startsWith(`${host.poolDir}/`)));
  const dirs = hosts.map(({ poolDir }) => `${poolDir}/`);
  await Promise.all([...new Set([...administrator.files, ...shared])].filter((file) => dirs.some((dir) => file.startsWith(dir))).map(async (file) => {
    foreign.set(`the file ${file}`, await holds(file));
  }));
  const ours = (name: string): boolean => name.includes(site.fleetId);
  return {
    members, contents, foreign,
    living: members.map(({ host, name, tag }) => ({ host: host.name, name, slot: tag!.slot, generation: tag!.generation, contentId: tag!.contentId })),
    answering: new Set(hosts.map(({ name }) => name)),
    kept: new Set(found.flatMap(({ host, volumes }) => volumes.filter((name) => isKept(name, volumes)).map((name) => `${name} on ${host.name}`))),
    volumes: new Map(found.map(({ host, volumes }) => [host.name, volumes.filter(ours)])),
    bystanders: new Map(found.map(({ host, domains, volumes }) => [host.name, JSON.stringify([
      domains.map(({ name }) => name).filter((name) => !ours(name) && !name.startsWith(`${site.namePrefix}-`) && !name.includes(`-${site.namePrefix}-`)).sort(),
      volumes.filter((name) => !ours(name) && !name.includes(site.namePrefix)),
    ])])),
  };
}

/** A disk to keep whose member came to be: its mark is gone. */
function isKept(name: string, volumes: readonly string[]): boolean {
  const [, head, label] = /^(vmfleet-.*\.)disk-keep\.([^.]+)\.qcow2$/.exec(name) ?? [];
  return head !== undefined && !volumes.includes(`${head}pending.${label}`);
}

/** What qemu-img said is behind the command and its long paths. */
const holds = (file: string): Promise<string> => contentOf(file).then(sha256, (error: Error & { stderr?: string }) => `unreadable: ${(error.stderr || error.message).trim().slice(-SAID)}`);

/**
 * After anything that the provider did, whether it ended or died.
 * @param isCurrent whether a member's content is that of the template as it stands
 * @param templates hashes of all contents that were ever to be cloned
 */
export async function labHarm(
  before: LabSurvey, after: LabSurvey, spec: FleetSpec, previous: FleetState | undefined, isCurrent: (contentId: string) => boolean, templates: ReadonlySet<string>, administrator: LabAdministrator,
): Promise<string[]> {
  const files = administrator.answering.flatMap((host) => (after.volumes.get(host.name) ?? []).filter((name) => name.endsWith(".qcow2") && !isPartial(name, after.volumes.get(host.name)!)).map((name) => join(host.poolDir, name)));
  const known = new Set([...before.contents.keys()]);
  return [
    ...[...before.foreign].filter(([what, was]) => isInSight(what, administrator) && after.foreign.get(what) !== was)
      .map(([what, was]) => `${what} was changed: ${was.slice(0, SAID)} became ${after.foreign.get(what)?.slice(0, SAID) ?? "nothing"}`),
    ...[...before.kept].filter((disk) => after.answering.has(disk.split(" on ")[1]!) && !after.kept.has(disk)).map((disk) => `the kept disk ${disk} is gone`),
    ...[...before.contents].filter(([where, was]) => after.contents.has(where) && after.contents.get(where) !== was)
      .map(([where, was]) => `the disk of ${where} holds something else: ${was.slice(0, SAID)} became ${after.contents.get(where)!.slice(0, SAID)}`),
    ...[...after.contents].filter(([where, now]) => !known.has(where) && !templates.has(now)).map(([where, now]) => `the new disk of ${where} is not the template's content: ${now.slice(0, SAID)}`),
    ...[...before.bystanders].filter(([host, was]) => after.bystanders.has(host) && after.bystanders.get(host) !== was).map(([host, was]) => `beside the fleet on ${host}: ${was} became ${after.bystanders.get(host)}`),
    ...lost(before, after, spec, previous, isCurrent),
    ...(await Promise.all(files.map(faultOf))).filter((fault) => fault !== undefined),
  ];
}

const isInSight = (what: string, { down, answering }: LabAdministrator): boolean =>
  ![...down].some((host) => what.endsWith(` on ${host}`)) && (!what.startsWith("the file ") || answering.some(({ poolDir }) => what.includes(`${poolDir}/`)));

/** A copy that is still arriving, as its mark says; QEMU may have died in the middle of a table. */
function isPartial(name: string, volumes: readonly string[]): boolean {
  const head = /^(vmfleet-.*\.)(?:base|delta|early|replica\.[0-9a-f]+)\.qcow2$/.exec(name)?.[1];
  return head !== undefined && volumes.some((one) => one.startsWith(`${head}arriving.`) || one.startsWith(`${head}replica.arriving.`));
}

/** After a run that ended well. */
export async function labUnfinished(site: LabSite, survey: LabSurvey, spec: FleetSpec, administrator: LabAdministrator): Promise<string[]> {
  const { targets } = spec;
  const declared = spec.hosts.map(({ name }) => name).filter((name) => survey.answering.has(name));
  const there = survey.living.filter(({ host }) => declared.includes(host));
  const count = (name: string): number => there.filter(({ host }) => host === name).length;
  const power = spec.powerOn ? "running" : "shut off";
  return [
    ...(new Set(there.map(({ slot }) => slot)).size === there.length ? [] : ["a slot is held twice"]),
    ...(targets.kind === "count" && targets.count !== there.length ? [`${there.length} members, expected ${targets.count}`] : []),
    ...(targets.kind === "count" ? [] : declared.map((name) => ({ name, target: targets.kind === "each" ? targets.counts[name] ?? 0 : targets.countPerHost })))
      .filter(({ name, target }) => count(name) !== target).map(({ name, target }) => `${count(name)} members on ${name}, expected ${target}`),
    ...survey.members.filter(({ host, state }) => declared.includes(host.name) && state !== power).map((one) => `${key(one)} is ${one.state}, expected ${power}`),
    ...survey.living.filter(({ host }) => !declared.includes(host)).map(({ name, host }) => `${name} is on ${host}, which is not declared`),
    ...await leftovers(site, survey, administrator),
  ];
}

/** Volumes of the fleet that no domain names, that no image stands on, and that are none of those that stay. */
async function leftovers(site: LabSite, survey: LabSurvey, administrator: LabAdministrator): Promise<string[]> {
  return (await Promise.all(administrator.answering.map(async (host) => {
    const used = await usedOn(host);
    const volumes = survey.volumes.get(host.name) ?? [];
    return volumes.filter((name) => name.startsWith(`vmfleet-${site.fleetId}.`) && !used.has(name) && !isTheirs(administrator, host, name) &&
      !isKept(name, volumes) && !/\.(replica|template)\.[0-9a-f]+\.(qcow2|raw|complete)$/.test(name)).map((name) => `${name} is left over on ${host.name}`);
  }))).flat();
}

const isTheirs = ({ files, orphans }: LabAdministrator, host: LabHost, name: string): boolean => files.has(join(host.poolDir, name)) || orphans.has(name);

/** Names of all files that any domain of the host names, or one of its images stands on. */
export async function usedOn(host: LabHost): Promise<Set<string>> {
  const files = (await domainsOn(host)).flatMap((domain) => domain.files);
  const chains = await Promise.all(files.map((file) => chainOf(file).catch(() => [file])));
  return new Set(chains.flat().map((file) => basename(file)));
}

/** After a destroy that ended well: nothing of the fleet's but what somebody uses, or what was to be kept. */
export async function labLeftBehind(site: LabSite, survey: LabSurvey, administrator: LabAdministrator): Promise<string[]> {
  return [
    ...survey.members.map((member) => `${key(member)} is left`),
    ...(await Promise.all(administrator.answering.map(async (host) => {
      const used = await usedOn(host);
      const volumes = survey.volumes.get(host.name) ?? [];
      const base = (name: string): string => name.replace(/\.complete$/, "");
      const usedReplica = (name: string): boolean => name.endsWith(".complete") && [...used].some((one) => /\.replica\.([0-9a-f]+)\./.exec(one)?.[1] !== undefined &&
        base(name).includes(`.replica.${/\.replica\.([0-9a-f]+)\./.exec(one)![1]}`));
      return volumes.filter((name) => name.startsWith(`vmfleet-${site.fleetId}.`) && !used.has(name) && !isTheirs(administrator, host, name) &&
        !isKept(name, volumes) && !usedReplica(name)).map((name) => `${name} is left on ${host.name}`);
    }))).flat(),
  ];
}
