/**
 * The dynamic provider's methods with real hosts behind them, by the names Pulumi calls them:
 * `require("pulumi-vmfleet/provider").create(inputs)`. The sdk's class is their only caller.
 */
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { applyFleet, previewFleet, realClock, refreshFleet, removeFleet } from "../../engine";
import { createLibvirt } from "../../hypervisors/libvirt";
import { backendOf, pulumiHome, surroundings } from "../backend";
import { begunIn } from "../../front/begun";
import { engineLink } from "./engine-link";
import { createProvider } from "./provider";

const PREVIEW_DEADLINE_MS = 5000;
const PROGRESS_INTERVAL_MS = 1000;

const provider = createProvider({
  fleetDoors: { applyFleet, previewFleet, refreshFleet, removeFleet },
  createHypervisor: createLibvirt,
  clock: realClock,
  link: engineLink(process.argv.at(-1)),
  writeFile,
  begun: begunIn(join(pulumiHome(), "vmfleet")),
  backend: () => backendOf(surroundings()),
  newIncarnation: () => randomBytes(8).toString("hex"),
  holder: () => `pid ${process.pid} on ${hostname()} since ${new Date().toTimeString().slice(0, 8)}`,
  exit: (code) => process.exit(code),
  previewDeadlineMs: PREVIEW_DEADLINE_MS,
  progressIntervalMs: PROGRESS_INTERVAL_MS,
});

export const { check, diff, create, update, read } = provider;
const { delete: remove } = provider;
export { remove as delete };
