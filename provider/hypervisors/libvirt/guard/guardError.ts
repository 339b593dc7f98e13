/** Somebody uses it, or it is not ours: nothing was done to it. The session makes the port's InUseError of it, with host and step. */
export class GuardError extends Error {}
