/** Of what was declared for any hypervisor, libvirt's arm. */
type Libvirts<Own extends { hypervisor: string }> = Extract<Own, { hypervisor: "libvirt" }>;

/** @throws TypeError when another hypervisor's was handed to this adapter: whoever made the adapter took the wrong one */
export function libvirts<Own extends { hypervisor: string }>(own: Own): Libvirts<Own> {
  if (own.hypervisor !== "libvirt") throw new TypeError(`expected what is libvirt's own, got ${own.hypervisor}'s`);
  return own as Libvirts<Own>;
}
