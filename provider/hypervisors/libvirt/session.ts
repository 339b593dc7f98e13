import type { HostSpec } from "../../fleet/model";
import { HostUnreachableError, HypervisorError, NoSpaceError } from "../hypervisor";
import type { Drive } from "./domainXml";
import { saysNoSpace } from "./noSpace";
import { LibvirtClient, type Pool } from "./rpc/client";
import { CallTimeoutError, ConnectionLostError, LibvirtError } from "./rpc/errors";
import { openTransport } from "./rpc/transport";
import { parseLibvirtUri } from "./rpc/uri";
import { at, parseXml, text } from "./xml";

export interface SessionOptions {
  callTimeoutMs: number;
  connectTimeoutMs: number;
  allowUnauthenticatedTcp: boolean;
}

const MAX_CONNECTING = 32;

/** Lets so many go on at once; the others wait in line. */
class Gate {
  private free: number;
  private readonly waiting: (() => void)[] = [];
  constructor(places: number) {
    this.free = places;
  }
  async run<T>(body: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((go) => this.waiting.push(go));
    try {
      return await body();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}
const connecting = new Gate(MAX_CONNECTING);

/** A password has no place in a libvirt URI; one that stands there all the same is never shown. */
const redacted = (uri: string): string => uri.replace(/(\/\/[^/@:]*):[^/@]*@/, "$1:***@");

/** What a pool's XML says that matters here. */
export interface PoolFacts {
  pool: Pool;
  type: string;
  path: string;
  /** What another host's pool is known by that lies in the same place: of network file systems. */
  store?: string;
}

/** Where it comes from over the network; what else may be one place on two hosts, sharedStores.ts finds out. */
function storeOf(pool: unknown): Pick<PoolFacts, "store"> {
  const [host, dir] = [text(pool, "source", "host", "@name"), text(pool, "source", "dir", "@path")];
  if (text(pool, "@type") !== "netfs" || host === undefined || dir === undefined) return {};
  return { store: `netfs ${host}:${dir.replace(/\/+$/, "")}` };
}

/** One host: its connection, reopened when it was lost, and the facts that do not change. */
export class HostSession {
  private opening: Promise<LibvirtClient> | undefined;
  private uuidCache: string | undefined;
  private poolCache: PoolFacts | undefined;
  /** Set when the connection that held the fleet's lock died: nothing may be touched here any more in this run. */
  private poisoned: Error | undefined;
  private lockHeld = false;
  /** For good: what is still cleaning up behind the run must not open a connection that nobody closes. */
  private closed = false;
  /** Drives that helpers cannot have here, found out in this run. */
  readonly refusedDrives = new Set<Drive>();
  /** Its libvirt does not know how to start a helper or a lock without asking for CPU features; found out in this run. */
  refusesQuickStart = false;

  constructor(readonly spec: HostSpec, private readonly options: SessionOptions) {}

  get name(): string {
    return this.spec.name;
  }

  /** The open connection, opened if need be. @throws HostUnreachableError */
  async client(): Promise<LibvirtClient> {
    if (this.closed) throw this.unreachable("connect", new Error("the run has ended"));
    if (this.poisoned) throw this.unreachable("connect", this.poisoned);
    this.opening ??= this.open();
    const opening = this.opening;
    try {
      const client = await opening;
      if (client.isOpen) return client;
    } catch (error) {
      if (this.opening === opening) this.opening = undefined;
      throw this.unreachable("connect", error);
    }
    if (this.opening === opening) this.opening = undefined;
    return this.client();
  }

  private async open(): Promise<LibvirtClient> {
    const client = await this.opened();
    client.onClose((error) => {
      if (this.lockHeld) this.poisoned = error;
    });
    return client;
  }

  /** A new connection; not more than so many at a time are being made, or a bastion's sshd would drop some. */
  private opened(): Promise<LibvirtClient> {
    return connecting.run(() => this.openExtra());
  }

  /** A second connection, for a long stream that would stand in the way of everything else. The caller closes it. */
  async openExtra(): Promise<LibvirtClient> {
    const uri = parseLibvirtUri(this.spec.uri);
    if (uri.transport === "tcp" && !this.options.allowUnauthenticatedTcp) {
      throw new ConnectionLostError(`${redacted(this.spec.uri)} has no authentication: use qemu+ssh, or set allowUnauthenticatedTcp`);
    }
    const deadline = this.options.connectTimeoutMs;
    let timer: NodeJS.Timeout | undefined;
    const stream = await openTransport(uri, deadline);
    try {
      return await Promise.race([
        LibvirtClient.open(stream, `${this.name} (${redacted(this.spec.uri)})`, uri.name, { callTimeoutMs: this.options.callTimeoutMs }),
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => {
            stream.destroy();
            reject(new ConnectionLostError(`${this.name} did not answer within ${deadline / 1000} s`));
          }, deadline);
        }),
      ]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs calls under one step name; every error leaves as a HypervisorError that names host and step. */
  async run<T>(step: string, body: (client: LibvirtClient) => Promise<T>): Promise<T> {
    const client = await this.client();
    try {
      return await body(client);
    } catch (error) {
      // The daemon may still do what was asked; with the connection at least nothing of ours goes on beside it.
      if (error instanceof CallTimeoutError) client.close();
      throw this.wrap(step, error);
    }
  }

  wrap(step: string, error: unknown): Error {
    if (error instanceof HypervisorError || !(error instanceof Error) || error.name === "AbortError") return error as Error;
    if (error instanceof ConnectionLostError || error instanceof CallTimeoutError) return this.unreachable(step, error);
    if (saysNoSpace(error)) return new NoSpaceError(this.name, step, `storage pool ${this.spec.pool} is full (${error.message})`, { cause: error });
    if (error instanceof LibvirtError) return new HypervisorError(this.name, step, `libvirt says: ${error.message}`, { cause: error });
    return new HypervisorError(this.name, step, error.message, { cause: error });
  }

  private unreachable(step: string, error: unknown): HostUnreachableError {
    return error instanceof HostUnreachableError
      ? error
      : new HostUnreachableError(this.name, step, (error as Error).message, { cause: error });
  }

  /** The host's own uuid, from its capabilities. */
  async uuid(): Promise<string> {
    this.uuidCache ??= await this.run("identify", async (client) => {
      const uuid = text(at(parseXml(await client.capabilities()), "capabilities", "host"), "uuid");
      if (uuid === undefined) throw new Error("the host's capabilities hold no uuid");
      return uuid;
    });
    return this.uuidCache;
  }

  /** Undefined until the host has answered once. */
  get knownUuid(): string | undefined {
    return this.uuidCache;
  }

  /** The pool that receives clones. Null: there is none of that name. */
  async poolFacts(): Promise<PoolFacts | null> {
    if (this.poolCache) return this.poolCache;
    return this.run("look up pool", async (client) => {
      const pool = await client.lookupPool(this.spec.pool);
      if (!pool) return null;
      const xml = at(parseXml(await client.poolXml(pool)), "pool");
      this.poolCache = { pool, type: text(xml, "@type") ?? "", path: text(xml, "target", "path") ?? "", ...storeOf(xml) };
      return this.poolCache;
    });
  }

  async pool(): Promise<PoolFacts> {
    const facts = await this.poolFacts();
    if (!facts) throw new HypervisorError(this.name, "look up pool", `no storage pool named ${JSON.stringify(this.spec.pool)}`);
    return facts;
  }

  /** From then on a lost connection ends all work on this host; letting go makes it usable again. */
  holdLock(held: boolean): void {
    this.lockHeld = held;
    this.poisoned = undefined;
  }
  get holdsLock(): boolean {
    return this.lockHeld;
  }
  /** The host is another run's now: nothing more may be done here, not even by what is under way. */
  poison(error: Error): void {
    this.poisoned = error;
    void this.opening?.then((client) => client.close(), () => undefined);
  }

  close(): Promise<void> {
    this.closed = true;
    this.lockHeld = false;
    const opening = this.opening;
    this.opening = undefined;
    // One that is still being made closes when it is; nobody waits for a host that may be dead.
    void opening?.then((client) => client.close(), () => undefined);
    return Promise.resolve();
  }
}
