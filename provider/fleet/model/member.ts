/** Which slot. The fleet's names, UUIDs and MACs hang on it. */
export interface SlotId {
  /** Absent: the role without a name, which is all there is of a fleet without roles. */
  role?: string;
  /** From 0, stable over the fleet's life. */
  slot: number;
}

/** Which of the members that a slot had, one after the other. */
export interface MemberId extends SlotId {
  /** From 0; one more than anything that the slot ever had on any host. */
  generation: number;
}
