import type { HostSession } from "../connection/session";
import type { LibvirtClient } from "../rpc/client";
import { ConnectionLostError } from "../rpc/errors";

/**
 * A host's connection that guests are asked over, and nothing else: a guest that does not answer keeps a call's place for
 * seconds, and there are few of them. Opened when the first guest is asked; it ends with its session.
 */
export class GuestLine {
  private opening: Promise<LibvirtClient> | undefined;

  constructor(private readonly session: HostSession) {}

  /** @throws HypervisorError */
  async ask<T>(body: (client: LibvirtClient) => Promise<T>): Promise<T> {
    for (let isAgain = false; ; isAgain = true) {
      try {
        return await body(await this.client());
      } catch (error) {
        if (error instanceof ConnectionLostError && !isAgain) continue; // this line alone, perhaps
        throw this.session.wrap("ask guest", error);
      }
    }
  }

  private async client(): Promise<LibvirtClient> {
    const before = this.opening;
    if (before) {
      const client = await before.catch(() => undefined);
      if (client?.isOpen && !client.isClogged) return client;
      client?.close();
    }
    // Once for all who found it so.
    if (this.opening === before || !this.opening) this.opening = this.session.openExtra();
    return this.opening;
  }
}
