import type { LibvirtHost, LibvirtMachine } from "../model";
import type { HostFacts } from "./facts";

export const libvirtHost = ({ uri, pool }: LibvirtHost): HostFacts => ({
  address: uri, addressProperty: "uri", addressMoved: "its URI now reaches another machine", store: pool, storeProperty: "pool",
});

export const libvirtInputs = ({ domainType, arch, machine, kernelBoot, serialLog }: LibvirtMachine): Record<string, unknown> => ({
  "vm.domainType": domainType, "vm.arch": arch, "vm.machine": machine,
  "vm.kernel": kernelBoot?.kernel, "vm.initrd": kernelBoot?.initrd, "vm.cmdline": kernelBoot?.cmdline, "vm.serialLog": serialLog,
});
