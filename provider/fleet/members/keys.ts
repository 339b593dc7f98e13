/** The one place where a member's id becomes a key. */
import type { MemberId, SlotId } from "../model";

/** Equal for every generation of a slot. */
export const slotKey = ({ role, slot }: SlotId): string => (role === undefined ? `${slot}` : `${role}/${slot}`);

export const memberKey = (id: MemberId): string => `${slotKey(id)}.${id.generation}`;

/** Where one slot may be held on several hosts: by two runs, or as twins. */
export const slotKeyOn = (host: string, id: SlotId): string => `${slotKey(id)}@${host}`;

export const memberKeyOn = (host: string, id: MemberId): string => `${memberKey(id)}@${host}`;
