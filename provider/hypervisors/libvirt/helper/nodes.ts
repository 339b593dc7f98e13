/** QEMU's block nodes of a domain's first disk, and how its image is put over another. */
import { FIRST_DISK } from "../xml/domainXml";

/** The device of the first virtio disk that libvirt's XML gives a domain, however many follow. */
export const DISK_DEVICE = "/machine/peripheral/virtio-disk0/virtio-backend";
/** The copy-on-read filter over a helper's disk, as libvirt names it. */
export const FILTER_NODE = `libvirt-CoR-${FIRST_DISK}`;
const CONNECT_DEADLINE_MS = 20_000;

type Qmp = <T = unknown>(command: string, args?: Record<string, unknown>, timeoutMs?: number) => Promise<T>;

export interface NbdExport {
  host: string;
  port: number;
  exportName: string;
  tls?: boolean;
}

/** The node of an image and the one of the file below it. */
export interface ImageNodes {
  image: string;
  file: string;
}

/**
 * Of a helper: libvirt counts from the last disk on, and drives are listed first, so the only disk has number 1. A
 * member has others: there QEMU is asked (`diskNodes`).
 */
export const HELPER_NODES: ImageNodes = { image: "libvirt-1-format", file: "libvirt-1-storage" };

interface Drive {
  qdev?: string;
  inserted?: { "node-name"?: string; drv: string; file: string };
}
interface NamedNode {
  "node-name"?: string;
  drv: string;
  file: string;
}

/** The nodes of the disk of a running domain that is the file at `path`. @throws where none is, as a qcow2 image */
export async function diskNodes(qmp: Qmp, path: string): Promise<ImageNodes> {
  const drives = await qmp<Drive[]>("query-block");
  const named = await qmp<NamedNode[]>("query-named-block-nodes", { flat: true });
  return pickNodes(drives, named, path);
}

/** QEMU's path of the device that has this file as its disk. */
export async function deviceOf(qmp: (command: string) => Promise<unknown>, path: string): Promise<string | undefined> {
  return ((await qmp("query-block")) as Drive[]).find(({ inserted }) => inserted && fileOf(inserted.file) === path)?.qdev;
}

/** What QEMU said, judged: another node reopened would lose what a guest wrote. */
export function pickNodes(drives: readonly Drive[], named: readonly NamedNode[], path: string): ImageNodes {
  const drive = drives.find(({ inserted }) => inserted && fileOf(inserted.file) === path) ?? drives.find(({ qdev }) => qdev === DISK_DEVICE);
  const inserted = drive?.inserted;
  const image = inserted?.["node-name"];
  if (!inserted || image === undefined) throw new Error("the first disk of the domain has no image");
  if (inserted.drv !== "qcow2" || fileOf(inserted.file) !== path) {
    throw new Error(`the first disk of the domain is ${inserted.drv} in ${inserted.file}, expected qcow2 in ${path}: merge or remove the snapshot first`);
  }
  const files = named.filter((node) => node.drv === "file" && fileOf(node.file) === path).flatMap((node) => node["node-name"] ?? []);
  if (files.length !== 1) throw new Error(`${path} is open ${files.length} times in one domain, expected once`);
  return { image, file: files[0]! };
}

/** QEMU names a file by its path, or what was opened with options (over another backing) by these, as JSON. */
function fileOf(name: string): string | undefined {
  if (!name.startsWith("json:")) return name;
  try {
    const options = JSON.parse(name.slice("json:".length)) as { filename?: string; file?: { filename?: string } };
    return options.filename ?? options.file?.filename;
  } catch {
    return undefined; // cut off: QEMU keeps 4 KiB of it
  }
}

/** A node over an export, to be read only. Blocks while QEMU connects. @param tls credentials of the client's end */
export async function openExport(qmp: Qmp, node: string, { exportName, host, port }: NbdExport, tls: { "tls-creds"?: string } = {}): Promise<void> {
  await qmp("blockdev-add", {
    driver: "nbd", "node-name": node, "read-only": true, export: exportName, server: { type: "inet", host, port: String(port) }, ...tls,
  }, CONNECT_DEADLINE_MS);
}

/**
 * Puts a qcow2 image over another node, or over nothing. Blocks while reads of the one it stood over are under way.
 * @param options of the format's, beside those that libvirt opens a disk of ours with
 */
export async function reopenOver(qmp: Qmp, nodes: ImageNodes, backing: string | null, options: Record<string, unknown> = {}): Promise<void> {
  await qmp("blockdev-reopen", {
    options: [{
      driver: "qcow2", "node-name": nodes.image, "read-only": false, ...options, discard: "unmap",
      cache: { direct: true, "no-flush": false }, file: nodes.file, backing,
    }],
  }, CONNECT_DEADLINE_MS);
}
