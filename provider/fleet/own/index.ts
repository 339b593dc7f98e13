/** What is a hypervisor's own, as the rooms of the fleet ask for it: the one place there that tells hypervisors apart. */
import type { HostOwn, HostSpec, MachineOwn, TemplateSpec } from "../model";
import type { HostFacts } from "./facts";
import { libvirtHost, libvirtInputs } from "./libvirt";

export function hostFacts(own: HostOwn): HostFacts {
  switch (own.hypervisor) {
    case "libvirt": return libvirtHost(own);
  }
}

export const addressOf = ({ own }: Pick<HostSpec, "own">): string => hostFacts(own).address;

/** The host that the template is declared to lie on. Undefined: the program names none. */
export const templateHostOf = (template: TemplateSpec): string | undefined => ("host" in template ? template.host : undefined);

/** What was declared of a machine's own, by property path: members that exist do not follow a change of it by themselves. */
export function machineInputs(own: MachineOwn): Record<string, unknown> {
  switch (own.hypervisor) {
    case "libvirt": return libvirtInputs(own);
  }
}
