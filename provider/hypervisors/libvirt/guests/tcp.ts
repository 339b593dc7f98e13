import { connect } from "node:net";
import type { Clock } from "../../../async/clock";
import { Limiter } from "../../../async/limiter";

/** Of one address: a guest on the same continent answers in a tenth. */
const TRY_MS = 3000;
/** Of all guests, so that their connections leave room for those to hosts. */
const tries = new Limiter(64);

/** Whether one of these addresses takes a connection at the port, from here; nothing is sent. Never throws. */
export async function takesConnections(clock: Clock, addresses: readonly string[], port: number): Promise<boolean> {
  const over = new AbortController();
  const each = addresses.map((address) => tries.run(() => tryOne(clock, address, port, over.signal), over.signal));
  const takes = await Promise.any(each).then(() => true, () => false);
  over.abort();
  return takes;
}

/** Resolves when it is connected, and lets go of it. */
function tryOne(clock: Clock, host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const end = (settle: () => void): void => {
      cancel();
      signal.removeEventListener("abort", fail);
      socket.destroy();
      settle();
    };
    const fail = (): void => end(() => reject(new Error("it takes no connections")));
    const cancel = clock.after(TRY_MS, fail);
    signal.addEventListener("abort", fail, { once: true });
    socket.once("connect", () => end(resolve));
    socket.on("error", fail);
  });
}
