import type { LibvirtCard, LibvirtDisk, LibvirtHost, LibvirtMachine } from "../model";
import type { HostFacts } from "./facts";

export const libvirtHost = ({ uri, pool }: LibvirtHost): HostFacts => ({
  address: uri, addressProperty: "uri", addressMoved: "its URI now reaches another machine", store: pool, storeProperty: "pool",
});

/** A network's name alone is that network; no name of one holds a slash. */
export function libvirtCardPlace(card: LibvirtCard): string {
  const vlan = card.vlanTags === undefined ? "" : `/vlan ${card.vlanTags.join(" ")}`;
  switch (card.kind) {
    case "network": return card.network + vlan;
    case "bridge": return `${card.isOpenVSwitch ? "openvswitch" : "bridge"}/${card.bridge}${vlan}`;
    case "direct": return `direct/${card.device}/${card.mode}${vlan}`;
  }
}

export const libvirtDiskStore = ({ pool }: LibvirtDisk, host: LibvirtHost): string | undefined => (pool === host.pool ? undefined : pool);

/** @param disk undefined: as disks are where nothing is declared */
export const libvirtDiskInputs = (disk: LibvirtDisk | undefined): Record<string, unknown> => ({ pool: disk?.pool, bus: disk?.bus ?? "virtio" });

export const libvirtInputs = ({ domainType, arch, machine, kernelBoot, serialLog, xml, firmware, efiSecureBootEnabled, vtpm, cpuMode }: LibvirtMachine): Record<string, unknown> => ({
  "vm.domainType": domainType, "vm.arch": arch, "vm.machine": machine,
  "vm.firmware": firmware, "vm.efiSecureBootEnabled": efiSecureBootEnabled, "vm.vtpm": vtpm?.version ?? vtpm, "vm.cpuMode": cpuMode,
  "vm.kernel": kernelBoot?.kernel, "vm.initrd": kernelBoot?.initrd, "vm.cmdline": kernelBoot?.cmdline, "vm.serialLog": serialLog, "vm.xml": xml === undefined ? undefined : JSON.stringify(Object.entries(xml).sort()),
});
