/** Whether what arrived is what was sent, as `qemu-img` sees it. */
import { run } from "../lab";

const COMPARE_TIMEOUT_MS = 600_000;

/** @returns what is wrong with each of these files, in words; empty: all hold exactly what the original does */
export async function differences(original: string, copies: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const copy of copies) {
    await run(["qemu-img", "compare", "-q", "-f", "qcow2", "-F", "qcow2", original, copy], { timeoutMs: COMPARE_TIMEOUT_MS })
      .catch((error: Error) => found.push(error.message));
  }
  return found;
}
