import { realClock, type Clock } from "../../../async/clock";
import { redact } from "../../../fleet";
import type { HostSpec, LibvirtHost } from "../../../fleet/model";
import { HostUnreachableError, HypervisorError, InUseError, NoSpaceError, UnansweredError } from "../../hypervisor";
import type { Drive } from "../xml/domainXml";
import { GuardError } from "../guard/guardError";
import { saysNoSpace } from "../volumes/noSpace";
import { libvirts } from "../own";
import type { LibvirtClient } from "../rpc/client";
import type { Pool } from "../rpc/handles";
import { CallTimeoutError, ConnectionLostError, isLibvirtError, LibvirtError } from "../rpc/errors";
import { openSession } from "./opening";
import { ErrorCode } from "../rpc/protocol";
import { parseLibvirtUri } from "./uri";
import { at, parseXml, text } from "../xml/xml";

export interface SessionOptions {
  callTimeoutMs: number;
  connectTimeoutMs: number;
  /** @default realClock */
  clock?: Clock;
  allowUnauthenticatedTcp: boolean;
}

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

/** Pools whose volumes are files that QEMU opens by path. */
export const POOL_TYPES: readonly string[] = ["dir", "fs", "netfs"];

export async function factsOfPool(client: LibvirtClient, pool: Pool): Promise<PoolFacts> {
  const xml = at(parseXml(await client.poolXml(pool)), "pool");
  return { pool, type: text(xml, "@type") ?? "", path: text(xml, "target", "path") ?? "", ...storeOf(xml) };
}

/** Names of calls on a domain, its QEMU, or a volume, as our client gives them. */
const ABOUT_ONE_THING = /^(domain|qemu|storage)/;

/** The fleet's lock on a host, as its session must know it. */
export interface HeldLock {
  /** The connection it lives with. */
  client: LibvirtClient;
  /** @throws where it is not surely ours any more */
  check(): void;
}

/** One host: its connection, reopened when it was lost, and the facts that do not change. */
export class HostSession {
  private opening: Promise<LibvirtClient> | undefined;
  /** All that are open: the one in use, those that are clogged by calls that were given up, those of long streams. */
  private readonly clients = new Set<LibvirtClient>();
  private uuidCache: string | undefined;
  private poolCache: PoolFacts | undefined;
  /** Set when the connection that held the fleet's lock died: nothing may be touched here any more in this run. */
  private poisoned: Error | undefined;
  private lock: HeldLock | undefined;
  /** While that one call is sent with which the lock goes. */
  private unlocking = false;
  /** For good: what is still cleaning up behind the run must not open a connection that nobody closes. */
  private closed = false;
  /** Drives that helpers cannot have here, found out in this run. */
  readonly refusedDrives = new Set<Drive>();
  /** Whether its libvirt can start a helper or a lock without asking for CPU features; found out in this run. */
  startsQuickly: boolean | undefined;

  readonly clock: Clock;
  /** What was declared of this host for libvirt alone. */
  readonly own: LibvirtHost;

  constructor(readonly spec: HostSpec, private readonly options: SessionOptions) {
    this.own = libvirts(spec.own);
    this.clock = options.clock ?? realClock;
  }

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
      // A clogged one stays: the lock and the helpers that were started over it end with it.
      if (client.isOpen && !client.isClogged) return client;
    } catch (error) {
      if (this.opening === opening) this.opening = undefined;
      throw this.unreachable("connect", error);
    }
    if (this.opening === opening) this.opening = undefined;
    return this.client();
  }

  private async open(): Promise<LibvirtClient> {
    const client = await this.openExtra();
    client.onClose((error) => {
      if (this.lock) this.poisoned ??= error;
    });
    return client;
  }

  /** Before each call of every connection but one (`onceMore`): a host that may be another run's is not touched. */
  private readonly mayCall = (): void => {
    if (this.unlocking) return;
    try {
      this.lock?.check();
    } catch (error) {
      throw this.unreachable("connect", error);
    }
    if (this.poisoned) throw this.unreachable("connect", this.poisoned);
  };

  /** A second connection, for a long stream that would stand in the way of everything else. The caller closes it. */
  async openExtra(): Promise<LibvirtClient> {
    if (this.closed) throw this.unreachable("connect", new Error("the run has ended"));
    // A host whose daemon let our connection go, and with it the lock, must not be entered by another door.
    await this.lock?.client.answers(this.options.connectTimeoutMs);
    const client = await this.connect(this.mayCall);
    this.clients.add(client);
    client.onClose(() => this.clients.delete(client));
    if (this.poisoned || this.closed) client.close();
    return client;
  }

  /** For the one thing that may still be done on a host that this run lost: to remove what outlived the connection. */
  async onceMore<T>(body: (client: LibvirtClient) => Promise<T>): Promise<T> {
    if (this.closed) throw this.unreachable("connect", new Error("the run has ended"));
    const client = await this.connect();
    try {
      return await body(client);
    } finally {
      client.close();
    }
  }

  private async connect(mayCall?: () => void): Promise<LibvirtClient> {
    const uri = parseLibvirtUri(this.own.uri);
    const shown = redact(this.own.uri);
    if (uri.transport === "tcp" && !this.options.allowUnauthenticatedTcp) {
      throw new ConnectionLostError(`${shown} has no authentication: use qemu+ssh, or set allowUnauthenticatedTcp`);
    }
    const { connectTimeoutMs, callTimeoutMs } = this.options;
    return openSession(uri, { host: this.name, peer: `${this.name} (${shown})`, connectTimeoutMs, callTimeoutMs, clock: this.clock, mayCall });
  }

  /** Runs calls under one step name; every error leaves as a HypervisorError that names host and step. */
  async run<T>(step: string, body: (client: LibvirtClient) => Promise<T>): Promise<T> {
    const client = await this.client();
    try {
      return await body(client);
    } catch (error) {
      if (error instanceof CallTimeoutError) await this.stillAnswers(client, step, error);
      throw this.wrap(step, error);
    }
  }

  /**
   * A call was not answered: one guest may hang, or the host. Who answers a cheap call lives: then the call failed alone,
   * and the connection, the lock and all else go on. The daemon may still do what was asked.
   * @throws HostUnreachableError when not even that is answered, or the pool is silent that the call was about, or it was
   * about the host as a whole
   */
  private async stillAnswers(client: LibvirtClient, step: string, error: CallTimeoutError): Promise<void> {
    const pool = error.call.startsWith("storage") ? this.poolCache?.pool : undefined;
    try {
      await client.answers(this.options.connectTimeoutMs, pool);
    } catch {
      client.close();
      throw this.unreachable(step, error);
    }
    // What is about the host itself holds for all of it; its connection stays, for what goes on over it.
    if (!ABOUT_ONE_THING.test(error.call)) throw this.unreachable(step, error);
  }

  wrap(step: string, error: unknown): Error {
    if (error instanceof HypervisorError || !(error instanceof Error) || error.name === "AbortError") return error as Error;
    // Where we let the host go ourselves, why says more than that.
    if (error instanceof ConnectionLostError) return this.unreachable(step, this.poisoned ?? error);
    if (error instanceof CallTimeoutError) return new UnansweredError(this.name, step, `${error.message}, though the host answers: a guest there hangs, or its disk`, { cause: error });
    // libvirt's own deadline: something else holds the guest, and waits for its QEMU.
    if (isLibvirtError(error, ErrorCode.operationTimeout)) return new UnansweredError(this.name, step, `libvirt says: ${error.message}`, { cause: error });
    if (error instanceof GuardError) return new InUseError(this.name, step, error.message, { cause: error });
    if (saysNoSpace(error)) return new NoSpaceError(this.name, step, `storage pool ${this.own.pool} is full (${error.message})`, { cause: error });
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
      const pool = await client.lookupPool(this.own.pool);
      if (!pool) return null;
      this.poolCache = await factsOfPool(client, pool);
      return this.poolCache;
    });
  }

  async pool(): Promise<PoolFacts> {
    const facts = await this.poolFacts();
    if (!facts) throw new HypervisorError(this.name, "look up pool", `no storage pool named ${JSON.stringify(this.own.pool)}`);
    return facts;
  }

  /** From then on a lost connection ends all work on this host, for good. Undefined: it was given back. */
  holdLock(lock: HeldLock | undefined): void {
    this.lock = lock;
  }

  /**
   * Gives the lock back by this one call. From then on nothing else is done here, not even by what is still under way:
   * the host may be another run's by now. @see leave
   */
  async giveBack(unlock: (client: LibvirtClient) => Promise<void>): Promise<void> {
    if (!this.lock) return;
    const { client } = this.lock;
    this.stopCalls();
    if (!client.isOpen) return; // it went with its connection
    let sent: Promise<void>;
    this.unlocking = true;
    try {
      sent = unlock(client);
    } finally {
      this.unlocking = false;
    }
    try {
      await sent;
    } catch (error) {
      if (error instanceof LibvirtError) return; // it is gone
      await this.onceMore(unlock); // where others' calls fill the connection, it was not sent at all
    }
  }

  /** What a host is under other names, too: from now on no call is made by any connection. */
  stopCalls(): void {
    if (this.lock) this.lock = { client: this.lock.client, check: () => { throw new Error("this run has given the fleet's lock back, and the host may be another run's"); } };
  }

  /** The run has left the host. Whoever still works behind it finds its connections closed; who comes anew gets a new one. */
  leave(): void {
    this.lock = undefined;
    const opening = this.opening;
    this.opening = undefined;
    for (const client of [...this.clients]) client.close();
    void opening?.then((client) => client.close(), () => undefined);
  }

  /** The host is another run's now: nothing more may be done here, not even by what is under way. */
  poison(error: Error): void {
    this.poisoned ??= error;
    for (const client of [...this.clients]) client.close();
    void this.opening?.then((client) => client.close(), () => undefined);
  }

  close(): Promise<void> {
    this.closed = true;
    this.lock = undefined;
    for (const client of [...this.clients]) client.close();
    const opening = this.opening;
    this.opening = undefined;
    // One that is still being made closes when it is; nobody waits for a host that may be dead.
    void opening?.then((client) => client.close(), () => undefined);
    return Promise.resolve();
  }
}
