/** What the rooms of the fleet ask of a host's own, whatever its hypervisor. */
export interface HostFacts {
  /** Where it is found. Hosts of one address are one host, until their own ids say otherwise. */
  address: string;
  /** The declared property that holds it. */
  addressProperty: string;
  /** Said where another machine is found there than was before. */
  addressMoved: string;
  /** The store that copies are made in, as declared. */
  store: string;
  storeProperty: string;
}
