import type { LibvirtMachine } from "../../fleet/model";

/** Of what was declared for any hypervisor, libvirt's arm. */
type Libvirts<Own extends { hypervisor: string }> = Extract<Own, { hypervisor: "libvirt" }>;

/** @throws TypeError when another hypervisor's was handed to this adapter: whoever made the adapter took the wrong one */
export function libvirts<Own extends { hypervisor: string }>(own: Own): Libvirts<Own> {
  if (own.hypervisor !== "libvirt") throw new TypeError(`expected what is libvirt's own, got ${own.hypervisor}'s`);
  return own as Libvirts<Own>;
}

/** What the provider itself starts on hosts: where nothing is declared, as most hosts have it. */
export const helperMachine = ({ domainType = "kvm", arch = "x86_64" }: Pick<LibvirtMachine, "domainType" | "arch">): { domainType: "kvm" | "qemu"; arch: string } => ({ domainType, arch });
