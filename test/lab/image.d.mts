/** Types of image.mjs. */
export interface ImageSizes {
  /** Default 256 MiB. */
  virtualBytes?: number;
  /** Random bytes in it, from 1 MiB on; default 96 MiB. */
  dataBytes?: number;
  /** The guest takes an address by DHCP and runs QEMU's guest agent. Default false. */
  agent?: boolean;
  log?: (line: string) => void;
}

export interface InstalledTemplate {
  volume: string;
  path: string;
  kernel: string;
  initrd: string;
  cmdline: string;
}

export function buildImage(options?: ImageSizes): Promise<{ kernel: string; initrd: string; disk: string; cmdline: string }>;
/** Puts the template into the host's pool `default` as `volume` (default `golden.qcow2`), replacing what is there unless `keep` is set. */
export function installTemplate(options: ImageSizes & { name?: string; host: string; volume?: string; keep?: boolean }): Promise<InstalledTemplate>;

export const DEFAULT_VIRTUAL_BYTES: number;
export const DEFAULT_DATA_BYTES: number;
export const MIN_GUEST_MEMORY_MIB: number;
export const MIN_AGENT_MEMORY_MIB: number;
export const KERNEL_CMDLINE: string;
