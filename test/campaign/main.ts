/** `npm run campaign`, once everything is installed (scripts/campaign.mjs). */
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Lab } from "../lab/lab.mjs";
import { OwnLab } from "../lab/ownLab";
import { Providers } from "./kill";
import { LAB } from "./labAdministrator";
import { liveOnLab } from "./labLife";
import { describeLife, drawLife, shrinkLife, SIMULATED, type Life } from "./life";
import { parseOptions, USAGE, type CampaignOptions } from "./options";
import { liveSimulated } from "./simulatedLife";
import { kindOf, LifeFailed } from "./verdict";

const SAID_EVERY_MS = 10_000;

/** How far a campaign came. */
interface Progress {
  seed: number;
  simulated: { lives: number; runs: number; kills: number; acts: number };
  lab: { lives: number; runs: number; kills: number; acts: number; stumbles: string[] };
  /** Seeds of lives that went wrong. */
  failed: { ground: "simulated" | "lab"; seed: number }[];
}

const log = (line: string): void => console.log(line);
let interrupted = false;
const ownLab = new OwnLab("campaign", "another campaign runs");

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return log(USAGE);
  if (options.replay !== undefined) return replay(options, options.replay);
  const file = options.state ?? join(tmpdir(), "vmfleet-campaign.json");
  const progress = beginning(options, file);
  const save = (): void => {
    writeFileSync(`${file}.part`, `${JSON.stringify(progress, undefined, 2)}\n`);
    renameSync(`${file}.part`, file);
  };
  save();
  if (options.only !== "lab") await simulatedLives(options, progress, save);
  if (options.only !== "simulated") await labKills(options, progress, save);
  const { simulated, lab, failed } = progress;
  log(`simulated: ${simulated.lives} lives, ${simulated.runs} runs, ${simulated.kills} kills, ${simulated.acts} acts by hand`);
  log(`lab: ${lab.lives} lives, ${lab.runs} runs, ${lab.kills} kills, ${lab.acts} acts by hand, ${lab.stumbles.length} runs that ended well at the second try`);
  for (const stumble of lab.stumbles) log(`  ${stumble}`);
  log(failed.length === 0 ? "campaign: every life held" : `campaign: ${failed.length} lives went wrong: ${failed.map(({ ground, seed }) => `${ground} ${seed}`).join(", ")}`);
  if (failed.length > 0) process.exitCode = 1;
}

function beginning({ resume, seed }: CampaignOptions, file: string): Progress {
  if (resume && existsSync(file)) return JSON.parse(readFileSync(file, "utf8")) as Progress;
  if (resume) throw new Error(`--resume: expected an earlier campaign's state in ${file}, got none; begin without it`);
  return { seed, simulated: { lives: 0, runs: 0, kills: 0, acts: 0 }, lab: { lives: 0, runs: 0, kills: 0, acts: 0, stumbles: [] }, failed: [] };
}

async function simulatedLives({ lives }: CampaignOptions, progress: Progress, save: () => void): Promise<void> {
  let said = performance.now();
  const { simulated } = progress;
  while (simulated.lives < lives) {
    const life = drawLife(progress.seed + simulated.lives);
    simulated.lives++;
    try {
      const { runs, kills, acts } = await liveSimulated(life);
      simulated.runs += runs;
      simulated.kills += kills;
      simulated.acts += acts;
    } catch (error) {
      progress.failed.push({ ground: "simulated", seed: life.seed });
      await tellShortest(life, error as Error);
    }
    if (performance.now() - said < SAID_EVERY_MS && simulated.lives < lives) continue;
    said = performance.now();
    save();
    log(`▸ simulated: ${simulated.lives} of ${lives} lives, ${progress.failed.length} wrong`);
  }
}

async function tellShortest(life: Life, error: Error): Promise<void> {
  const failureOf = (one: Life): Promise<Error | undefined> => liveSimulated(one).then(() => undefined, (failure: Error) => failure);
  const shortest = await shrinkLife(life, async (shorter) => kindOf(await failureOf(shorter)) === kindOf(error));
  tell(shortest, await failureOf(shortest) ?? error, "");
}

function tell(life: Life, error: Error, where: string): void {
  log([
    `✗ ${describeLife(life)}`,
    ...(error instanceof LifeFailed ? error.log.map((line) => `    ${line}`) : []),
    `  ${error.message}`, `  again: npm run campaign -- --replay ${life.seed}${where}`,
  ].join("\n"));
}

async function labKills(options: CampaignOptions, progress: Progress, save: () => void): Promise<void> {
  const { kills: wanted } = options;
  if (progress.lab.kills >= wanted) return;
  const lab = await openLab(options);
  const providers = new Providers();
  try {
    while (progress.lab.kills < wanted) {
      const life = drawLife(progress.seed + progress.lab.lives, LAB);
      progress.lab.lives++;
      try {
        const { runs, kills, acts, stumbles } = await liveOnLab(life, { lab, providers });
        progress.lab.runs += runs;
        progress.lab.kills += kills;
        progress.lab.acts += acts;
        progress.lab.stumbles.push(...stumbles);
      } catch (error) {
        if (interrupted) return; // its hosts are being taken away: --resume lives it again
        progress.failed.push({ ground: "lab", seed: life.seed });
        if (error instanceof LifeFailed) progress.lab.kills += error.log.filter((line) => line.startsWith("killed ")).length;
        tell(life, error as Error, " --only lab");
      }
      save();
      log(`▸ lab: ${progress.lab.kills} of ${wanted} kills in ${progress.lab.lives} lives, ${progress.failed.filter(({ ground }) => ground === "lab").length} wrong`);
    }
  } finally {
    providers.close();
    await ownLab.remove();
  }
}

const openLab = ({ lab, language }: CampaignOptions): Promise<Lab> => ownLab.open(lab, { log, ...(language !== undefined && { language }) });

async function replay(options: CampaignOptions, seed: number): Promise<void> {
  const life = drawLife(seed, options.only === "lab" ? LAB : SIMULATED);
  log(describeLife(life));
  const providers = new Providers();
  try {
    const report = options.only === "lab" ? await liveOnLab(life, { lab: await openLab(options), providers }) : await liveSimulated(life);
    log(`it held: ${JSON.stringify(report)}`);
  } catch (error) {
    process.exitCode = 1;
    if (options.only === "lab") tell(life, error as Error, " --only lab");
    else await tellShortest(life, error as Error);
  } finally {
    providers.close();
    await ownLab.remove();
  }
}

async function interrupt(signal: NodeJS.Signals): Promise<void> {
  interrupted = true;
  await ownLab.remove();
  process.exit(signal === "SIGINT" ? 130 : 143);
}
process.on("SIGINT", interrupt).on("SIGTERM", interrupt);

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
