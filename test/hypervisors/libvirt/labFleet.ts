/** The lab as tests see it: its hosts as a fleet's inputs, its template, and an independent look by virsh. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseFleetSpec } from "../../../provider/fleet";
import type { FleetSpec } from "../../../provider/fleet/model";
import * as lab from "../../lab";
import type { Lab, LabHost } from "../../lab/lab.mjs";

const run = promisify(execFile);

export const LAB_NAME = process.env.VMFLEET_LAB ?? "test";

export async function labStatus(): Promise<Lab> {
  const status = await lab.status({ name: LAB_NAME });
  if (!status || status.hosts.length === 0) throw new Error(`the lab ${LAB_NAME} is not up: node scripts/lab.mjs up --name ${LAB_NAME}`);
  return status;
}

const templates = new Map<string, ReturnType<typeof lab.installTemplate>>();
/** Put there once a process: a template that is rewritten has another content id. */
export function installTemplate(options: { host: string; volume: string; virtualBytes?: number; dataBytes?: number }): ReturnType<typeof lab.installTemplate> {
  const key = JSON.stringify(options);
  let installed = templates.get(key);
  if (!installed) {
    installed = lab.installTemplate({ name: LAB_NAME, ...options });
    templates.set(key, installed);
  }
  return installed;
}

export interface LabFleetOptions {
  dataBytes?: number;
  virtualBytes?: number;
  hosts?: string[];
  /** Merged over the inputs, last. */
  inputs?: Record<string, unknown>;
}

/** Inputs of a fleet on the lab, as a user writes them. */
export async function labInputs(options: LabFleetOptions = {}): Promise<Record<string, unknown>> {
  const status = await labStatus();
  const dataBytes = options.dataBytes ?? 24 * 1024 * 1024;
  const virtualBytes = options.virtualBytes ?? 64 * 1024 * 1024;
  const first = options.hosts?.[0] ?? status.hosts[0]!.name;
  const template = await installTemplate({ host: first, volume: `golden-${dataBytes}-${virtualBytes}.qcow2`, dataBytes, virtualBytes });
  const hosts = status.hosts.filter((h) => options.hosts === undefined || options.hosts.includes(h.name));
  return {
    namePrefix: `t${randomBytes(3).toString("hex")}`,
    template: { host: first, pool: "default", volume: template.volume },
    racks: status.racks.filter((r) => hosts.some((h) => h.rack === r.name)).map(({ name, uplinkBitsPerSecond }) => ({ name, uplinkBitsPerSecond })),
    hosts: hosts.map((h) => ({
      name: h.name, uri: h.uri, rack: h.rack, pool: "default", transferAddress: h.address, nicBitsPerSecond: h.nicBitsPerSecond,
    })),
    vm: {
      numCpus: 1, memory: 96, networks: [{ network: "default" }], domainType: "qemu",
      kernel: template.kernel, initrd: template.initrd, cmdline: template.cmdline, serialLog: `/var/log/libvirt/qemu/{name}.serial.log`,
    },
    allowUnauthenticatedTcp: true,
    shutdownTimeout: 1,
    ...options.inputs,
  };
}

export async function labSpec(options: LabFleetOptions = {}): Promise<FleetSpec> {
  return specOf(await labInputs({ ...options, inputs: { count: 1, ...options.inputs } }));
}

export function specOf(inputs: Record<string, unknown>): FleetSpec {
  const parsed = parseFleetSpec(inputs);
  if (!("spec" in parsed) || !parsed.spec) throw new Error(JSON.stringify(parsed));
  return parsed.spec;
}

export const freshFleetId = (): string => `t${randomBytes(4).toString("hex")}`;

export { lab, type LabHost };

/** What virsh, not our own client, says. */
export async function virsh(host: LabHost, ...args: string[]): Promise<string> {
  const { stdout } = await run("virsh", ["-q", "-c", host.unixUri, ...args]);
  return stdout;
}

export const lines = (text: string): string[] => text.split("\n").map((l) => l.trim()).filter((l) => l !== "");

/** Names of domains and of volumes in the pool, by virsh. */
export async function inventory(host: LabHost): Promise<{ domains: string[]; volumes: string[] }> {
  await virsh(host, "pool-refresh", "default");
  return {
    domains: lines(await virsh(host, "list", "--all", "--name")).sort(),
    volumes: lines(await virsh(host, "vol-list", "default")).map((l) => l.split(/\s+/)[0]!).sort(),
  };
}

/** Whether the fleet's images on a host (bases, replicas) hold exactly the template's content. @throws when not */
export async function compareWithTemplate(host: LabHost, templatePath: string, fleetId: string): Promise<void> {
  const images = (await readdir(host.poolDir)).filter((file) => file.startsWith(`vmfleet-${fleetId}.`) && /\.(base|replica\.[0-9a-f]+)\.qcow2$/.test(file));
  if (images.length === 0) throw new Error(`no image of ${fleetId} on ${host.name}`);
  for (const image of images) await run("qemu-img", ["compare", "-U", templatePath, join(host.poolDir, image)]);
}
