/** What a killed run leaves, and how the next one goes on from it. */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { imageOf } from "../../../provider/fleet";
import type { FleetSpec, Image, Leftover, ReachableHost } from "../../../provider/fleet/model";
import type { CloneOrder, FleetIdentity, Hypervisor } from "../../../provider/hypervisors/hypervisor";
import { createLibvirt } from "../../../provider/hypervisors/libvirt";
import { freshFleetId, inventory, lab, labInputs, labStatus, specOf, virsh, type LabHost } from "./labFleet";

const run = promisify(execFile);
const MIB = 1 << 20;
const DATA = 96 * MIB;

describe("copies that a killed run left", function () {
  this.timeout(180_000);
  let hosts: LabHost[];
  let from: LabHost;
  let to: LabHost;
  let inputs: Record<string, unknown>;
  let spec: FleetSpec;
  let hv: Hypervisor;
  let fleet: FleetIdentity;
  let image: Image;
  let contentId: string;
  let templatePath: string;

  before(async () => {
    hosts = (await labStatus()).hosts;
    [from, to] = [hosts[0]!, hosts[2]!];
    const lot = await labInputs({ dataBytes: DATA, virtualBytes: 256 * MIB });
    templatePath = join(from.poolDir, (lot.template as { volume: string }).volume);
    // Slow enough to be caught in the middle.
    inputs = { ...lot, count: 1, hosts: (lot.hosts as { name: string }[]).map((host) => ({ ...host, ...(host.name === from.name && { transferRateBitsPerSecond: 2e8 }) })) };
    spec = specOf(inputs);
  });
  beforeEach(async () => {
    fleet = { fleetId: freshFleetId(), incarnation: "one", namePrefix: "resume" };
    hv = createLibvirt({ spec });
    image = imageOf((await hv.observe(request())).template!);
    ({ contentId } = image);
  });
  afterEach(async () => {
    await hv.close();
    await helpersGone();
    for (const host of hosts) {
      for (const volume of (await inventory(host)).volumes) if (volume.includes(fleet.fleetId)) await virsh(host, "vol-delete", volume, "default");
    }
  });

  const request = () => ({ fleetId: fleet.fleetId, namePrefix: "resume", hosts: spec.hosts, spec, deadlineMs: 20_000, preflight: false });
  const helpersGone = () => lab.until(
    async () => (await Promise.all(hosts.map(inventory))).every((i) => !i.domains.some((d) => d.includes(fleet.fleetId))), { timeoutMs: 60_000, what: "helpers to go" },
  );
  const order = (target: CloneOrder["target"] = { kind: "base", host: to.name, slot: 0, generation: 0, name: "resume-000" }): CloneOrder =>
    ({ fleet, image, source: { kind: "template", host: from.name }, target });
  const leftovers = async (host = to): Promise<Leftover[]> =>
    ((await hv.observe(request())).hosts.find((h) => h.name === host.name) as ReachableHost).leftovers.filter((p) => p.kind === "volume");
  const volumes = async (): Promise<string[]> => (await inventory(to)).volumes.filter((v) => v.includes(fleet.fleetId));
  const imageFile = async (): Promise<string> => join(to.poolDir, (await volumes()).find((v) => v.endsWith(".qcow2"))!);
  async function assertIdentical(): Promise<void> {
    const file = await imageFile();
    await run("qemu-img", ["compare", "-U", file, templatePath]);
    const { stdout } = await run("qemu-img", ["check", file]);
    assert.match(stdout, /No errors were found/);
    const { stdout: info } = await run("qemu-img", ["info", "--output=json", file]);
    const { data } = (JSON.parse(info) as { "format-specific": { data: Record<string, unknown> } })["format-specific"];
    assert.equal(data["lazy-refcounts"], false, "nothing of how it was written stays in the image");
    assert.doesNotMatch(info, /backing-filename/);
  }

  /** Copies in a process of its own until this many bytes are there, then does what it is told to it. */
  async function copyUntil(bytes: number, what: CloneOrder, act: (pid: number) => Promise<void> | void): Promise<void> {
    const child = spawn(process.execPath, ["--require", require.resolve("tsx/cjs"), join(__dirname, "resumeChild.ts"), JSON.stringify({ inputs, order: what })], { stdio: ["ignore", "pipe", "inherit"] });
    let acted: Promise<void> | undefined;
    let text = "";
    child.stdout.on("data", (data: Buffer) => {
      text += data.toString();
      const done = Number(text.trim().split("\n").at(-1));
      if (done > bytes) acted ??= Promise.resolve(act(child.pid!));
    });
    await new Promise((resolve) => child.on("close", resolve));
    assert.ok(acted, "it was under way");
    await acted;
    await helpersGone();
  }
  const helperPids = async (host: LabHost): Promise<number[]> => {
    const dir = join(host.runDir, "run", "qemu");
    const files = (await readdir(dir)).filter((name) => name.startsWith("vmfleet-helper") && name.endsWith(".pid"));
    return Promise.all(files.map(async (file) => Number(await readFile(join(dir, file), "utf8"))));
  };
  /** @returns bytes that came in over the target's card meanwhile */
  async function resume(what = order()): Promise<{ arrived: number; moved: number; resent: number }> {
    const before = (await lab.nicBytes(to)).rx;
    const { bytesMoved, bytesResent = 0 } = await hv.clone(what);
    return { arrived: (await lab.nicBytes(to)).rx - before, moved: bytesMoved, resent: bytesResent };
  }

  for (const kind of ["base", "replica"] as const) {
    it(`are gone on with after kill -9 of the provider, a ${kind} fetching only the rest`, async () => {
      const what = order(kind === "base" ? undefined : { kind, purpose: "replica", host: to.name, contentId });
      await copyUntil(DATA / 2, what, (pid) => void process.kill(pid, "SIGKILL"));
      // The map of a sparse image is the killed copy's own: the next one makes another.
      const [leftover, ...others] = (await leftovers()).filter(({ name }) => !name.includes(".map."));
      assert.deepEqual([leftover?.resumable, others], [{ contentId }, []]);
      const missing = DATA - leftover!.bytes;
      const { arrived, moved } = await resume(what);
      assert.ok(arrived < missing * 1.1 + MIB, `${arrived} came in of ${missing} missing`);
      assert.ok(Math.abs(moved - arrived) < 0.1 * arrived + 2 * MIB, `told as ${moved}`);
      await assertIdentical();
      if (kind === "replica") assert.deepEqual((await volumes()).filter((v) => v.includes(".arriving.")), []);
    });
  }

  it("are whole and checked although the helper's QEMU was killed in the middle", async () => {
    await copyUntil(DATA / 2, order(), async (pid) => {
      process.kill(pid, "SIGSTOP"); // so that it cannot start another helper
      for (const qemu of await helperPids(to)) process.kill(qemu, "SIGKILL");
      process.kill(pid, "SIGKILL");
    });
    const file = await imageFile();
    const { stdout: info } = await run("qemu-img", ["info", "--output=json", file]);
    assert.equal((JSON.parse(info) as { "dirty-flag": boolean })["dirty-flag"], true, "QEMU will check it");
    const { arrived, moved, resent } = await resume();
    assert.ok(arrived < DATA * 1.1);
    assert.ok(moved - resent < DATA * 0.9, `${resent} told as fetched again of ${moved}`);
    await assertIdentical();
  });

  it("of the host's own image are gone on with as well", async () => {
    const local = order({ kind: "base", host: from.name, slot: 0, generation: 0, name: "resume-000" });
    const abort = new AbortController();
    await assert.rejects(hv.clone(local, { signal: abort.signal, onProgress: (done) => { if (done > DATA / 8) abort.abort(new Error("enough")); } }));
    await hv.clone(local);
    const file = join(from.poolDir, (await inventory(from)).volumes.find((v) => v.includes(fleet.fleetId) && v.endsWith(".base.qcow2"))!);
    await run("qemu-img", ["compare", "-U", file, templatePath]);
    await run("qemu-img", ["check", file]);
  });

  it("that were complete but without a member are found complete, and nothing is fetched", async () => {
    await hv.clone(order());
    const [leftover] = await leftovers();
    assert.deepEqual(leftover?.resumable, { contentId });
    const { arrived, moved } = await resume();
    assert.ok(arrived < 2 * MIB && moved < 2 * MIB, `${arrived} came in, told as ${moved}`);
    await assertIdentical();
  });

  it("are not trusted when their host has started again since", async () => {
    const abort = new AbortController();
    await assert.rejects(hv.clone(order(), { signal: abort.signal, onProgress: (done) => { if (done > DATA / 2) abort.abort(new Error("enough")); } }));
    const mark = (await volumes()).find((v) => v.includes(".arriving."))!;
    const [, boot, up] = /\.(\d+)-(\d+)$/.exec(mark)!;
    assert.ok(Math.abs(Date.now() / 1000 - Number(boot) - Number(up)) < 300);
    await virsh(to, "vol-delete", mark, "default");
    await virsh(to, "vol-create-as", "default", mark.replace(/\d+-\d+$/, `${Number(boot) - 86_400}-86000`), "1", "--format", "raw");
    assert.deepEqual((await leftovers()).map((p) => p.resumable), [undefined, undefined]);
    const { arrived } = await resume();
    assert.ok(arrived > DATA);
    await assertIdentical();
    assert.equal((await volumes()).length, 2, "its disk and one mark");
  });
});
