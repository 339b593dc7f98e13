import type { Duplex } from "node:stream";
import type { Clock } from "../../../async/clock";
import { RpcConnection, type ConnectionOptions } from "./connection";
import { DomainState, ErrorCode, Flag, LONG_CALL_MS, PausedReason, Proc, Program, QemuProc } from "./protocol";
import { ConnectionLostError, isLibvirtError, LibvirtError, QmpError } from "./errors";
import { authenticate, type Authentication } from "./authentication";
import { downloadStream } from "./download";
import { HostEvents } from "./events";
import { type Domain, type Pool, readDomain, readPool, readVolume, type Volume, writeDomain, writePool, writeVolume } from "./handles";
import { HostCalls } from "./hostCalls";
import { uploadStream, type UploadChunk } from "./stream";
import { XdrReader, XdrWriter } from "./xdr";

export interface BlockJobInfo {
  type: number;
  current: number;
  end: number;
}

/** Where a stream is opened by hand: who asks for a name is told none. */
const NOBODY: Authentication = { isPrivate: false, credentials: () => ({ place: "no file" }) };

/** The calls this project makes, each one round trip, named as libvirt's C API names them. */
export class LibvirtClient extends HostCalls {
  readonly events: HostEvents;

  private constructor(private readonly rpc: RpcConnection) {
    super();
    this.events = new HostEvents(rpc);
  }

  /** Opens a session on an open byte stream: authentication, driver, server-side keepalive. */
  static async open(stream: Duplex, peer: string, name: string, options: ConnectionOptions & { auth?: Authentication } = {}): Promise<LibvirtClient> {
    const rpc = new RpcConnection(stream, peer, options);
    const client = new LibvirtClient(rpc);
    try {
      await authenticate((...call) => client.remote(...call), peer, options.auth ?? NOBODY);
      await client.remote(Proc.connectOpen, "connectOpen", new XdrWriter().optionalString(name).u32(0));
      // Asking makes the daemon probe us too: it ends our helpers and locks when this machine vanishes without a word.
      await client.remote(Proc.connectSupportsFeature, "connectSupportsFeature", new XdrWriter().i32(10));
      return client;
    } catch (error) {
      rpc.close();
      throw error;
    }
  }

  get clock(): Clock {
    return this.rpc.clock;
  }
  get isOpen(): boolean {
    return this.rpc.isOpen;
  }
  /** Calls that were given up fill it: what is called next goes over another connection. */
  get isClogged(): boolean {
    return this.rpc.isClogged;
  }
  onClose(listener: (error: ConnectionLostError) => void): () => void {
    return this.rpc.onClose(listener);
  }
  close(): void {
    this.rpc.close();
  }

  protected remote(proc: number, name: string, args: XdrWriter, timeoutMs?: number): Promise<XdrReader> {
    return this.rpc.call(Program.remote, proc, name, args, timeoutMs);
  }
  protected qemu(proc: number, name: string, args: XdrWriter, timeoutMs?: number): Promise<XdrReader> {
    return this.rpc.call(Program.qemu, proc, name, args, timeoutMs);
  }

  // ---- the host
  /**
   * Does the daemon live, and, where a call on its storage was not answered, the pool? Past all that waits, by calls that
   * wait for no guest.
   * @throws CallTimeoutError, ConnectionLostError; a daemon that says no lives
   */
  async answers(timeoutMs: number, pool?: Pool): Promise<void> {
    const ask = (proc: number, name: string, args: XdrWriter): Promise<unknown> =>
      this.rpc.callUrgently(Program.remote, proc, name, args, timeoutMs).catch((error: unknown) => {
        if (!(error instanceof LibvirtError)) throw error;
      });
    await ask(Proc.connectGetLibVersion, "connectGetLibVersion", new XdrWriter());
    if (pool) await ask(Proc.storagePoolGetInfo, "storagePoolGetInfo", writePool(new XdrWriter(), pool));
  }
  /** Undefined: no such network. */
  async networkIsActive(name: string): Promise<boolean | undefined> {
    try {
      const r = await this.remote(Proc.networkLookupByName, "networkLookupByName", new XdrWriter().string(name));
      const args = new XdrWriter().string(r.string()).opaque(Buffer.from(r.bytes(16)));
      return (await this.remote(Proc.networkIsActive, "networkIsActive", args)).i32() === 1;
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noNetwork)) return undefined;
      throw error;
    }
  }

  // ---- domains
  /** @param which 0: all; else a flag word of the kinds wanted */
  async listDomains(which = 0): Promise<Domain[]> {
    const r = await this.remote(Proc.connectListAllDomains, "connectListAllDomains", new XdrWriter().i32(1).u32(which));
    return r.list(readDomain);
  }
  async lookupDomain(name: string): Promise<Domain | null> {
    try {
      return readDomain(await this.remote(Proc.domainLookupByName, "domainLookupByName", new XdrWriter().string(name)));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noDomain)) return null;
      throw error;
    }
  }
  async lookupDomainByUuid(uuid: Buffer): Promise<Domain | null> {
    try {
      return readDomain(await this.remote(Proc.domainLookupByUuid, "domainLookupByUUID", new XdrWriter().opaque(uuid)));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noDomain)) return null;
      throw error;
    }
  }
  async createDomain(xml: string, flags: number, timeoutMs?: number): Promise<Domain> {
    const args = new XdrWriter().string(xml).u32(flags);
    return readDomain(await this.remote(Proc.domainCreateXml, "domainCreateXML", args, timeoutMs));
  }
  async defineDomain(xml: string): Promise<Domain> {
    const args = new XdrWriter().string(xml).u32(0);
    return readDomain(await this.remote(Proc.domainDefineXmlFlags, "domainDefineXMLFlags", args, LONG_CALL_MS));
  }
  async startDomain(domain: Domain, timeoutMs?: number): Promise<void> {
    await this.remote(Proc.domainCreateWithFlags, "domainCreateWithFlags", writeDomain(new XdrWriter(), domain).u32(0), timeoutMs);
  }
  async destroyDomain(domain: Domain, flags: number, timeoutMs?: number): Promise<void> {
    await this.remote(Proc.domainDestroyFlags, "domainDestroyFlags", writeDomain(new XdrWriter(), domain).u32(flags), timeoutMs);
  }
  async undefineDomain(domain: Domain): Promise<void> {
    const args = writeDomain(new XdrWriter(), domain).u32(Flag.undefineEverything);
    await this.remote(Proc.domainUndefineFlags, "domainUndefineFlags", args, LONG_CALL_MS);
  }
  async shutdownDomain(domain: Domain): Promise<void> {
    const args = writeDomain(new XdrWriter(), domain).u32(Flag.shutdownAcpi);
    await this.remote(Proc.domainShutdownFlags, "domainShutdownFlags", args);
  }
  async domainState(domain: Domain): Promise<number> {
    return (await this.remote(Proc.domainGetState, "domainGetState", writeDomain(new XdrWriter(), domain).u32(0))).i32();
  }
  /** It stands still because a disk failed to read or write (its error policy is `stop`). */
  async isStoppedByDisk(domain: Domain): Promise<boolean> {
    const r = await this.remote(Proc.domainGetState, "domainGetState", writeDomain(new XdrWriter(), domain).u32(0));
    return r.i32() === DomainState.paused && r.i32() === PausedReason.ioError;
  }
  async domainXml(domain: Domain, flags = 0): Promise<string> {
    return (await this.remote(Proc.domainGetXmlDesc, "domainGetXMLDesc", writeDomain(new XdrWriter(), domain).u32(flags))).string();
  }
  async setAutostart(domain: Domain, on: boolean): Promise<void> {
    await this.remote(Proc.domainSetAutostart, "domainSetAutostart", writeDomain(new XdrWriter(), domain).i32(on ? 1 : 0));
  }
  /** Null: the domain has no metadata of this namespace. */
  async getMetadata(domain: Domain, uri: string): Promise<string | null> {
    try {
      const args = writeDomain(new XdrWriter(), domain).i32(Flag.metadataElement).optionalString(uri).u32(0);
      return (await this.remote(Proc.domainGetMetadata, "domainGetMetadata", args)).string();
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noDomainMetadata, ErrorCode.noDomain)) return null;
      throw error;
    }
  }
  /** Written to the persistent definition and, where it runs, to the live one. */
  async setMetadata(domain: Domain, uri: string, key: string, xml: string, live: boolean): Promise<void> {
    const args = writeDomain(new XdrWriter(), domain).i32(Flag.metadataElement).optionalString(xml).optionalString(key)
      .optionalString(uri).u32(Flag.affectConfig | (live ? Flag.affectLive : 0));
    await this.remote(Proc.domainSetMetadata, "domainSetMetadata", args);
  }

  /** Of a transient domain, which has no definition to write to. */
  async setLiveMetadata(domain: Domain, uri: string, key: string, xml: string): Promise<void> {
    const args = writeDomain(new XdrWriter(), domain).i32(Flag.metadataElement).optionalString(xml).optionalString(key)
      .optionalString(uri).u32(Flag.affectLive);
    await this.rpc.callUrgently(Program.remote, Proc.domainSetMetadata, "domainSetMetadata", args);
  }
  async resumeDomain(domain: Domain): Promise<void> {
    await this.remote(Proc.domainResume, "domainResume", writeDomain(new XdrWriter(), domain));
  }
  async hasManagedSave(domain: Domain): Promise<boolean> {
    return (await this.remote(Proc.domainHasManagedSaveImage, "domainHasManagedSaveImage", writeDomain(new XdrWriter(), domain).u32(0))).i32() === 1;
  }
  /** What a saved state will go on with, which its domain's definition need not be any more. */
  async managedSaveXml(domain: Domain): Promise<string> {
    return (await this.remote(Proc.domainManagedSaveGetXmlDesc, "domainManagedSaveGetXMLDesc", writeDomain(new XdrWriter(), domain).u32(0))).string();
  }

  // ---- hardware of one that runs, and of that alone
  async setLiveCpus(domain: Domain, count: number): Promise<void> {
    await this.remote(Proc.domainSetVcpusFlags, "domainSetVcpusFlags", writeDomain(new XdrWriter(), domain).u32(count).u32(Flag.affectLive), LONG_CALL_MS);
  }
  async setLiveMemory(domain: Domain, mebibytes: number): Promise<void> {
    await this.remote(Proc.domainSetMemoryFlags, "domainSetMemoryFlags", writeDomain(new XdrWriter(), domain).u64(mebibytes * 1024).u32(Flag.affectLive), LONG_CALL_MS);
  }
  async changeLiveDevice(domain: Domain, how: "Attach" | "Detach" | "Update", xml: string): Promise<void> {
    await this.remote(Proc[`domain${how}DeviceFlags`], `domain${how}DeviceFlags`, writeDomain(new XdrWriter(), domain).string(xml).u32(Flag.affectLive), LONG_CALL_MS);
  }

  // ---- block jobs
  async blockCommitActive(domain: Domain, disk: string): Promise<void> {
    const args = writeDomain(new XdrWriter(), domain).string(disk).optionalString(null).optionalString(null).u64(0)
      .u32(Flag.blockCommitActive);
    await this.remote(Proc.domainBlockCommit, "domainBlockCommit", args, LONG_CALL_MS);
  }
  /** Copies what stands in the disk's top image alone into one that exists; both stand on images of the same content. */
  async blockCopyTop(domain: Domain, disk: string, targetXml: string): Promise<void> {
    const noParameters = 0;
    const args = writeDomain(new XdrWriter(), domain).string(disk).string(targetXml).u32(noParameters)
      .u32(Flag.blockCopyShallow | Flag.blockCopyReuseExternal | Flag.blockCopyTransientJob);
    await this.remote(Proc.domainBlockCopy, "domainBlockCopy", args, LONG_CALL_MS);
  }
  /** Of a running guest, which is told of it. */
  async resizeDisk(domain: Domain, disk: string, bytes: number): Promise<void> {
    await this.remote(Proc.domainBlockResize, "domainBlockResize", writeDomain(new XdrWriter(), domain).string(disk).u64(bytes).u32(Flag.blockResizeBytes), LONG_CALL_MS);
  }
  async blockJobAbort(domain: Domain, disk: string): Promise<void> {
    await this.remote(Proc.domainBlockJobAbort, "domainBlockJobAbort", writeDomain(new XdrWriter(), domain).string(disk).u32(0), LONG_CALL_MS);
  }
  async blockJobInfo(domain: Domain, disk: string): Promise<BlockJobInfo | null> {
    const args = writeDomain(new XdrWriter(), domain).string(disk).u32(0);
    const r = await this.remote(Proc.domainGetBlockJobInfo, "domainGetBlockJobInfo", args);
    if (r.i32() === 0) return null;
    const type = r.i32();
    r.u64(); // bandwidth
    return { type, current: r.u64(), end: r.u64() };
  }
  async blockJobPivot(domain: Domain, disk: string): Promise<void> {
    const args = writeDomain(new XdrWriter(), domain).string(disk).u32(Flag.blockJobAbortPivot);
    await this.remote(Proc.domainBlockJobAbort, "domainBlockJobAbort", args, LONG_CALL_MS);
  }

  // ---- storage
  async lookupPool(name: string): Promise<Pool | null> {
    try {
      return readPool(await this.remote(Proc.storagePoolLookupByName, "storagePoolLookupByName", new XdrWriter().string(name)));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noStoragePool)) return null;
      throw error;
    }
  }
  async listPools(): Promise<Pool[]> {
    const args = new XdrWriter().i32(1).u32(0);
    return (await this.remote(Proc.connectListAllStoragePools, "connectListAllStoragePools", args)).list(readPool);
  }
  async listActivePools(): Promise<Pool[]> {
    const r = await this.remote(Proc.connectListAllStoragePools, "connectListAllStoragePools", new XdrWriter().i32(1).u32(Flag.listActivePools));
    return r.list(readPool);
  }
  async poolIsActive(pool: Pool): Promise<boolean> {
    return (await this.remote(Proc.storagePoolIsActive, "storagePoolIsActive", writePool(new XdrWriter(), pool))).i32() === 1;
  }
  async poolXml(pool: Pool): Promise<string> {
    return (await this.remote(Proc.storagePoolGetXmlDesc, "storagePoolGetXMLDesc", writePool(new XdrWriter(), pool).u32(0))).string();
  }
  /** Seconds the host's first processor has been running or idle, by the host's own count: since it started, about. */
  async nodeUpSeconds(): Promise<number> {
    const call = (count: number) => this.remote(Proc.nodeGetCpuStats, "nodeGetCPUStats", new XdrWriter().i32(0).i32(count).u32(0));
    const counted = await call(0);
    counted.list((r) => r);
    const times = (await call(counted.i32())).list((r) => ({ field: r.string(), ns: r.u64() }));
    return times.filter(({ field }) => ["user", "kernel", "idle", "iowait"].includes(field)).reduce((sum, { ns }) => sum + ns, 0) / 1e9;
  }
  async refreshPool(pool: Pool): Promise<void> {
    await this.remote(Proc.storagePoolRefresh, "storagePoolRefresh", writePool(new XdrWriter(), pool).u32(0), LONG_CALL_MS);
  }
  async poolInfo(pool: Pool): Promise<{ capacity: number; allocation: number; available: number }> {
    const r = await this.remote(Proc.storagePoolGetInfo, "storagePoolGetInfo", writePool(new XdrWriter(), pool));
    r.u32(); // state: an unsigned char takes four bytes
    return { capacity: r.u64(), allocation: r.u64(), available: r.u64() };
  }
  async listVolumes(pool: Pool): Promise<Volume[]> {
    const args = writePool(new XdrWriter(), pool).i32(1).u32(0);
    return (await this.remote(Proc.storagePoolListAllVolumes, "storagePoolListAllVolumes", args)).list(readVolume);
  }
  async lookupVolume(pool: Pool, name: string): Promise<Volume | null> {
    try {
      const args = writePool(new XdrWriter(), pool).string(name);
      return readVolume(await this.remote(Proc.storageVolLookupByName, "storageVolLookupByName", args));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noStorageVol)) return null;
      throw error;
    }
  }
  async lookupVolumeByPath(path: string): Promise<Volume | null> {
    try {
      return readVolume(await this.remote(Proc.storageVolLookupByPath, "storageVolLookupByPath", new XdrWriter().string(path)));
    } catch (error) {
      if (isLibvirtError(error, ErrorCode.noStorageVol)) return null;
      throw error;
    }
  }
  async createVolume(pool: Pool, xml: string): Promise<Volume> {
    const args = writePool(new XdrWriter(), pool).string(xml).u32(0);
    return readVolume(await this.remote(Proc.storageVolCreateXml, "storageVolCreateXML", args, LONG_CALL_MS));
  }
  async deleteVolume(volume: Volume): Promise<void> {
    await this.remote(Proc.storageVolDelete, "storageVolDelete", writeVolume(new XdrWriter(), volume).u32(0), LONG_CALL_MS);
  }
  /** Of an image that no guest has open. */
  async resizeVolume(volume: Volume, bytes: number): Promise<void> {
    await this.remote(Proc.storageVolResize, "storageVolResize", writeVolume(new XdrWriter(), volume).u64(bytes).u32(0), LONG_CALL_MS);
  }
  async volumeXml(volume: Volume): Promise<string> {
    return (await this.remote(Proc.storageVolGetXmlDesc, "storageVolGetXMLDesc", writeVolume(new XdrWriter(), volume).u32(0))).string();
  }
  /** Sends chunks into a volume from offset 0; holes are not sent. `length` is the whole in bytes. */
  async uploadVolume(volume: Volume, length: number, chunks: AsyncIterable<UploadChunk>, signal?: AbortSignal): Promise<void> {
    const args = writeVolume(new XdrWriter(), volume).u64(0).u64(length).u32(Flag.volUploadSparse);
    const { serial } = await this.rpc.callWithSerial(Program.remote, Proc.storageVolUpload, "storageVolUpload", args);
    await uploadStream(this.rpc, Proc.storageVolUpload, serial, chunks, signal);
  }

  /** Reads a volume's file, whatever format it is of. Past its end the answer is short, or empty. */
  async downloadVolume(volume: Volume, offset: number, length: number): Promise<Buffer> {
    if (length <= 0) return Buffer.alloc(0); // to the daemon, 0 is all there is
    const args = writeVolume(new XdrWriter(), volume).u64(offset).u64(length).u32(0);
    const { serial } = await this.rpc.callWithSerial(Program.remote, Proc.storageVolDownload, "storageVolDownload", args);
    return downloadStream(this.rpc, Proc.storageVolDownload, serial, length, LONG_CALL_MS);
  }

  /** Of the image that a disk of the domain has, by the disk's target name or its path, in bytes; `physical` is its file's length. */
  async blockInfo(domain: Domain, disk: string): Promise<{ allocation: number; capacity: number; physical: number }> {
    const r = await this.remote(Proc.domainGetBlockInfo, "domainGetBlockInfo", writeDomain(new XdrWriter(), domain).string(disk).u32(0));
    return { allocation: r.u64(), capacity: r.u64(), physical: r.u64() };
  }
  /** Reads the file of a domain's raw disk, `vda`: at most 4 MiB. @throws LibvirtError beyond its end */
  async peekDisk(domain: Domain, disk: string, offset: number, length: number): Promise<Buffer> {
    const args = writeDomain(new XdrWriter(), domain).string(disk).u64(offset).u32(length).u32(0);
    const r = await this.remote(Proc.domainBlockPeek, "domainBlockPeek", args);
    return Buffer.from(r.bytes(r.u32()));
  }

  // ---- QEMU's own monitor
  /** @throws QmpError when QEMU refuses, LibvirtError when the domain is gone. */
  async qmp<T = unknown>(domain: Domain, execute: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<T> {
    const command = JSON.stringify(args === undefined ? { execute } : { execute, arguments: args });
    const w = writeDomain(new XdrWriter(), domain).string(command).u32(0);
    const r = await this.qemu(QemuProc.domainMonitorCommand, `qemu ${execute}`, w, timeoutMs);
    const answer = JSON.parse(r.string()) as { return?: T; error?: { class: string; desc: string } };
    if (answer.error) throw new QmpError(execute, answer.error.class, answer.error.desc);
    return answer.return as T;
  }
}
