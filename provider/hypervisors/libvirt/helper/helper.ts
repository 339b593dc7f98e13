import { randomBytes } from "node:crypto";
import type { Clock } from "../../../async/clock";
import { within } from "../../../async/within";
import { HypervisorError } from "../../hypervisor";
import { helperXml, type HelperDiskXml } from "../xml/domainXml";
import { helperDomainName } from "../volumes/names";
import { DISK_DEVICE, type NbdExport } from "./nodes";
import type { LibvirtClient } from "../rpc/client";
import type { Domain } from "../rpc/handles";
import { ErrorCode, Flag, LONG_CALL_MS } from "../rpc/protocol";
import { CallTimeoutError, isLibvirtError, LibvirtError, QmpError } from "../rpc/errors";
import type { HostSession } from "../connection/session";
import { loadCredentials, type TlsEnd } from "./tls";

const UNEXPORT_DEADLINE_MS = 5_000;
/** After this libvirt is asked to end what does not leave. */
const QUIT_PATIENCE_MS = 5_000;
const LIFECYCLE_STOPPED = 5;
/** Ids of exports begin with a letter. */
const exportId = (exportName: string): string => `x${exportName}`;

export interface HelperSettings {
  fleetId: string;
  holder: string;
  domainType: string;
  arch: string;
  /** Guests of the helper's own host that may read from it at once, beside the copies. @default 0 */
  guests?: number;
  /** Where exports are read and served over TLS: directories of certificates. Absent: plain. */
  tlsDirectories?: readonly string[];
}

/** Starts it paused; it dies with the connection. @param xml of a quick start or of any other (`helperXml`) */
export async function createHelper(session: HostSession, client: LibvirtClient, xml: (quick: boolean) => string): Promise<Domain> {
  const create = (quick: boolean): Promise<Domain> => client.createDomain(xml(quick), Flag.startPaused | Flag.startAutodestroy, LONG_CALL_MS);
  if (session.startsQuickly === false) return create(false);
  try {
    const domain = await create(true);
    session.startsQuickly = true;
    return domain;
  } catch (error) {
    // What it does not know is an internal error, as is much else, in the daemon's own language: so it is tried, once.
    if (session.startsQuickly !== undefined || !isLibvirtError(error, ErrorCode.internalError)) throw error;
    const domain = await create(false);
    session.startsQuickly = false;
    return domain;
  }
}

/**
 * A helper domain: QEMU's block layer on a host, without a guest. It is started with autodestroy, so it dies with
 * this process, whatever becomes of it.
 */
export class Helper {
  /** Set where the copy has a map of its image: what its readers read, and what its pull reads. */
  mapped: { readNode: string; pullNode: string } | undefined;
  private server: Promise<{ host: string; port: number }> | undefined;

  private readonly credentials = new Map<TlsEnd, Promise<string>>();

  private constructor(
    readonly session: HostSession, readonly client: LibvirtClient, readonly domain: Domain,
    private readonly guests: number, private readonly tlsDirectories: readonly string[] | undefined,
  ) {}

  get clock(): Clock {
    return this.session.clock;
  }

  /**
   * Drives are a help, no need: where a helper starts only without them (a QEMU or a libvirt that has none), it goes
   * without, and so does every later one on this host in this run.
   */
  static start(session: HostSession, settings: HelperSettings, disks: HelperDiskXml[]): Promise<Helper> {
    return session.run("start helper", (client) => Helper.startOn(client, session, settings, disks));
  }

  private static async startOn(client: LibvirtClient, session: HostSession, settings: HelperSettings, disks: HelperDiskXml[]): Promise<Helper> {
    const name = helperDomainName(settings.fleetId, randomBytes(6).toString("hex"));
    const tag = { purpose: "helper" as const, fleetId: settings.fleetId, holder: settings.holder };
    const start = async (given: HelperDiskXml[]): Promise<Helper> => {
      const domain = await createHelper(session, client, (quick) => helperXml(name, tag, settings.domainType, settings.arch, given, quick));
      return new Helper(session, client, domain, settings.guests ?? 0, settings.tlsDirectories);
    };
    const wanted = disks.filter(({ drive }) => !drive || !session.refusedDrives.has(drive));
    const fixed = wanted.filter(({ drive }) => !drive);
    try {
      return await start(wanted).catch(async (error: unknown) => {
        if (!(error instanceof LibvirtError) || fixed.length === wanted.length) throw error;
        const helper = await start(fixed);
        for (const { drive } of wanted) if (drive) session.refusedDrives.add(drive);
        return helper;
      });
    } catch (error) {
      // It may start yet, and would keep its images from whoever tries again.
      if (error instanceof CallTimeoutError) void client.lookupDomain(name).then((late) => late && client.destroyDomain(late, 0, LONG_CALL_MS)).catch(() => undefined);
      throw error;
    }
  }

  /** Over another connection where guests that hang have filled its own: it ends with its own, and answers on any. */
  async qmp<T = unknown>(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T> {
    const client = this.client.isClogged ? await this.session.client() : this.client;
    return client.qmp<T>(this.domain, command, args, timeoutMs);
  }

  /** `tls-creds` of one end of an NBD connection; nothing where copies go plain. @throws TransferTlsError */
  async tls(end: TlsEnd): Promise<{ "tls-creds"?: string }> {
    if (!this.tlsDirectories) return {};
    let loaded = this.credentials.get(end);
    if (!loaded) this.credentials.set(end, loaded = loadCredentials(this.session.name, end, this.tlsDirectories, (command, args) => this.qmp(command, args)));
    return { "tls-creds": await loaded };
  }

  /**
   * The node the first disk's device reads: its format's, or where the image is raw and the libvirt new, the file's
   * own.
   */
  async topNode(): Promise<string> {
    const drives = await this.qmp<{ removable: boolean; inserted?: { "node-name"?: string } }[]>("query-block");
    const first = drives.find(({ removable }) => !removable);
    const node = first?.inserted?.["node-name"];
    if (node === undefined) throw new Error("the helper has no disk");
    return node;
  }

  /**
   * Opens one read-only export of a node for one reader, on the host's transferAddress and one port of transferPorts;
   * the name is unguessable. The port takes as many connections as the host makes copies at once, and closes with
   * the helper.
   */
  async exportNode(node: string): Promise<NbdExport> {
    this.server ??= this.serve();
    const { host, port } = await this.server;
    const exportName = randomBytes(16).toString("hex");
    await this.qmp("block-export-add", { type: "nbd", id: exportId(exportName), "node-name": node, name: exportName, writable: false });
    return { host, port, exportName, tls: this.tlsDirectories !== undefined };
  }

  /** Cuts the reader off. Never throws: a helper that is gone serves nobody. */
  async unexport({ exportName }: NbdExport): Promise<void> {
    await this.qmp("block-export-del", { id: exportId(exportName), mode: "hard" }, UNEXPORT_DEADLINE_MS).catch(() => undefined);
  }

  private async serve(): Promise<{ host: string; port: number }> {
    const { own: { transferAddress: host, transferPorts }, spec: { maxConcurrent } } = this.session;
    if (host === undefined) throw new HypervisorError(this.session.name, "export", "the host has no transferAddress");
    const tls = await this.tls("server");
    const count = transferPorts.to - transferPorts.from + 1;
    const first = randomBytes(4).readUInt32BE(0) % count;
    for (let i = 0; i < count; i++) {
      const port = transferPorts.from + ((first + i) % count);
      try {
        await this.qmp("nbd-server-start", {
          addr: { type: "inet", data: { host, port: String(port) } }, "max-connections": maxConcurrent + this.guests, ...tls,
        });
        return { host, port };
      } catch (error) {
        // QEMU's own word, passed on as it is: libvirt starts every QEMU with LC_ALL=C.
        // eslint-disable-next-line no-restricted-syntax
        if (!(error instanceof QmpError) || !/in use/i.test(error.description)) throw error;
      }
    }
    throw new HypervisorError(
      this.session.name, "export", `no port free on ${host} in transferPorts ${transferPorts.from}-${transferPorts.to}`,
    );
  }

  /** Ends QEMU at once. Never throws: a dead host has no helper any more. */
  async stop(): Promise<void> {
    await this.client.destroyDomain(this.domain, 0, LONG_CALL_MS).catch(() => undefined);
  }

  /**
   * Writes out what the first disk holds, while readers go on. By the device that is there: over a node of its own
   * qemu-io would first wait for every read under way, and so does everyone behind it.
   * @throws when not all of it could be written
   */
  async flush(): Promise<void> {
    const answer = await this.qmp<string>("human-monitor-command", { "command-line": `qemu-io -d ${DISK_DEVICE} flush` });
    if (answer.trim() !== "") throw new Error(`flush: ${answer.trim()}`);
  }

  /** Ends QEMU by its own leave, so that every byte and all metadata are on disk. @throws when it would not. */
  async finish(): Promise<void> {
    await this.flush();
    await this.leave();
    await this.client.destroyDomain(this.domain, Flag.destroyGraceful, LONG_CALL_MS).catch((error: unknown) => {
      if (!isLibvirtError(error, ErrorCode.noDomain)) throw error;
    });
  }

  /** Ends QEMU where nothing is left to write. Never throws. */
  async dismiss(): Promise<void> {
    await this.leave().catch(() => undefined);
    await this.stop();
  }

  /** libvirt looks only every fifth of a second whether what it ends is gone; one that leaves by itself is seen at once. */
  private async leave(): Promise<void> {
    let gone = (): void => undefined;
    const left = new Promise<void>((resolve) => { gone = resolve; });
    const uuid = this.domain.uuid.toString("hex");
    const unlisten = await this.client.events.onLifecycle((domain, event) => {
      if (event === LIFECYCLE_STOPPED && domain.uuid.toString("hex") === uuid) gone();
    });
    try {
      await this.qmp("quit", undefined, QUIT_PATIENCE_MS).catch((error: unknown) => {
        if (!(error instanceof LibvirtError)) throw error; // it was gone before it could answer
      });
      await within(this.clock, QUIT_PATIENCE_MS, left);
    } finally {
      unlisten();
    }
  }
}
