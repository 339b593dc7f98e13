/** What goes wrong at a hypervisor, told apart by type. */

export class HypervisorError extends Error {
  constructor(
    readonly host: string,
    readonly step: string,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(`${host}: ${step}: ${message}`, options);
    this.name = new.target.name;
  }
}
/** The host does not answer, or its connection died. */
export class HostUnreachableError extends HypervisorError {}
/** One call was not answered within its deadline, by a host that answers others: a guest hangs, or its disk. */
export class UnansweredError extends HypervisorError {}
/** The source of a copy died or stopped sending: another source may do. */
export class SourceLostError extends HypervisorError {
  constructor(readonly sourceHost: string, host: string, message: string, options?: { cause?: unknown }) {
    super(host, "clone", message, options);
  }
}
/** The target's store is full: another source does not help. */
export class NoSpaceError extends HypervisorError {}
/** A name is taken by something without our tag. */
export class ForeignNameError extends HypervisorError {}
/** Somebody uses what was to be removed or overwritten: nothing was done to it, and nothing will be until they let it go. */
export class InUseError extends HypervisorError {}
/** The template changed or vanished during the run. */
export class TemplateChangedError extends HypervisorError {}
export class LockTimeoutError extends Error {
  constructor(readonly fleetId: string, readonly host: string, readonly holder: string, waitedMs: number) {
    super(
      `another run of fleet ${fleetId} holds the lock on ${host} (${holder}); waited ${Math.round(waitedMs / 1000)} s. ` +
      "Wait for it to end, or end that process, then run `pulumi up` again.",
    );
    this.name = "LockTimeoutError";
  }
}
