/** A fleet's life: what is declared, what an administrator does beside, and when the provider is killed. Plain data, drawn from a seed. */
import { random } from "../random";
import { ACTS, type ActName } from "./acts";

/** What the program says of the fleet. */
export interface Declared {
  /** How many of the ground's hosts are in the program, the first of which holds the template. */
  hosts: number;
  targets: { count: number } | { countPerHost: number } | { counts: number[] };
  clone: "full" | "linked" | { mixed: { linkedShare: number } };
  policy: "auto" | "rounds" | "relay" | "earliestCompletion";
  keepSeeds: "none" | "rack" | "host";
  powerOn: boolean;
  start: "immediately" | "whenCopied";
  onTemplateChange: "keep" | "replace";
  allowRecreate: boolean;
  memory: number;
  /** @default 1 */
  numCpus?: number;
  /** What members can be given while they run. @default as much as they have */
  ceilings?: { maxCpus: number; maxMemory: number };
  disks: { label: string; sizeBytes: number; onDelete: "delete" | "keep"; reattach?: boolean }[];
  /** The largest size that was ever declared of a data disk, by its label: disks never shrink. @default none */
  largest?: Record<string, number>;
  /** Of the cloned disk beyond the template's; what was declared once is kept to, since disks never shrink. @default none */
  grownMebibytes?: number;
  /** What guests are told: their host name, or nothing. @default what new fleets tell */
  hostname?: string | false;
  /** Hosts that do not answer are given up. */
  abandon: boolean;
  /** @default started, and no limit */
  waitFor?: "started" | "guestAgent" | "address" | { tcpPort: number };
  maxConfiguring?: number;
}

export type Picks = [number, number, number];

export type Step =
  | { kind: "declare"; change: Partial<Declared> }
  | { kind: "act"; act: ActName; picks: Picks }
  /**
   * `kill`: the provider dies at that share of its calls. `lockLostAfterSeconds`: somebody takes the fleet's lock away.
   * `during`: the administrator acts while it runs. Each happens to a run of its own, before the one that must end well.
   */
  | { kind: "up"; kill?: { share: number; when: "before" | "after" }; lockLostAfterSeconds?: number; during?: { act: ActName; picks: Picks; afterSeconds: number } }
  | { kind: "refresh" }
  /** The guest of that slot says nothing from now on, until all is put right. */
  | { kind: "silence"; slot: number };

export interface Life {
  seed: number;
  template: "volume" | "file";
  declared: Declared;
  steps: Step[];
}

const MIB = 1 << 20;
/** Hosts of a ground; a life declares some of them. */
export const HOSTS = 4;

/** What suits a ground. */
export interface Ground {
  /** What the administrator can do there. */
  acts: readonly ActName[];
  /** Share of runs that are killed. */
  kills: number;
  /** Share of fleets whose members run. */
  running: number;
  leastMembers: number;
  mostMembers: number;
  /** Share of fleets whose guests are waited for. @default none: guests there say nothing */
  waiting?: number;
}

export const SIMULATED: Ground = { acts: ACTS, kills: 0.35, running: 0.7, leastMembers: 0, mostMembers: 8, waiting: 0.4 };

export function drawLife(seed: number, { acts, kills, running, leastMembers, mostMembers, waiting = 0 }: Ground = SIMULATED): Life {
  const next = random(seed);
  const whole = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  const one = <T>(...of: readonly T[]): T => of[Math.floor(next() * of.length)]!;
  const chance = (share: number): boolean => next() < share;
  const targets = (): Declared["targets"] => {
    const draw = next();
    if (draw < 0.6) return { count: whole(leastMembers, mostMembers) };
    if (draw < 0.8) return { countPerHost: whole(Math.min(1, leastMembers), Math.ceil(mostMembers / 3)) };
    return { counts: Array.from({ length: HOSTS }, () => whole(0, Math.ceil(mostMembers / 3))) };
  };
  const disk = (label: string): Declared["disks"][number] => {
    const onDelete = one<"delete" | "keep">("delete", "keep", "keep");
    return { label, sizeBytes: whole(1, 3) * MIB, onDelete, ...(onDelete === "keep" && chance(0.15) && { reattach: false }) };
  };
  const disks = (): Declared["disks"] => [...(chance(0.5) ? [disk("data")] : []), ...(chance(0.15) ? [disk("log")] : [])];
  const clone = (): Declared["clone"] => one<Declared["clone"]>("full", "full", "linked", { mixed: { linkedShare: 0.5 } });
  const declared: Declared = {
    hosts: whole(2, HOSTS), targets: targets(), clone: clone(), policy: one("auto", "rounds", "relay", "earliestCompletion"),
    keepSeeds: one("none", "none", "rack", "host"), powerOn: chance(running), start: one("whenCopied", "whenCopied", "immediately"),
    onTemplateChange: one("keep", "keep", "replace"), allowRecreate: chance(0.8), memory: 256, disks: disks(), abandon: false,
    ...(chance(0.5) && { ceilings: { maxCpus: 4, maxMemory: 1024 } }),
  };
  const change = (): Partial<Declared> => one<() => Partial<Declared>>(
    () => ({ targets: targets() }), () => ({ targets: targets() }), () => ({ targets: targets() }),
    () => ({ hosts: whole(1, HOSTS) }), () => ({ clone: clone() }), () => ({ keepSeeds: one("none", "rack", "host") }),
    () => ({ powerOn: chance(running) }), () => ({ memory: one(256, 512) }), () => ({ onTemplateChange: one("keep", "replace") }),
    () => ({ disks: disks() }), () => ({ start: one("immediately", "whenCopied") }), () => ({ abandon: chance(0.7) }),
    () => ({ grownMebibytes: whole(1, 4) }), () => ({ hostname: one<string | false>("{name}", "x-{slot}", false) }),
    () => ({ numCpus: whole(2, 4) }), () => ({ numCpus: whole(1, 4) }), () => ({ ceilings: { maxCpus: 4, maxMemory: 1024 } }),
  )();
  const up = (): Step => ({
    kind: "up",
    ...(chance(kills) && { kill: { share: next(), when: one("before", "after") } }),
    ...(chance(0.05) && { lockLostAfterSeconds: whole(0, 20) / 10 }),
    ...(chance(0.1) && { during: { act: one(...acts), picks: [next(), next(), next()] satisfies Picks, afterSeconds: whole(0, 40) / 10 } }),
  });
  const steps: Step[] = [up()];
  for (let left = whole(3, 9); left > 0; left--) {
    const draw = next();
    if (draw < 0.3) steps.push({ kind: "declare", change: change() });
    else if (draw < 0.42) steps.push({ kind: "refresh" });
    else steps.push({ kind: "act", act: one(...acts), picks: [next(), next(), next()] });
    if (chance(0.65)) steps.push(up());
  }
  return withWaiting({ seed, template: chance(0.8) ? "volume" : "file", declared, steps }, waiting);
}

/** By numbers of its own: what else happens in a life does not depend on it. */
function withWaiting(life: Life, share: number): Life {
  const next = random(life.seed ^ 0x5a17);
  const one = <T>(...of: readonly T[]): T => of[Math.floor(next() * of.length)]!;
  const waits = (): Partial<Declared> => ({
    waitFor: one<NonNullable<Declared["waitFor"]>>("guestAgent", "address", { tcpPort: 22 }), maxConfiguring: one(1, 2, 100),
  });
  if (next() >= share) return life;
  const steps = life.steps.flatMap((step): Step[] => [
    ...(next() < 0.1 ? [{ kind: "silence", slot: Math.floor(next() * 6) } as const] : []),
    ...(next() < 0.1 ? [{ kind: "declare", change: next() < 0.3 ? { waitFor: "started" } : waits() } satisfies Step] : []),
    step,
  ]);
  return { ...life, declared: { ...life.declared, ...(next() < 0.7 && waits()) }, steps };
}

/** What is declared after a change of it. */
export function merged(declared: Declared, change: Partial<Declared>): Declared {
  const grown = Math.max(declared.grownMebibytes ?? 0, change.grownMebibytes ?? 0);
  const largest = { ...declared.largest };
  for (const { label, sizeBytes } of [...declared.disks, ...change.disks ?? []]) largest[label] = Math.max(largest[label] ?? 0, sizeBytes);
  const disks = (change.disks ?? declared.disks).map((disk) => ({ ...disk, sizeBytes: largest[disk.label]! }));
  return { ...declared, ...change, disks, largest, ...(grown > 0 && { grownMebibytes: grown }) };
}

/** One line a step, to be read by whoever looks for the fault. */
export function describeLife({ seed, template, declared, steps }: Life): string {
  return [
    `seed ${seed}, template a ${template}, declared ${JSON.stringify(declared)}`,
    ...steps.map((step, index) => `  ${index + 1}. ${describeStep(step)}`),
  ].join("\n");
}

function describeStep(step: Step): string {
  switch (step.kind) {
    case "declare": return `declare ${JSON.stringify(step.change)}`;
    case "act": return `by hand: ${step.act} (${step.picks.map((pick) => pick.toFixed(3)).join(", ")})`;
    case "refresh": return "refresh";
    case "silence": return `the guest of slot ${step.slot} says nothing any more`;
    case "up": return [
      "up", ...(step.kill ? [`killed ${step.kill.when} call ${(step.kill.share * 100).toFixed(1)} %`] : []),
      ...(step.during ? [`beside which, after ${step.during.afterSeconds} s: ${step.during.act} (${step.during.picks.map((pick) => pick.toFixed(3)).join(", ")})`] : []),
      ...(step.lockLostAfterSeconds === undefined ? [] : [`whose lock is lost after ${step.lockLostAfterSeconds} s`]),
    ].join(", ");
  }
}

/** The shortest life that goes wrong in the same way, by leaving steps out. */
export async function shrinkLife(life: Life, goesWrong: (life: Life) => Promise<boolean>): Promise<Life> {
  let best = life;
  for (let index = best.steps.length - 1; index >= 0; index--) {
    const shorter = { ...best, steps: best.steps.filter((_, at) => at !== index) };
    if (await goesWrong(shorter)) best = shorter;
  }
  for (let index = 0; index < best.steps.length; index++) {
    const step = best.steps[index]!;
    if (step.kind !== "up") continue;
    for (const without of ["kill", "lockLostAfterSeconds", "during"] as const) {
      const now = best.steps[index] as Extract<Step, { kind: "up" }>;
      if (now[without] === undefined) continue;
      const plainer = { ...best, steps: best.steps.map((one, at) => (at === index ? { ...now, [without]: undefined } : one)) };
      if (await goesWrong(plainer)) best = plainer;
    }
  }
  return best;
}
