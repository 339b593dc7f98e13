/** What the rooms of the fleet ask of a host's own, whatever its hypervisor. */
export interface HostFacts {
  /** Where it is found. Hosts of one address are one host, until their own ids say otherwise. */
  address: string;
  /** What the address is called. */
  addressNoun: string;
  /** The declared property that holds it. */
  addressProperty: string;
  /** The store that copies are made in, as declared. */
  store: string;
  storeProperty: string;
}
