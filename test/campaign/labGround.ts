/** The lab as an administrator sees it: what virsh and qemu-img say, never our own client. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { LabHost } from "../lab/lab.mjs";

const run = promisify(execFile);
const SEPARATOR = "=====";
const MOST_OUTPUT_BYTES = 64 << 20;

export interface LabTag {
  fleetId: string;
  slot: number;
  generation: number;
  kind: "full" | "linked";
  base: string;
  contentId: string;
}

export interface LabDomain {
  host: LabHost;
  name: string;
  uuid: string;
  /** As virsh words it in English: `running`, `shut off`, `paused`. */
  state: string;
  /** As it will be started next. */
  xml: string;
  /** Files of its disks, the first one first. */
  files: string[];
  tag?: LabTag;
}

/** Our words must not depend on the language of whoever starts the campaign; the daemons have their own. */
const ENGLISH = { ...process.env, LANG: "C.UTF-8", LC_ALL: "C.UTF-8", LANGUAGE: "" };

export async function virsh(host: LabHost, ...args: string[]): Promise<string> {
  return (await run("virsh", ["-q", "-c", host.unixUri, ...args], { env: ENGLISH, maxBuffer: MOST_OUTPUT_BYTES })).stdout;
}

export const qemuImg = async (...args: string[]): Promise<string> => (await run("qemu-img", args, { env: ENGLISH })).stdout;
export const qemuIo = async (...args: string[]): Promise<string> => (await run("qemu-io", args, { env: ENGLISH })).stdout;

/** Of its volumes as of now. @returns names */
export async function volumesOn(host: LabHost): Promise<string[]> {
  await virsh(host, "pool-refresh", "default");
  return (await virsh(host, "vol-list", "default")).split("\n").map((line) => line.trim().split(/\s+/)[0]!).filter((name) => name !== "").sort();
}

export async function domainsOn(host: LabHost): Promise<LabDomain[]> {
  const names = (await virsh(host, "list", "--all", "--name")).split("\n").map((line) => line.trim()).filter((name) => name !== "");
  if (names.length === 0) return [];
  // One process for all of them; one that vanishes meanwhile, such as a helper, takes none of the others with it.
  const script = names.map((name) => `dumpxml --inactive ${name}; echo ${SEPARATOR}; domstate ${name}; echo ${SEPARATOR}`).join("; ");
  const told = await virsh(host, script).catch((error: { stdout?: string }) => error.stdout ?? "");
  const parts = told.split(SEPARATOR);
  return names.flatMap((name, index): LabDomain[] => {
    const [xml = "", state = ""] = parts.slice(2 * index, 2 * index + 2);
    const uuid = /<uuid>([^<]+)/.exec(xml)?.[1];
    return uuid === undefined || !xml.includes(`<name>${name}</name>`) ? [] : [{ host, name, uuid, state: state.trim(), xml, files: filesOf(xml), ...tagOf(xml) }];
  });
}

const filesOf = (xml: string): string[] => [...xml.matchAll(/<disk type='file' device='disk'>[^]*?<source file='([^']+)'/g)].map(([, file]) => file!);

function tagOf(xml: string): { tag?: LabTag } {
  const element = /<vmfleet:fleet [^>]*>/.exec(xml)?.[0];
  const value = (name: string): string => new RegExp(` ${name}=["']([^"']*)["']`).exec(element ?? "")?.[1] ?? "";
  if (element === undefined || value("purpose") !== "member") return {};
  return { tag: {
    fleetId: value("fleetId"), slot: Number(value("slot")), generation: Number(value("generation")), kind: value("kind") as LabTag["kind"],
    base: value("base"), contentId: value("contentId"),
  } };
}

export async function defineXml(host: LabHost, xml: string): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), "vmfleet-campaign-"));
  try {
    await writeFile(join(dir, "domain.xml"), xml);
    await virsh(host, "define", join(dir, "domain.xml"));
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** The same machine under another name and UUID, with MAC addresses that libvirt draws: what virt-clone makes of it. */
export const unlike = (xml: string, name: string, uuid: string): string =>
  xml.replace(/<name>[^<]*/, `<name>${name}`).replace(/<uuid>[^<]*/, `<uuid>${uuid}`).replace(/<mac address='[^']*'\/>/g, "");

export const plainXml = (name: string, devices: string): string =>
  `<domain type='qemu'><name>${name}</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os><devices>${devices}</devices></domain>`;

/** What a guest would read of an image, its chain included. */
export async function contentOf(file: string): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), "vmfleet-campaign-"));
  try {
    await qemuImg("convert", "-U", "-O", "raw", file, join(dir, "raw"));
    return await readFile(join(dir, "raw"));
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** An image and all that it stands on, the lowest last, as the images name each other. */
export async function chainOf(file: string): Promise<string[]> {
  return (JSON.parse(await qemuImg("info", "-U", "--backing-chain", "--output=json", file)) as { filename: string }[]).map(({ filename }) => filename);
}

export const sha256 = (data: Buffer | string): string => createHash("sha256").update(data).digest("hex");

/** By qemu-img. @returns what is wrong with it; undefined: nothing */
export async function faultOf(file: string): Promise<string | undefined> {
  return run("qemu-img", ["check", "-q", "-U", "-f", "qcow2", file], { env: ENGLISH }).then(() => undefined, (error: { code?: number; stdout?: string; stderr?: string }) => (
    // 3: clusters that nobody needs, as a kill leaves them; no guest's data is touched.
    error.code === 3 ? undefined : `${file}: ${`${error.stdout ?? ""}${error.stderr ?? ""}`.trim().slice(0, 300)}`
  ));
}
