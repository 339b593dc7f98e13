/** What `npm run campaign` may be told. */
import { parseArgs } from "node:util";

export interface CampaignOptions {
  /** Lives on the simulator. @default 5000 */
  lives: number;
  /** Kills of a provider on the lab. @default 150 */
  kills: number;
  /** Of the first life; those after it count on. @default 1 */
  seed: number;
  only?: "simulated" | "lab";
  /** Go on where an earlier campaign ended. */
  resume: boolean;
  /** File that knows how far it came. @default vmfleet-campaign.json in the folder for temporary files */
  state?: string;
  /** A lab that is up; it stays up. Absent: one of our own. */
  lab?: string;
  /** Of the daemons of our own lab. @default C.UTF-8 */
  language?: string;
  /** One life alone, its history told step by step. */
  replay?: number;
  help: boolean;
}

export const USAGE = `npm run campaign -- [options]
  --lives N           random lives on the simulator (5000)
  --kills N           kills of the provider on the lab (150)
  --seed S            of the first life (1); the others count on
  --only WHAT         simulated or lab
  --resume            go on where an earlier campaign ended, with its seed
  --state FILE        knows how far it came (vmfleet-campaign.json in the folder for temporary files)
  --lab NAME          use this lab, which is up, and leave it up
  --language LOCALE   in which the daemons of a lab of our own answer (C.UTF-8)
  --replay SEED       live this one life again (with --only lab: on the lab) and tell its history`;

const MOST = 1_000_000;

/** @throws an Error that says which option, what was expected and what was given */
export function parseOptions(args: string[]): CampaignOptions {
  const { values } = parseArgs({
    args,
    options: {
      lives: { type: "string", default: "5000" },
      kills: { type: "string", default: "150" },
      seed: { type: "string", default: "1" },
      only: { type: "string" },
      resume: { type: "boolean", default: false },
      state: { type: "string" },
      lab: { type: "string" },
      language: { type: "string" },
      replay: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const { only, state, lab, language } = values;
  if (only !== undefined && only !== "simulated" && only !== "lab") throw new Error(`--only: expected simulated or lab, got ${JSON.stringify(only)}`);
  if (lab !== undefined && language !== undefined) throw new Error("--language: expected no --lab beside it, got one that is up already; its daemons have their language");
  return {
    lives: integer("--lives", values.lives, 0), kills: integer("--kills", values.kills, 0), seed: integer("--seed", values.seed, 1),
    resume: values.resume, help: values.help,
    ...(only !== undefined && { only }), ...(state !== undefined && { state }), ...(lab !== undefined && { lab }),
    ...(language !== undefined && { language }), ...(values.replay !== undefined && { replay: integer("--replay", values.replay, 1) }),
  };
}

function integer(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > MOST) throw new Error(`${option}: expected an integer from ${least} to ${MOST}, got ${JSON.stringify(text)}`);
  return value;
}
