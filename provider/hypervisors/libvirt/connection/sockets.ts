/**
 * Where libvirt's daemons listen: libvirtd (or virtproxyd in its place), and the modular daemon of the qemu driver. The
 * latter passes calls about storage and networks on to virtstoraged and virtnetworkd by itself.
 */
import type { LibvirtUri } from "../../../fleet";

/** Not /run: a host may have only the older path, and whoever has /run has /var/run as a link to it. */
export const SOCKET_DIRECTORY = "/var/run/libvirt";
export const LEGACY_SOCKET = `${SOCKET_DIRECTORY}/libvirt-sock`;
export const DIRECT_SOCKET = `${SOCKET_DIRECTORY}/virtqemud-sock`;

/** The sockets to try on this machine, in libvirt's own client's order: the modular daemon's first. */
export function localSockets(uri: Extract<LibvirtUri, { transport: "unix" }>): string[] {
  if (uri.socket !== undefined) return [uri.socket];
  switch (uri.mode) {
    case "direct": return [DIRECT_SOCKET];
    case "legacy": return [LEGACY_SOCKET];
    case "auto": return [DIRECT_SOCKET, LEGACY_SOCKET];
  }
}
