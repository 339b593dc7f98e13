import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { hypervisorContract } from "../contract";
import { freshFleetId, labSpec, labStatus, virsh } from "./labFleet";

hypervisorContract("libvirt in the lab", async () => {
  const spec = await labSpec({ hosts: (await labStatus()).hosts.slice(0, 3).map((h) => h.name), dataBytes: 8 * 1024 * 1024, inputs: { namePrefix: "contract" } });
  const hypervisor = createLibvirt({ spec });
  const others: { close(): Promise<void> }[] = [];
  const foreign: { host: string; name: string }[] = [];
  const hostOf = async (name: string) => (await labStatus()).hosts.find((h) => h.name === name)!;
  return {
    hypervisor,
    spec,
    freshFleetId,
    async second() {
      const other = createLibvirt({ spec });
      others.push(other);
      return other;
    },
    async putForeign(host, name) {
      const { writeFile } = await import("node:fs/promises");
      const file = `/tmp/vmfleet-foreign-${process.pid}.xml`;
      await writeFile(file, `<domain type='qemu'><name>${name}</name><memory unit='MiB'>8</memory><os><type arch='x86_64'>hvm</type></os></domain>`);
      await virsh(await hostOf(host), "define", file);
      foreign.push({ host, name });
    },
    async close() {
      for (const { host, name } of foreign) await virsh(await hostOf(host), "undefine", name);
      for (const other of others) await other.close();
      await hypervisor.close();
    },
  };
}, { timeoutMs: 120_000, abilities: ["relaying", "linksClones", "startsEarly", "findsSharedStores", "reportsReadiness"] });
