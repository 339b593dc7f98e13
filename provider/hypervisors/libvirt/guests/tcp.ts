import { connect } from "node:net";
import type { Clock } from "../../../async/clock";

/** Of one address: a guest on the same continent answers in a tenth. */
const TRY_MS = 3000;

/** Whether one of these addresses takes a connection at the port, from here; nothing is sent. Never throws. */
export async function takesConnections(clock: Clock, addresses: readonly string[], port: number): Promise<boolean> {
  const tries = await Promise.all(addresses.map((address) => tryOne(clock, address, port)));
  return tries.includes(true);
}

function tryOne(clock: Clock, host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const answer = (takes: boolean): void => {
      cancel();
      socket.destroy();
      resolve(takes);
    };
    const cancel = clock.after(TRY_MS, () => answer(false));
    socket.once("connect", () => answer(true));
    socket.on("error", () => answer(false));
  });
}
