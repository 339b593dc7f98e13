import type { XdrReader, XdrWriter } from "./xdr";

/** What a daemon knows its things by: virDomainPtr, virStoragePoolPtr and virStorageVolPtr on the wire. */

/** `id` is -1 for a domain that does not run. */
export interface Domain {
  name: string;
  uuid: Buffer;
  id: number;
}
export interface Pool {
  name: string;
  uuid: Buffer;
}
export interface Volume {
  pool: string;
  name: string;
  key: string;
}

export const writeDomain = (w: XdrWriter, d: Domain): XdrWriter => w.string(d.name).opaque(d.uuid).i32(d.id);
export const readDomain = (r: XdrReader): Domain => ({ name: r.string(), uuid: Buffer.from(r.bytes(16)), id: r.i32() });
export const writePool = (w: XdrWriter, p: Pool): XdrWriter => w.string(p.name).opaque(p.uuid);
export const readPool = (r: XdrReader): Pool => ({ name: r.string(), uuid: Buffer.from(r.bytes(16)) });
export const writeVolume = (w: XdrWriter, v: Volume): XdrWriter => w.string(v.pool).string(v.name).string(v.key);
export const readVolume = (r: XdrReader): Volume => ({ pool: r.string(), name: r.string(), key: r.string() });
