/** What members' guests are told of who they are. */

/** As declared. Texts hold placeholders (guest/placeholders.ts). */
export type GuestSpec =
  /** Nothing is attached. */
  | { kind: "none" }
  | CloudInitSpec
  /** `config`: JSON, handed to the guest as it is. */
  | { kind: "ignition"; config: string };

export interface CloudInitSpec {
  kind: "cloudInit";
  /** Absent: the member's name, with `-` for what host names cannot hold. */
  hostname?: string;
  domain?: string;
  userData?: string;
  metaData?: string;
  networkConfig?: string;
  vendorData?: string;
  addresses: GuestAddresses[];
  /** Of all cards. */
  dnsServers: string[];
  dnsDomains: string[];
  sshAuthorizedKeys: string[];
}

/** Addresses of one card: slot n has the n-th from `from` on, for life. */
export interface GuestAddresses {
  /** Place of the card in vm.networks, from 0. */
  card: number;
  from: string;
  /** The last one, itself included. */
  to: string;
  /** Bits of the network's address. */
  prefix: number;
  gateway?: string;
}

/** Of one member, all filled in. */
export interface GuestIdentity {
  /** Of member and content, hex: another content is another hash. Salted by the member's own, so that equal contents differ. */
  hash: string;
  /** What cloud-init knows instances by. */
  instanceId: string;
  content: GuestContent;
}

export type GuestContent =
  | {
    kind: "cloudInit";
    hostname: string;
    domain?: string;
    userData?: string;
    metaData?: string;
    vendorData?: string;
    /** As declared, or cards to write one for. Absent: the guest does as it does by itself. */
    network?: { kind: "text"; text: string } | { kind: "cards"; cards: GuestCard[]; dnsServers: string[]; dnsDomains: string[] };
    sshAuthorizedKeys: string[];
  }
  | { kind: "ignition"; config: string };

export interface GuestCard {
  mac: string;
  /** None: by DHCP. */
  addresses: { address: string; prefix: number; gateway?: string }[];
}

/** What was heard of a guest: whatever a guest says of itself is cleaned where it comes in, and believed by nobody. */
export interface GuestNews {
  /** Without those that are each machine's or each link's own. */
  ipAddresses: string[];
  hostname?: string;
}
