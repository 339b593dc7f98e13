import { SourceLostError } from "../../hypervisor";
import type { Copy, ImageFacts } from "./copies";
import type { BackingXml } from "../xml/domainXml";
import type { Extent } from "../holes/extents";
import { Helper, type HelperSettings } from "../helper/helper";
import type { NbdExport } from "../helper/nodes";
import { Scan } from "../holes/scan";
import type { HostSession } from "../connection/session";

/** A finished image on a host. */
export interface Source extends ImageFacts {
  session: HostSession;
  path: string;
  format: string;
  /** What it stands on, each with its format; nothing but the template stands on anything. */
  backing: BackingXml | null;
  /** How long its holes may be looked for; 0: it is not worth it, all of it counts as data. */
  scanSeconds: number;
}

/** What an image reference stands for. `local`: a finished image on the target's own host, read without a network. */
export type Resolved =
  | { kind: "arriving"; copy: Copy; local: boolean }
  | { kind: "finished"; source: Source; local: boolean };

/** What a copy reads from: one export for one reader. */
export interface Feed {
  host: string;
  /** Absent: the target's helper opened the image itself. */
  at?: NbdExport;
  /** And which file that is. */
  localPath?: string;
  /** Set when it is a copy that is still arriving itself. */
  upstream?: Copy;
  epoch: number;
  /** What of the image is data; undefined: nobody says. */
  extents(): Promise<readonly Extent[] | undefined>;
  close(): Promise<void>;
}

/** Opens what a copy reads from. */
export function openFeed(
  from: Resolved, exporters: Exporters, targetHost: string, settings: HelperSettings,
): Promise<Feed> {
  if (from.kind === "arriving") return relayFeed(from.copy, targetHost);
  if (!from.local) return exporters.open(from.source, targetHost, settings);
  return Promise.resolve({ host: from.source.session.name, localPath: from.source.path, epoch: 0, extents: () => Promise.resolve(undefined), close: () => Promise.resolve() });
}

/** A relay's export: waits until the relay has a helper. */
async function relayFeed(upstream: Copy, targetHost: string): Promise<Feed> {
  return { host: upstream.host, upstream, extents: () => upstream.extents.wait(), ...(await upstream.serve(targetHost)) };
}

interface Shared {
  helper: Promise<Helper>;
  readers: number;
  /** Of an image with holes worth knowing. */
  scan?: Promise<Scan | undefined>;
  extents?: Promise<readonly Extent[] | undefined>;
}

/** One read-only helper per finished image, however many read it at a time; gone with its last reader. */
export class Exporters {
  private readonly shared = new Map<string, Shared>();

  async open(source: Source, targetHost: string, settings: HelperSettings): Promise<Feed> {
    const key = `${source.session.name}\0${source.path}`;
    let shared = this.shared.get(key);
    if (!shared) {
      const scan = source.scanSeconds > 0 ? Scan.prepare(source, settings) : undefined;
      shared = { helper: startExporter(source, settings, scan), readers: 0, scan };
      this.shared.set(key, shared);
    }
    const mine = shared;
    mine.readers++;
    const leave = async (): Promise<void> => {
      if (--mine.readers > 0) return;
      if (this.shared.get(key) === mine) this.shared.delete(key);
      await mine.helper.then((helper) => helper.dismiss(), () => undefined);
      await (await mine.scan)?.remove();
    };
    try {
      const helper = await mine.helper;
      const at = await source.session.run("export", async () => helper.exportNode(await helper.topNode()));
      return {
        host: source.session.name, at, epoch: 0,
        extents: () => mine.extents ??= Promise.resolve(mine.scan).then((scan) => scan?.run(helper)),
        close: async () => {
          if (mine.readers > 1) await helper.unexport(at);
          await leave();
        },
      };
    } catch (error) {
      // Whoever comes next tries a helper of its own: this one may be dead.
      if (this.shared.get(key) === mine) this.shared.delete(key);
      void leave();
      throw new SourceLostError(source.session.name, targetHost, (error as Error).message, { cause: error });
    }
  }
}

async function startExporter(source: Source, settings: HelperSettings, scan?: Promise<Scan | undefined>): Promise<Helper> {
  const disk = (await scan)?.disk;
  return Helper.start(source.session, settings, [{ path: source.path, format: source.format, backing: source.backing, readOnly: true }, ...(disk ? [disk] : [])]);
}
