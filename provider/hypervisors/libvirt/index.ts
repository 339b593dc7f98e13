/** The libvirt adapter. Nothing outside this folder imports its insides. */
export { LibvirtHypervisor, createLibvirt, type Libvirt, type LibvirtOptions } from "./adapter";
