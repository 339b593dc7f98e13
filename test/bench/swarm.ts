/** A BitTorrent swarm on the lab's hosts, one peer each, as a yardstick: libtorrent of PyPI, in a venv in the cache. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { copyFile, mkdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { CACHE_DIR, run } from "../lab";
import type { Lab, LabHost } from "../lab/lab.mjs";
import { readCounters, trafficBetween, type TrafficCounts } from "./counters";
import { differences } from "./identical";
import { watchCpu } from "./machine";

/** Outside the hosts' transferPorts. */
const PORT = 6881;
const PEER = join(__dirname, "swarm", "peer.py");
const INSTALL_TIMEOUT_MS = 600_000;
const HASH_TIMEOUT_MS = 600_000;
const COPY_TIMEOUT_MS = 1_800_000;

export interface SwarmRun {
  kind: "swarm";
  /** From the peers' start, whose files are known already, to the last one that has every byte. */
  copySeconds: number;
  traffic: TrafficCounts;
  cpuBusyShare: number;
  faults: string[];
}

export class Swarm {
  private constructor(private readonly lab: Lab, private readonly python: string, private readonly source: string) {}

  private readonly folder = (host: LabHost): string => join(host.dataDir, "bench-swarm");
  private get torrent(): string {
    return join(this.folder(this.lab.hosts[0]!), "image.torrent");
  }

  /** @param source the template's file, on the first host */
  static async prepare(lab: Lab, source: string, log: (line: string) => void): Promise<Swarm> {
    const swarm = new Swarm(lab, await libtorrent(log), source);
    const first = swarm.folder(lab.hosts[0]!);
    await mkdir(first, { recursive: true });
    const seeded = join(first, basename(source));
    if (!existsSync(seeded) || (await stat(seeded)).size !== (await stat(source)).size) {
      await copyFile(source, seeded);
      await run([swarm.python, PEER, "make", seeded, swarm.torrent], { timeoutMs: HASH_TIMEOUT_MS });
    }
    return swarm;
  }

  async copy(): Promise<SwarmRun> {
    const { lab } = this;
    const targets = lab.hosts.slice(1);
    for (const host of targets) await mkdir(this.folder(host), { recursive: true });
    const before = await readCounters(lab);
    const cpuBusy = watchCpu();
    const startMs = performance.now();
    const peers = lab.hosts.map((host, i) => this.start(host, i === 0 ? "seed" : "leech"));
    try {
      await Promise.race([
        Promise.all(peers.slice(1).map(({ done }) => done)), peers[0]!.done,
        new Promise((_, reject) => { setTimeout(() => reject(new Error("the swarm takes too long")), COPY_TIMEOUT_MS).unref(); }),
      ]);
      const copySeconds = (performance.now() - startMs) / 1000;
      const cpuBusyShare = cpuBusy();
      const traffic = trafficBetween(before, await readCounters(lab));
      await Promise.all(peers.map(end));
      const faults = await differences(this.source, targets.map((host) => join(this.folder(host), basename(this.source))));
      return { kind: "swarm", copySeconds, traffic, cpuBusyShare, faults };
    } finally {
      await Promise.all(peers.map(end));
      for (const host of targets) await rm(this.folder(host), { recursive: true, force: true });
    }
  }

  async remove(): Promise<void> {
    for (const host of this.lab.hosts) await rm(this.folder(host), { recursive: true, force: true });
  }

  private start(host: LabHost, role: "seed" | "leech"): Peer {
    const others = this.lab.hosts.filter((other) => other !== host).map(({ address }) => address);
    const child = spawn(
      "ip", ["netns", "exec", host.netns, this.python, PEER, role, this.torrent, this.folder(host), host.address, String(PORT), ...others],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => { errors += text; });
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const done = new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      child.once("error", reject);
      void ended.then(() => reject(new Error(`the peer on ${host.name} ended: ${errors.trim()}`)));
    });
    done.catch(() => undefined); // awaited by copy(), unless another one failed first
    return { child, done, ended };
  }
}

interface Peer {
  child: ChildProcess;
  done: Promise<void>;
  ended: Promise<void>;
}

async function end({ child, ended }: Peer): Promise<void> {
  child.kill("SIGKILL");
  await ended;
}

/** @returns a Python that has libtorrent; installed at the first time */
async function libtorrent(log: (line: string) => void): Promise<string> {
  const venv = join(CACHE_DIR, "libtorrent");
  const python = join(venv, "bin", "python");
  if (existsSync(python)) return python;
  log("installing libtorrent of PyPI into the cache");
  const work = `${venv}.work-${process.pid}`;
  try {
    await run(["python3", "-m", "venv", work], { timeoutMs: INSTALL_TIMEOUT_MS });
    await run([join(work, "bin", "python"), "-m", "pip", "install", "--quiet", "libtorrent"], { timeoutMs: INSTALL_TIMEOUT_MS });
    renameSync(work, venv); // what is called by its full path works wherever the folder is
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return python;
}
