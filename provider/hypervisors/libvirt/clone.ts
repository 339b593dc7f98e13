import { setTimeout as sleep } from "node:timers/promises";
import { HypervisorError, SourceLostError, TemplateChangedError, type CallContext, type CloneOrder, type CloneResult } from "../hypervisor";
import type { BackingXml } from "./domainXml";
import { Helper, type HelperSettings } from "./helper";
import { markerName, targetVolumeName } from "./images";
import { describeFile, uploadChunks } from "./localFile";
import { pull, TOP_NODE } from "./pull";
import type { HostSession } from "./session";
import type { VolumeScope } from "./names";
import { deleteVolume, ensureVolume, volumeFacts, type VolumeFacts } from "./volumes";

const STOP_PATIENCE_MS = 3_000;

export interface Source {
  session: HostSession;
  path: string;
  format: string;
  capacityBytes: number;
  allocationBytes: number;
}

export interface CloneSettings extends Omit<HelperSettings, "fleetId"> {
  stallMs: number;
}

/**
 * One copy between hosts or on one host. The source's helper exports the image over NBD, the target's reads it
 * through a copy-on-read filter; on one host the target's helper opens the source itself. What fails or is aborted
 * is removed again, as far as the host still answers.
 */
export async function cloneImage(
  order: CloneOrder, source: Source, target: { session: HostSession; scope: VolumeScope }, settings: CloneSettings,
  context: CallContext = {},
): Promise<CloneResult> {
  const helpers = { ...settings, fleetId: order.fleet.fleetId };
  const name = targetVolumeName(target.scope, order.target);
  const local = source.session === target.session;
  const { pool } = await target.session.pool();
  const started: Helper[] = [];
  try {
    context.signal?.throwIfAborted();
    const [backing, path] = await settleAll([
      local
        ? Promise.resolve<BackingXml>({ kind: "file", path: source.path, format: source.format })
        : exportSource(source, target.session.name, helpers, started),
      freshVolume(target.session, name, order.target.kind === "replica" ? markerName(target.scope, order.target) : undefined, source.capacityBytes),
    ]);
    context.signal?.throwIfAborted();
    const helper = await startTarget(target.session, source, helpers, { path, backing, local }, started);
    await target.session.run("clone", () => pull(helper, {
      sourceHost: source.session.name, capacityBytes: source.capacityBytes, allocationBytes: source.allocationBytes,
      stallMs: settings.stallMs, remote: !local,
    }, context));
    const [exporter] = local ? [] : started;
    await Promise.all([target.session.run("flush", () => helper.finish(TOP_NODE)), exporter?.stop()]);
  } catch (error) {
    // A source that died does not answer; its helper dies with our connection, and the next source need not wait.
    await Promise.race([Promise.all(started.map((helper) => helper.stop())), sleep(STOP_PATIENCE_MS)]);
    await target.session.run("clean up", (client) => deleteVolume(client, pool, name)).catch(() => undefined);
    throw error;
  }
  return { bytesMoved: local ? 0 : source.allocationBytes };
}

/** Waits for all before it throws, so that nothing is started behind the back of the clean-up. */
async function settleAll<A, B>(promises: [Promise<A>, Promise<B>]): Promise<[A, B]> {
  const settled = await Promise.allSettled(promises);
  for (const result of settled) if (result.status === "rejected") throw result.reason;
  return [(settled[0] as PromiseFulfilledResult<A>).value, (settled[1] as PromiseFulfilledResult<B>).value];
}

async function exportSource(source: Source, targetHost: string, settings: HelperSettings, started: Helper[]): Promise<BackingXml> {
  try {
    const helper = await Helper.start(source.session, settings, [{ path: source.path, format: source.format, readOnly: true }]);
    started.push(helper);
    const at = await source.session.run("export", async () => helper.exportNode(await helper.topNode()));
    return { kind: "nbd", ...at };
  } catch (error) {
    throw new SourceLostError(source.session.name, targetHost, (error as Error).message, { cause: error });
  }
}

async function startTarget(
  session: HostSession, source: Source, settings: HelperSettings,
  disk: { path: string; backing: BackingXml; local: boolean }, started: Helper[],
): Promise<Helper> {
  try {
    const helper = await Helper.start(session, settings, [{ path: disk.path, format: "qcow2", copyOnRead: true, backing: disk.backing }]);
    started.push(helper);
    return helper;
  } catch (error) {
    // QEMU opens the export at its start, so a source that died by then shows up here.
    if (!disk.local && /nbd|connect|Requested export/i.test((error as Error).message)) {
      throw new SourceLostError(source.session.name, session.name, (error as Error).message, { cause: error });
    }
    throw error;
  }
}

async function freshVolume(session: HostSession, name: string, marker: string | undefined, capacityBytes: number): Promise<string> {
  const { pool } = await session.pool();
  return session.run("make volume", async (client) => {
    if (marker !== undefined) await deleteVolume(client, pool, marker); // first: what is being rewritten is not whole
    await deleteVolume(client, pool, name);
    const volume = await ensureVolume(client, pool, name, capacityBytes, "qcow2");
    return (await volumeFacts(client, volume)).path;
  });
}

/** A local file goes up once, over a connection of its own, holes left out. */
export async function uploadTemplate(
  order: CloneOrder, file: string, target: { session: HostSession; scope: VolumeScope }, context: CallContext = {},
): Promise<CloneResult> {
  if (order.target.kind !== "replica") throw new HypervisorError(target.session.name, "upload", "a local file is uploaded as a template only");
  const image = await describeFile(file);
  if (image.sha256 !== order.contentId) {
    throw new TemplateChangedError(target.session.name, "upload", `${file} changed during the run: expected content ${order.contentId.slice(0, 12)}, got ${image.sha256.slice(0, 12)}`);
  }
  const name = targetVolumeName(target.scope, order.target, image.format);
  const { pool } = await target.session.pool();
  const extra = await target.session.openExtra();
  try {
    const marker = markerName(target.scope, order.target);
    await target.session.run("upload", async (client) => {
      await deleteVolume(client, pool, marker); // first: what is being rewritten is not whole
      await deleteVolume(client, pool, name);
      // Made raw, whatever is in it: the upload replaces every byte, a qcow2 header of libvirt's own would be in the way.
      const volume = await ensureVolume(client, pool, name, image.fileBytes, "raw");
      const chunks = uploadChunks(file, (read) => context.onProgress?.(Math.round((read / image.fileBytes) * image.allocationBytes), image.allocationBytes));
      await extra.uploadVolume(volume, image.fileBytes, chunks, context.signal);
      await client.refreshPool(pool);
    });
    if ((await describeFile(file)).sha256 !== order.contentId) {
      throw new TemplateChangedError(target.session.name, "upload", `${file} changed while it was uploaded`);
    }
    await markComplete(order, target);
  } catch (error) {
    await target.session.run("clean up", (client) => deleteVolume(client, pool, name)).catch(() => undefined);
    throw error;
  } finally {
    extra.close();
  }
  return { bytesMoved: image.allocationBytes };
}

/** A replica is whole from the moment its marker exists; making a volume is one atomic call. */
export async function markComplete(order: CloneOrder, target: { session: HostSession; scope: VolumeScope }): Promise<void> {
  const ref = order.target;
  if (ref.kind !== "replica") return;
  const { pool } = await target.session.pool();
  await target.session.run("mark", (client) => ensureVolume(client, pool, markerName(target.scope, ref), 1, "raw"));
}

export async function sourceFacts(session: HostSession, volumeName: string, targetHost: string): Promise<VolumeFacts> {
  const { pool } = await session.pool();
  return session.run("look at source", async (client) => {
    const volume = await client.lookupVolume(pool, volumeName);
    if (!volume) throw new SourceLostError(session.name, targetHost, `no volume ${volumeName} on ${session.name}: removed by hand?`);
    return volumeFacts(client, volume);
  });
}
