/** What `npm run bench` may be told. */
import { parseArgs } from "node:util";
import type { PolicyName } from "../../provider/fleet/model";
import { policyNames } from "../../provider/scheduler";
import { caseNames, type CaseName } from "./cases";

export type BenchPolicy = "auto" | PolicyName;
/** What brings the image to all hosts; `swarm`: BitTorrent. */
export type BenchSubject = BenchPolicy | "swarm";

export interface BenchOptions {
  cases: CaseName[];
  /** In the order they take turns. @default singleSource, rounds, earliestCompletion, relay, auto, swarm */
  subjects: BenchSubject[];
  /** Hosts of our own lab. @default 4 */
  hosts: 4 | 8;
  /** Runs of each subject. @default 3 */
  repeat: number;
  /** Random bytes in the template. @default 512 MiB */
  imageBytes: number;
  /** Folder of the results. @default "bench-results" */
  out: string;
  /** A JSON file of an earlier run that is gone on with; its options hold. */
  resume?: string;
  /** No measurement is begun after this; `resume` does the rest. */
  minutes?: number;
  /** A lab that is up; it stays up. Absent: one of our own. */
  lab?: string;
  help: boolean;
}

export const SUBJECTS: readonly BenchSubject[] = ["singleSource", "rounds", "earliestCompletion", "relay", "auto", "swarm"];
const unknown = policyNames.find((name) => !SUBJECTS.includes(name));
if (unknown !== undefined) throw new Error(`bench: policy ${unknown} is not among the subjects`);

export const USAGE = `npm run bench -- [options]
  --cases LIST        of ${caseNames.join(", ")} (copy)
  --policies LIST     case copy: of ${SUBJECTS.join(", ")} (all)
  --hosts N           4 (2 racks, NICs of 400 Mbit/s) or 8 (4 racks, 200 Mbit/s) (4)
  --repeat N          measurements of each (3)
  --image-mib N       random data in the template (512)
  --minutes N         begin no measurement after N minutes; --resume goes on
  --resume FILE       go on with the measurements in this JSON file
  --lab NAME          use this lab, which is up, and leave it up
  --out DIR           where JSON files and pictures go (bench-results)`;

/** @throws an Error that says which option, what was expected and what was given */
export function parseOptions(args: string[]): BenchOptions {
  const { values } = parseArgs({
    args,
    options: {
      cases: { type: "string", default: "copy" },
      policies: { type: "string", default: SUBJECTS.join(",") },
      hosts: { type: "string", default: "4" },
      repeat: { type: "string", default: "3" },
      "image-mib": { type: "string", default: "512" },
      out: { type: "string", default: "bench-results" },
      minutes: { type: "string" },
      resume: { type: "string" },
      lab: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.hosts !== "4" && values.hosts !== "8") throw new Error(`--hosts: expected 4 or 8, got ${JSON.stringify(values.hosts)}`);
  return {
    cases: someOf("--cases", values.cases, caseNames),
    subjects: someOf("--policies", values.policies, SUBJECTS),
    hosts: values.hosts === "8" ? 8 : 4,
    repeat: integer("--repeat", values.repeat, 1, 100),
    imageBytes: integer("--image-mib", values["image-mib"], 1, 100_000) * 1024 * 1024,
    out: values.out,
    ...(values.minutes !== undefined && { minutes: integer("--minutes", values.minutes, 1, 10_000) }),
    ...(values.resume !== undefined && { resume: values.resume }),
    ...(values.lab !== undefined && { lab: values.lab }),
    help: values.help,
  };
}

function someOf<T extends string>(option: string, list: string, all: readonly T[]): T[] {
  return [...new Set(list.split(","))].map((name) => {
    const found = all.find((one) => one === name);
    if (found === undefined) throw new Error(`${option}: expected some of ${all.join(", ")}, got ${JSON.stringify(name)}`);
    return found;
  });
}

function integer(option: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    throw new Error(`${option}: expected an integer from ${least} to ${most}, got ${JSON.stringify(text)}`);
  }
  return value;
}
