/**
 * Case `relayLoss`: the relay in the middle of a pipeline is lost half-way, once as a whole host (its daemon and every
 * QEMU on it killed at once) and once as its own QEMU alone. What was sent twice shows at the NICs of those that live.
 */
import { readFileSync } from "node:fs";
import { table } from "../../provider/cli/table";
import { killHost, run, startDaemon } from "../lab";
import type { LabHost } from "../lab/lab.mjs";
import type { BenchCase, CaseReport } from "./cases";
import { readCounters, trafficBetween } from "./counters";
import { previewOf, runFleet, type FleetRun } from "./fleetRun";
import { routeOf, type BenchGround } from "./ground";
import { benchSpec } from "./inputs";
import type { BenchOptions } from "./options";
import { median } from "./statistics";

type Loss = "host" | "qemu";

interface LossRun {
  loss: Loss;
  turn: number;
  relay: string;
  /** Of all copies together when it was killed. */
  bytesAtLoss: number;
  /** Into the NICs of all targets that live, beyond one image each, headers counted as in a plain copy. */
  bytesTwice: number;
  run: FleetRun;
}

interface LossMeasurements {
  /** Bytes on the wire for one of content, in a plain copy. */
  wireShare: number;
  runs: LossRun[];
}

async function measure(ground: BenchGround, options: BenchOptions, found: unknown, save: (measured: unknown) => void): Promise<LossMeasurements> {
  const { lab, log, plain, imageBytes } = ground;
  const { from, to } = routeOf(lab.hosts);
  const measured = (found as LossMeasurements | undefined) ?? { wireShare: 0, runs: [] };
  for (let turn = 0; turn < options.repeat; turn++) {
    for (const loss of ["host", "qemu"] as const) {
      if (measured.runs.some((one) => one.turn === turn && one.loss === loss)) continue;
      if (!ground.mayGoOn()) return measured;
      if (measured.wireShare === 0) {
        const before = await readCounters(lab);
        await plain.copy(from, to);
        measured.wireShare = trafficBetween(before, await readCounters(lab)).nics[to.name]!.rx / imageBytes;
      }
      const one = await loseRelay(ground, loss, turn, measured.wireShare);
      measured.runs.push(one);
      save(measured);
      log(`turn ${turn + 1}, ${loss} of ${one.relay} lost: ${mib(one.bytesTwice)} MiB twice of ${mib(imageBytes)}, all done after ${one.run.copySeconds.toFixed(1)} s`);
      for (const fault of one.run.faults) log(`  FAULT: ${fault}`);
    }
  }
  return measured;
}

async function loseRelay(ground: BenchGround, loss: Loss, turn: number, wireShare: number): Promise<LossRun> {
  const { lab, imageBytes } = ground;
  const spec = benchSpec(ground, "relay", 1);
  const relay = await middleRelay(ground, spec);
  const targets = lab.hosts.slice(1);
  const half = (targets.length * imageBytes) / 2;
  let killing: Promise<void> | undefined;
  let bytesAtLoss = 0;
  const fleet = await runFleet(ground, spec, {
    lostHosts: loss === "host" ? [relay.name] : [],
    onBytes: (done, fleetId) => {
      if (killing || done < half) return;
      bytesAtLoss = done;
      killing = loss === "host" ? killHost({ name: lab.name, host: relay.name }) : killHelpers(relay, fleetId);
      killing.catch(() => undefined); // awaited below
    },
    afterRun: async () => {
      await killing;
      if (loss === "host") await startDaemon({ name: lab.name, host: relay.name });
    },
  });
  if (!killing) fleet.faults.push("nothing was killed: the copy was over before half of it was reported");
  const living = targets.filter((host) => loss === "qemu" || host !== relay);
  const received = living.reduce((sum, { name }) => sum + fleet.traffic.nics[name]!.rx, 0);
  return { loss, turn, relay: relay.name, bytesAtLoss, bytesTwice: Math.max(0, received / wireShare - living.length * imageBytes), run: fleet };
}

/** Reads from a relay, or from the template where the line is short, and is read from. */
async function middleRelay({ lab }: BenchGround, spec: Parameters<typeof previewOf>[0]): Promise<LabHost> {
  const { clones } = await previewOf(spec, "bench");
  const relays = clones.filter(({ targetHost }) => clones.some((other) => other.sourceHost === targetHost));
  const middle = relays.find(({ sourceHost }) => clones.some((other) => other.targetHost === sourceHost)) ?? relays[0];
  const host = lab.hosts.find(({ name }) => name === middle?.targetHost);
  if (!host) throw new Error("relayLoss: expected a lab where one copy feeds another");
  return host;
}

async function killHelpers(host: LabHost, fleetId: string): Promise<void> {
  const pids = (await run(["ip", "netns", "pids", host.netns])).split("\n").filter((pid) => pid !== "").map(Number);
  for (const pid of pids) {
    let command = "";
    try {
      command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      continue; // it ended meanwhile
    }
    if (command.includes(`guest=vmfleet-helper-${fleetId}`)) process.kill(pid, "SIGKILL");
  }
}

function report(measured: unknown, { imageBytes }: { imageBytes: number }): CaseReport {
  const { runs } = measured as LossMeasurements;
  const rows = (["host", "qemu"] as const).flatMap((loss) => {
    const all = runs.filter((one) => one.loss === loss);
    if (all.length === 0) return [];
    const twice = median(all.map(({ bytesTwice }) => bytesTwice));
    return [{
      loss, runs: all.length, relay: all[0]!.relay, bytesTwice: twice, shareOfImage: twice / imageBytes,
      copySeconds: median(all.map(({ run: { copySeconds } }) => copySeconds)),
      bytesAtLoss: median(all.map(({ bytesAtLoss }) => bytesAtLoss)),
    }];
  });
  const what = { host: "the whole host", qemu: "its own QEMU" };
  const text = [
    "the relay in the middle is killed half-way",
    "",
    table(["killed", "relay", "MiB sent twice", "of the image", "all done s", "runs"], rows.map((row) => [
      what[row.loss], row.relay, mib(row.bytesTwice), `${(100 * row.shareOfImage).toFixed(1)} %`, row.copySeconds.toFixed(1), row.runs,
    ])),
    "",
    "A QEMU that is killed loses what it had not flushed: 5 s of its copy, where flushing is quick.",
  ].join("\n");
  return { text, data: rows, faults: runs.flatMap(({ loss, turn, run: { faults } }) => faults.map((fault) => `relayLoss, ${loss}, turn ${turn + 1}: ${fault}`)) };
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

export const relayLossCase: BenchCase = { measure, report };
