/** What set-up does beside each other, and what is still waited for, in words. */

/** How often a wait is told. */
const TELL_EVERY_MS = 30_000;

/**
 * @param {(line: string) => void} log
 * @param {{tellEveryMs?: number, now?: () => number}} [options]
 */
export function createSteps(log, { tellEveryMs = TELL_EVERY_MS, now = Date.now } = {}) {
  const open = new Set();
  return {
    /**
     * @template T
     * @param {string} name what one waits for: `the Pulumi CLI`
     * @param {(doing: (text: string) => void) => Promise<T>} action is given a function that says what it does now
     * @returns {Promise<T>}
     */
    async begin(name, action) {
      const step = { name, doing: "", since: now() };
      open.add(step);
      try {
        return await action((text) => { step.doing = text; });
      } finally {
        open.delete(step);
      }
    },

    /** @returns {string} `the Pulumi CLI (compiling, for 1 min 10 s)`; empty when nothing is open */
    waitingFor() {
      return [...open].map(({ name, doing, since }) => `${name} (${doing && `${doing}, `}for ${duration(now() - since)})`).join(" and ");
    },

    /**
     * Waits, and says what for when it takes long.
     * @template T
     * @param {Promise<T>} promise
     * @returns {Promise<T>}
     */
    async wait(promise) {
      const timer = setInterval(() => {
        const what = this.waitingFor();
        if (what !== "") log(`waiting for ${what}`);
      }, tellEveryMs);
      try {
        return await promise;
      } finally {
        clearInterval(timer);
      }
    },
  };
}

/** @param {number} ms @returns {string} `45 s`, `1 min 10 s` */
export function duration(ms) {
  const seconds = Math.round(ms / 1000);
  const rest = seconds % 60;
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min${rest > 0 ? ` ${rest} s` : ""}`;
}
