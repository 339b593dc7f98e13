/** Pools with little room, on a file system of their own inside a lab host. */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { promisify } from "node:util";
import { virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);

export interface SmallPool {
  name: string;
  /** As the hosts see it. */
  path: string;
  /** A shell script, run where the pool is mounted. */
  inside(script: string): Promise<string>;
  remove(): Promise<void>;
}

/**
 * @param hosts each gets a pool of one name; all lie in the same directory
 * @param quotaMiB of btrfs: what the directory may hold, which nobody sees in what the file system says is free
 */
export async function smallPool(hosts: readonly LabHost[], options: { sizeMiB: number; quotaMiB?: number }): Promise<SmallPool> {
  const first = hosts[0]!;
  const name = `small-${randomBytes(3).toString("hex")}`;
  const mount = join(first.dataDir, name);
  const path = options.quotaMiB === undefined ? mount : join(mount, "limited");
  const on = async (host: LabHost, script: string): Promise<string> => (await run("nsenter", ["-t", String(host.pid), "-m", "sh", "-ec", script])).stdout.trim();
  const image = `${mount}.img`;
  const make = options.quotaMiB === undefined ? `mkfs.ext4 -q -m 0 '${image}' >/dev/null` : `mkfs.btrfs -q '${image}' >/dev/null`;
  const device = await on(first, `mkdir -p '${mount}'; truncate -s ${options.sizeMiB}M '${image}'; ${make}; losetup -f --show '${image}'`);
  for (const host of hosts) await on(host, `mount '${device}' '${mount}'`);
  if (options.quotaMiB !== undefined) {
    await on(first, `btrfs quota enable '${mount}'; btrfs subvolume create '${path}' >/dev/null; btrfs qgroup limit ${options.quotaMiB}M '${path}'; chmod 711 '${path}'`);
  }
  for (const host of hosts) await virsh(host, "pool-create-as", name, "dir", "--target", path);
  return {
    name, path,
    inside: (script) => on(first, script),
    remove: async () => {
      for (const host of hosts) {
        await virsh(host, "pool-destroy", name);
        await on(host, `umount '${mount}'`);
      }
      await on(first, `losetup -d '${device}'; rm -r '${mount}' '${image}'`);
    },
  };
}
