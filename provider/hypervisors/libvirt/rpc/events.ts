import type { RpcConnection } from "./connection";
import { type Domain, readDomain } from "./handles";
import { EventId, Proc, Program } from "./protocol";
import { type XdrReader, XdrWriter } from "./xdr";

export interface BlockJobEvent {
  domain: Domain;
  /** Target name, `vda`. */
  disk: string;
  /** BlockJobStatus */
  status: number;
}

/** What a host tells of by itself. */
export class HostEvents {
  private readonly lifecycleListeners = new Set<(domain: Domain, event: number) => void>();
  private readonly blockJobListeners = new Set<(event: BlockJobEvent) => void>();
  private readonly registrations = new Map<number, Promise<void>>();

  constructor(private readonly rpc: RpcConnection) {}

  /**
   * Lifecycle events of every domain of the host. Resolves once the daemon has taken the registration, one for all; the
   * answer ends the listening.
   */
  async onLifecycle(listener: (domain: Domain, event: number) => void): Promise<() => void> {
    this.lifecycleListeners.add(listener);
    await this.register(EventId.lifecycle, Proc.domainEventCallbackLifecycle, (r) => {
      const domain = readDomain(r);
      const event = r.i32();
      for (const each of this.lifecycleListeners) each(domain, event);
    });
    return () => this.lifecycleListeners.delete(listener);
  }

  /** Events of every block job of the host: ready, completed, failed, cancelled. The answer ends the listening. */
  async onBlockJob(listener: (event: BlockJobEvent) => void): Promise<() => void> {
    this.blockJobListeners.add(listener);
    await this.register(EventId.blockJob2, Proc.domainEventBlockJob2, (r) => {
      const domain = readDomain(r);
      const disk = r.string();
      r.i32(); // job type
      const event = { domain, disk, status: r.i32() };
      for (const each of this.blockJobListeners) each(event);
    });
    return () => this.blockJobListeners.delete(listener);
  }

  /** The daemon takes one registration of an event from a connection; all who listen share it. */
  private register(id: number, proc: number, handle: (r: XdrReader) => void): Promise<void> {
    let registration = this.registrations.get(id);
    if (!registration) {
      this.rpc.onMessage((program, messageProc, reader) => {
        if (program !== Program.remote || messageProc !== proc) return;
        reader.i32(); // callback id
        handle(reader);
      });
      registration = this.rpc.call(Program.remote, Proc.domainEventCallbackRegisterAny, "connectDomainEventCallbackRegisterAny", new XdrWriter().i32(id).u32(0))
        .then(() => undefined);
      this.registrations.set(id, registration);
    }
    return registration;
  }
}
