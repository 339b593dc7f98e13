/**
 * kill -9 of the provider, and of the CLI alone, at seeded instants of uploads, copies, definitions, freezes, merges
 * and removals; the next command, at once, completes. What is so is said by virsh and qemu-img.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ClonedVmFleetArgs } from "../../sdk";
import { buildImage, installTemplate } from "../lab";
import { random } from "../random";
import { cannotRun, ensureLab, labFleet, type Lab, openStack, type TestStack, virsh } from "./harness";

const { ClonedVmFleet } = require("pulumi-vmfleet") as typeof import("../../sdk");

const SEED = Number(process.env["VMFLEET_CHAOS_SEED"] ?? 20_261_121);
const INSTANTS = Number(process.env["VMFLEET_CHAOS_INSTANTS"] ?? 32);
const MIB = 1 << 20;
const SIZE = { virtualBytes: 64 * MIB, dataBytes: 24 * MIB };
/** What the guest writes at the start of its disk. */
const GUEST_BYTES = 4096;

interface Process {
  pid: number;
  parent: number;
  command: string;
}
function processes(): Process[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      return [{ pid: Number(name), parent, command: readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ") }];
    } catch {
      return []; // it ended meanwhile
    }
  });
}
/** Of the `up` that this process runs: the CLI, and the provider below it. */
function victims(): { cli?: number; provider?: number } {
  const all = processes();
  const below = (pid: number): Process[] => all.filter((p) => p.parent === pid).flatMap((p) => [p, ...below(p.pid)]);
  const mine = below(process.pid);
  return {
    cli: mine.find((p) => /(^|\/)pulumi (up|destroy)/.test(p.command))?.pid,
    provider: mine.find((p) => /node .*dynamic-provider/.test(p.command))?.pid,
  };
}

const KINDS = ["create from a file", "grow", "shrink", "destroy", "create from a volume", "grow keeping seeds", "shrink and merge", "destroy"] as const;
type Kind = (typeof KINDS)[number];

describe(`a fleet survives kill -9 at any instant (seed ${SEED})`, function () {
  this.timeout(180_000);
  let lab: Lab;
  let test: TestStack;
  let dir: string;
  let file: string;
  let args: Record<string, unknown>;
  let foreign: string[] = [];
  const seconds = new Map<Kind, number>();
  const next = random(SEED);

  before(async function () {
    if (await cannotRun()) return this.skip();
    lab = await ensureLab();
    dir = mkdtempSync(join(tmpdir(), "vmfleet-chaos-"));
    file = join(dir, "template.qcow2");
    copyFileSync((await buildImage(SIZE)).disk, file);
    await installTemplate({ name: lab.name, host: "a1", volume: "chaos.qcow2", ...SIZE });
    foreign = ours(); // other tests' fleets, if one of them failed
    test = await openStack("chaos", { program: async () => { new ClonedVmFleet("fleet", args as unknown as ClonedVmFleetArgs); } });
  });
  after(async () => {
    await test?.close();
    if (dir) rmSync(dir, { recursive: true });
  });

  const declared = (kind: Kind): Record<string, unknown> => {
    const volume = { template: { host: "a1", pool: "default", volume: "chaos.qcow2" } };
    const local = { template: { file } };
    const common = { namePrefix: "chaos", policy: "rounds", shutdownTimeout: 0, lockTimeout: 60 };
    switch (kind) {
      case "create from a file": return labFleet(lab, { ...common, ...local, count: 3 });
      case "grow": return labFleet(lab, { ...common, ...local, count: 6 });
      case "shrink": return labFleet(lab, { ...common, ...local, count: 2 });
      case "create from a volume": return labFleet(lab, { ...common, ...volume, count: 4 });
      case "grow keeping seeds": return labFleet(lab, { ...common, ...volume, count: 7, keepSeeds: "rack" });
      case "shrink and merge": return labFleet(lab, { ...common, ...volume, count: 3 });
      case "destroy": return args;
    }
  };
  const perform = (kind: Kind): Promise<unknown> => (kind === "destroy" ? test.destroy() : test.up());

  /** What virsh and qemu-img say of the fleet on every host. */
  function assertWhole(kind: Kind): void {
    const members = lab.hosts.flatMap(({ name: host }) => domains(host, "chaos-").map((name) => ({ host, name })));
    if (kind === "destroy") return assert.deepEqual(ours(), []);
    assert.equal(members.length, args["count"]);
    const used = new Set<string>();
    for (const { host, name } of members) {
      assert.equal(virsh(lab, host, "domstate", name), "running");
      // The first is the one that was cloned, the last what tells its guest who it is.
      const [disk, ...others] = virsh(lab, host, "-q", "domblklist", name).trim().split("\n").map((line) => line.trim().split(/\s+/).at(-1)!) as [string, ...string[]];
      assert.equal(others.length, 1);
      for (const image of [...chain(disk), ...others]) used.add(`${host}: ${image}`);
      const checked = JSON.parse(tolerant("qemu-img", "check", "-U", "--output=json", disk)) as Record<string, number>;
      assert.equal((checked["corruptions"] ?? 0) + (checked["check-errors"] ?? 0), 0, `${disk} is sound`);
      const compared = tolerant("qemu-img", "compare", "-U", disk, file);
      const differs = /offset (\d+)/.exec(compared);
      assert.ok(/identical/.test(compared) || Number(differs?.[1]) < GUEST_BYTES, `${disk}: ${compared}`);
    }
    // All that bears our names: the members' disks, and the upload of a local file with its mark.
    const others = ours().filter((line) => !used.has(line) && !/: \S*\.template\.\w+\.(qcow2|complete)$/.test(line));
    assert.deepEqual(others, []);
  }
  const domains = (host: string, prefix: string): string[] =>
    virsh(lab, host, "list", "--all", "--name").split("\n").map((l) => l.trim()).filter((l) => l.startsWith(prefix));
  const ours = (): string[] => named().filter((line) => !foreign.includes(line));
  const named = (): string[] => lab.hosts.flatMap(({ name: host, poolDir }) => [
    ...domains(host, "vmfleet-").map((name) => `${host}: domain ${name}`),
    ...readdirSync(poolDir).filter((name) => name.startsWith("vmfleet-")).map((name) => `${host}: ${join(poolDir, name)}`),
  ]);
  const chain = (disk: string): string[] =>
    (JSON.parse(tolerant("qemu-img", "info", "-U", "--backing-chain", "--output=json", disk)) as { filename: string }[]).map((i) => i.filename);
  function tolerant(command: string, ...argv: string[]): string {
    try {
      return execFileSync(command, argv, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      return String((error as { stdout: string }).stdout);
    }
  }

  it("goes through the cycle undisturbed, which gives the time each step takes", async function () {
    for (const kind of KINDS) {
      args = declared(kind);
      const start = Date.now();
      await perform(kind);
      seconds.set(kind, (Date.now() - start) / 1000);
      assertWhole(kind);
    }
  });

  for (let i = 0; i < INSTANTS; i++) {
    const kind = KINDS[i % KINDS.length]!;
    const victim = (Math.floor(i / KINDS.length) + i) % 2 === 0 ? "provider" : "cli";
    const fraction = next();
    it(`${i + 1}: kill -9 of the ${victim} at ${Math.round(fraction * 100)} % of "${kind}"`, async () => {
      args = declared(kind);
      let outcome = "not begun";
      const running = perform(kind).then(() => { outcome = "done"; }, () => { outcome = "failed"; });
      await untilProviderRuns(() => outcome !== "not begun");
      // From the provider's start on; what comes before is Pulumi's own.
      await new Promise((resolve) => setTimeout(resolve, fraction * Math.max(1, seconds.get(kind)! - 2) * 1000));
      const { [victim]: pid, provider } = victims();
      if (pid !== undefined) process.kill(pid, "SIGKILL");
      await running;
      if (outcome === "failed") {
        await test.stack.cancel().catch(() => undefined); // Pulumi's own lock, where the CLI died holding it
        await perform(kind);
      }
      assertWhole(kind);
      // A provider whose CLI died before it was asked anything never ran a line of ours: it sits there, idle, for ever.
      if (victim === "cli" && provider !== undefined && processes().some((p) => p.pid === provider && /dynamic-provider/.test(p.command))) process.kill(provider);
    });
  }

  async function untilProviderRuns(ended: () => boolean): Promise<void> {
    while (victims().provider === undefined && !ended()) await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

