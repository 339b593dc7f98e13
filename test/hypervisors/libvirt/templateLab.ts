/** What the lab tests of templates share: images, domains and pools on one host, and what the adapter says of them. */
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { formatProblem, imageOf, problemOfTemplate } from "../../../provider/fleet";
import type { ObservedTemplate, Problem } from "../../../provider/fleet/model";
import type { Hypervisor } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

export const run = promisify(execFile);

export interface Sight {
  template?: ObservedTemplate;
  problem?: Problem;
}

/** One host, and everything of one test on it: gone with `clear`. */
export class TemplateGround {
  readonly id = freshFleetId();
  private readonly files: string[] = [];
  private readonly domains: string[] = [];
  private readonly pools: string[] = [];
  private readonly open: Hypervisor[] = [];

  private constructor(readonly host: LabHost, private readonly inputs: Record<string, unknown>) {}

  static async make(): Promise<TemplateGround> {
    const [host, other] = (await labStatus()).hosts;
    return new TemplateGround(host!, await labInputs({ hosts: [host!.name, other!.name], dataBytes: 8 << 20, inputs: { count: 1, namePrefix: "tpl" } }));
  }

  /** Path of a file of this test in the host's pool; `in` another directory. */
  path(name: string, directory = this.host.poolDir): string {
    const path = join(directory, `${this.id}-${name}`);
    this.files.push(path);
    return path;
  }
  volume(path: string, pool = "default"): Record<string, string> {
    return { host: this.host.name, pool, volume: path.split("/").at(-1)! };
  }
  domain(name: string): Record<string, string> {
    return { host: this.host.name, domain: `${this.id}-${name}` };
  }
  refresh(pool = "default"): Promise<string> {
    return virsh(this.host, "pool-refresh", pool);
  }

  /** A pool of a directory of its own. */
  async pool(name: string): Promise<{ pool: string; directory: string }> {
    const directory = join(this.host.dataDir, `${this.id}-${name}`);
    const pool = `${this.id}-${name}`;
    await mkdir(directory);
    await virsh(this.host, "pool-create-as", pool, "dir", "--target", directory);
    this.pools.push(pool);
    this.files.push(directory);
    return { pool, directory };
  }

  /** @param disks XML */
  async define(name: string, ...disks: string[]): Promise<string> {
    const domain = `${this.id}-${name}`;
    const file = `/tmp/vmfleet-${domain}.xml`;
    await writeFile(file, `<domain type='qemu'><name>${domain}</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os><devices>${disks.join("")}</devices></domain>`);
    await virsh(this.host, "define", file);
    await rm(file);
    if (!this.domains.includes(domain)) this.domains.push(domain);
    return domain;
  }

  /** What a preview says of this template. */
  async look(template: Record<string, string>): Promise<Sight> {
    const { hv, spec } = this.hypervisor(template);
    const { template: seen, templateProblem } = await hv.observe({ fleetId: this.id, namePrefix: "tpl", hosts: [], spec, deadlineMs: 5_000, preflight: false, impatient: true });
    return { ...(seen && { template: seen }), ...(templateProblem && { problem: problemOfTemplate(templateProblem) }) };
  }

  hypervisor(template: Record<string, string>): { hv: Hypervisor; spec: ReturnType<typeof specOf> } {
    const spec = specOf({ ...this.inputs, template });
    const hv = createLibvirt({ spec });
    this.open.push(hv);
    return { hv, spec };
  }

  /** A full clone on the host, or on the other one. @returns the base's path, and what the adapter says it moved */
  async clone(template: Record<string, string>, where: "here" | "there" = "here"): Promise<{ path: string; bytesMoved: number }> {
    const { hv, spec } = this.hypervisor(template);
    const { template: seen, templateProblem } = await hv.observe({ fleetId: this.id, namePrefix: "tpl", hosts: [], spec, deadlineMs: 5_000, preflight: false });
    if (!seen) throw new Error(templateProblem && formatProblem(problemOfTemplate(templateProblem)));
    const target = (await labStatus()).hosts[where === "here" ? 0 : 1]!;
    const { bytesMoved } = await hv.clone({
      fleet: { fleetId: this.id, incarnation: "one", namePrefix: "tpl" }, image: imageOf(seen),
      source: { kind: "template", host: this.host.name }, target: { kind: "base", host: target.name, slot: this.slot, generation: 0, name: `tpl-${this.slot}` },
    });
    const path = join(target.poolDir, (await virsh(target, "vol-list", "default")).split(/\s+/).find((word) => word.includes(this.id) && word.includes(`.s${this.slot}.g0.base`))!.split("/").at(-1)!);
    this.files.push(path);
    this.slot++;
    return { path, bytesMoved };
  }
  private slot = 0;

  async clear(): Promise<void> {
    for (const hv of this.open) await hv.close();
    for (const domain of this.domains) {
      await virsh(this.host, "destroy", domain).catch(() => undefined);
      await virsh(this.host, "undefine", domain, "--managed-save", "--snapshots-metadata").catch(() => undefined);
    }
    for (const pool of this.pools) await virsh(this.host, "pool-destroy", pool).catch(() => undefined);
    for (const file of this.files) await rm(file, { recursive: true, force: true });
    for (const host of (await labStatus()).hosts.slice(0, 2)) {
      await run("find", [host.poolDir, "-name", `vmfleet-${this.id}*`, "-delete"]);
      await virsh(host, "pool-refresh", "default");
    }
  }
}

export const fileDisk = (path: string, format: string, more = ""): string =>
  `<disk type='file' device='disk'><driver name='qemu' type='${format}'/><source file='${path}'/><target dev='vda' bus='virtio'/>${more}</disk>`;
export const volumeDisk = (pool: string, volume: string, format: string): string =>
  `<disk type='volume' device='disk'><driver name='qemu' type='${format}'/><source pool='${pool}' volume='${volume}'/><target dev='vda' bus='virtio'/></disk>`;
