/**
 * Of a call that makes, starts, ends, removes or rewrites something: a slow disk, a loaded host that starts QEMU, or the
 * first start after the daemon's own, which probes capabilities, must not pass for a dead host.
 */
export const LONG_CALL_MS = 120_000;
