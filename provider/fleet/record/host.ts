/** A host as it is recorded: read and written here alone. */
import { z } from "zod";
import { DEFAULTS } from "../inputs/schema";
import { LIBVIRT_DEFAULTS } from "../inputs/libvirt";
import type { HostSpec, RecordedHost } from "../model";
import { addressOf } from "../own";
import { redact } from "../words/redaction";
import { absent, maybe, slotSchema } from "./parts";

/** Older versions wrote less, newer ones add properties. */
export const hostSchema = z.looseObject({
  name: z.string().min(1), uri: z.string(), rack: absent(z.string(), DEFAULTS.rack), pool: absent(z.string(), LIBVIRT_DEFAULTS.pool),
  transferAddress: maybe(z.string()),
  transferPorts: absent(z.object({ from: z.number(), to: z.number() }), { ...LIBVIRT_DEFAULTS.transferPorts }),
  nicBitsPerSecond: absent(z.number(), DEFAULTS.nicBitsPerSecond), diskBytesPerSecond: absent(z.number(), DEFAULTS.diskBytesPerSecond),
  transferRateBitsPerSecond: maybe(z.number()), maxConcurrent: absent(z.number(), DEFAULTS.hostMaxConcurrent), capacity: maybe(z.number()),
  uuid: maybe(z.string()), unsettled: maybe(z.boolean()),
  missed: maybe(z.array(z.object({ slot: slotSchema, generation: z.int().min(0), name: z.string() }))),
});

/** Without properties that hold nothing. */
export const asRead = (host: z.output<typeof hostSchema>): RecordedHost =>
  Object.fromEntries(Object.entries(host).filter(([, value]) => value !== undefined)) as unknown as RecordedHost;

/** As it is recorded; the order of its properties is that of all records. */
export function recordedHost({ name, rack, own, ...rates }: HostSpec): RecordedHost {
  switch (own.hypervisor) {
    case "libvirt": {
      const { uri, pool, transferAddress, transferPorts } = own;
      return { name, uri, rack, pool, ...(transferAddress !== undefined && { transferAddress }), transferPorts, ...rates };
    }
  }
}

/** As it was declared when it was recorded. */
export function declaredHost(recorded: RecordedHost): HostSpec {
  const { name, rack, nicBitsPerSecond, transferRateBitsPerSecond, diskBytesPerSecond, maxConcurrent, capacity } = recorded;
  const { uri, pool, transferAddress, transferPorts } = recorded;
  return {
    name, rack, nicBitsPerSecond, ...(transferRateBitsPerSecond !== undefined && { transferRateBitsPerSecond }),
    diskBytesPerSecond, maxConcurrent, ...(capacity !== undefined && { capacity }),
    own: { hypervisor: "libvirt", uri, pool, ...(transferAddress !== undefined && { transferAddress }), transferPorts },
  };
}

export const recordedAddress = (recorded: RecordedHost): string => addressOf(declaredHost(recorded));

/** Without the password that its address may hold. */
export const withoutPassword = (recorded: RecordedHost): RecordedHost => ({ ...recorded, uri: redact(recorded.uri) });
