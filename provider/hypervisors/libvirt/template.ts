import { createHash } from "node:crypto";
import type { FleetSpec, ObservedTemplate, Problem } from "../../fleet/model";
import { describeFile } from "./localFile";
import type { LibvirtClient } from "./rpc/client";
import { DomainState } from "./rpc/protocol";
import type { HostSession } from "./session";
import { all, at, parseXml, text } from "./xml";
import { volumeFacts, type VolumeFacts } from "./volumes";

/** Where a template's bytes are, and that nobody writes them. */
export interface LocatedTemplate {
  observed: ObservedTemplate;
  /** Absent: a local file, not on any host yet. */
  path?: string;
}

export type TemplateFinding = { found: LocatedTemplate } | { problem: Problem };

/** Looks the declared template up. A domain that runs, or a volume that a running domain may write, is refused. */
export async function findTemplate(spec: FleetSpec, session: (name: string) => HostSession, signal?: AbortSignal): Promise<TemplateFinding> {
  const { template } = spec;
  if (template.kind === "file") return findFile(template.file, signal);
  const host = session(template.host);
  const refuse = (path: string, message: string): TemplateFinding => ({ problem: { path, message } });
  return host.run("look at template", async (client) => {
    let facts: VolumeFacts;
    if (template.kind === "volume") {
      const pool = await client.lookupPool(template.pool);
      if (!pool) return refuse("template.pool", `expected a storage pool of host ${host.name}, got ${JSON.stringify(template.pool)}, which it does not have`);
      const volume = await client.lookupVolume(pool, template.volume);
      if (!volume) return refuse("template.volume", `expected a volume of pool ${template.pool} on host ${host.name}, got ${JSON.stringify(template.volume)}, which it does not have`);
      facts = await volumeFacts(client, volume);
    } else {
      const domain = await client.lookupDomain(template.domain);
      if (!domain) return refuse("template.domain", `expected a domain of host ${host.name}, got ${JSON.stringify(template.domain)}, which it does not have`);
      const state = await client.domainState(domain);
      if (state !== DomainState.shutoff) {
        return refuse("template.domain", `expected a domain that does not run, but ${template.domain} on ${host.name} does: shut it down, a disk that changes cannot be copied`);
      }
      const path = firstDisk(await client.domainXml(domain));
      const volume = path === undefined ? null : await client.lookupVolumeByPath(path);
      if (!volume) return refuse("template.domain", `expected the first disk of ${template.domain} to be a volume of an active storage pool, got ${path ?? "no file"}`);
      facts = await volumeFacts(client, volume);
    }
    const writer = await runningWriter(client, facts.path);
    if (writer !== null) {
      return refuse(`template.${template.kind}`, `expected an image that nobody writes, but the running domain ${writer} on ${host.name} has it: shut it down`);
    }
    if (facts.capacityBytes % 512 !== 0) {
      return refuse(`template.${template.kind}`, `expected an image of whole 512-byte sectors, got ${facts.capacityBytes} bytes`);
    }
    return {
      found: {
        path: facts.path,
        observed: {
          contentId: volumeContentId(await host.uuid(), facts), host: host.name, capacityBytes: facts.capacityBytes,
          allocationBytes: facts.allocationBytes, format: facts.format,
        },
      },
    };
  });
}

async function findFile(file: string, signal: AbortSignal | undefined): Promise<TemplateFinding> {
  try {
    const found = await describeFile(file, signal);
    return {
      found: {
        observed: {
          contentId: found.sha256, capacityBytes: found.capacityBytes, allocationBytes: found.allocationBytes, format: found.format,
        },
      },
    };
  } catch (error) {
    signal?.throwIfAborted();
    return { problem: { path: "template.file", message: `expected a readable qcow2 or raw image, got ${JSON.stringify(file)}: ${(error as Error).message}` } };
  }
}

/** DESIGN.md section 1, content id of a volume: anything written to it changes the mtime. */
export function volumeContentId(hostUuid: string, facts: VolumeFacts): string {
  return createHash("sha256").update([hostUuid, facts.key, String(facts.capacityBytes), facts.mtime].join("\0")).digest("hex");
}

function firstDisk(domainXml: string): string | undefined {
  const disk = all(parseXml(domainXml), "domain", "devices", "disk").find((d) => (text(d, "@device") ?? "disk") === "disk");
  return text(disk, "source", "@file");
}

/** Name of a running domain that holds this file as a writable disk. */
async function runningWriter(client: LibvirtClient, path: string): Promise<string | null> {
  for (const domain of await client.listDomains()) {
    if (domain.id < 0) continue;
    const disks = all(at(parseXml(await client.domainXml(domain).catch(() => "<domain/>")), "domain", "devices"), "disk");
    const writes = disks.some((disk) => text(disk, "source", "@file") === path && at(disk, "readonly") === undefined);
    if (writes) return domain.name;
  }
  return null;
}
