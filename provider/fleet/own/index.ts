/** What is a hypervisor's own, as the rooms of the fleet ask for it: the one place there that tells hypervisors apart. */
import type { DiskOwn, HostOwn, HostSpec, MachineOwn, NetworkInterfaceSpec, TemplateSpec } from "../model";
import type { HostFacts } from "./facts";
import { libvirtCardPlace, libvirtDiskInputs, libvirtDiskStore, libvirtHost, libvirtInputs } from "./libvirt";

export function hostFacts(own: HostOwn): HostFacts {
  switch (own.hypervisor) {
    case "libvirt": return libvirtHost(own);
  }
}

export const addressOf = ({ own }: Pick<HostSpec, "own">): string => hostFacts(own).address;

/** The host that the template is declared to lie on. Undefined: the program names none. */
export const templateHostOf = (template: TemplateSpec): string | undefined => ("host" in template ? template.host : undefined);

/** What a card is plugged into, in a text that tells two of them apart: as declared and as found they compare by it. */
export function cardPlace({ own, mtu }: Pick<NetworkInterfaceSpec, "own" | "mtu">): string {
  switch (own.hypervisor) {
    case "libvirt": return `${libvirtCardPlace(own)}${mtu === undefined ? "" : `/mtu ${mtu}`}`;
  }
}

/** The store of a host that a data disk is declared to be in. Undefined: the one that copies are made in. */
export function diskStore(disk: DiskOwn | undefined, host: HostOwn): string | undefined {
  switch (disk?.hypervisor) {
    case undefined: return undefined;
    case "libvirt": return libvirtDiskStore(disk, host);
  }
}

/** What was declared of a data disk's own, by the property's name. */
export function diskInputs(disk: DiskOwn | undefined): Record<string, unknown> {
  switch (disk?.hypervisor) {
    case undefined: case "libvirt": return libvirtDiskInputs(disk);
  }
}

/** What was declared of a machine's own, by property path: members that exist do not follow a change of it by themselves. */
export function machineInputs(own: MachineOwn): Record<string, unknown> {
  switch (own.hypervisor) {
    case "libvirt": return libvirtInputs(own);
  }
}

/** What of a machine's own is declared, as a member takes it that has a template machine's. */
export function machineInheriting(own: MachineOwn): MachineOwn {
  switch (own.hypervisor) {
    // What a machine is at all (type, architecture) no member changes that is there.
    case "libvirt": {
      const { domainType: _type, arch: _arch, ...rest } = own;
      return rest;
    }
  }
}
