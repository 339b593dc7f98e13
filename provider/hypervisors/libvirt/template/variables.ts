/**
 * What a template's firmware keeps of its own: boot entries, keys. A file that no pool has, as a rule; a helper opens it as it opens
 * any image, with the labels of its host, and libvirt reads it for us.
 */
import { Helper, type HelperSettings } from "../helper/helper";
import type { HostSession } from "../connection/session";
import { LibvirtError } from "../rpc/errors";
import { FIRST_DISK } from "../xml/domainXml";

/** As large as QEMU's flash for them is anywhere (aarch64). */
const MAX_BYTES = 64 << 20;
const CHUNK_BYTES = 1 << 20;
const ENOENT = 2;

/** @returns undefined: a machine that never ran has none yet, and a copy of it needs none */
export async function readVariables(session: HostSession, settings: HelperSettings, path: string): Promise<Buffer | undefined> {
  let helper: Helper;
  try {
    helper = await Helper.start(session, settings, [{ path, format: "raw", backing: null, readOnly: true }]);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  try {
    return await session.run("read firmware variables", () => read(helper, path));
  } finally {
    await helper.stop();
  }
}

async function read({ client, domain }: Helper, path: string): Promise<Buffer> {
  const { physical } = await client.blockInfo(domain, FIRST_DISK);
  if (physical > MAX_BYTES) throw new Error(`expected at most ${MAX_BYTES} bytes of firmware variables in ${path}, got ${physical}`);
  const chunks: Buffer[] = [];
  for (let at = 0; at < physical; at += CHUNK_BYTES) chunks.push(await client.peekDisk(domain, FIRST_DISK, at, Math.min(CHUNK_BYTES, physical - at)));
  return Buffer.concat(chunks);
}

function isMissing(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof LibvirtError && cause.errno === ENOENT) return true;
  return false;
}
