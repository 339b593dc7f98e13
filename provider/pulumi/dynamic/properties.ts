/**
 * The property bags Pulumi hands over and takes back: inputs, outputs and the few internal keys between them.
 * Keys that begin with `__` are hidden by Pulumi's own display.
 */
import { DamagedRecordError, parseState } from "../../fleet";
import type { FleetState } from "../../fleet/model";

export type Bag = Record<string, unknown>;

/** What a value that is not known yet looks like to a dynamic provider. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
export const isUnknown = (value: unknown): boolean => value === UNKNOWN;

/** The resource's URN: methods of a dynamic provider are not told it, so the sdk passes it along. */
const URN_KEY = "__urn";
/** The organization in Pulumi Cloud, which the URN leaves out; known to programs alone. */
const ORGANIZATION_KEY = "__organization";
/** True while a program runs for a preview, absent otherwise, so that it never reaches the state. */
const PREVIEW_KEY = "__preview";
/** The serialized methods. Pulumi adds it to what succeeds; a partial failure must carry it itself. */
const PROVIDER_KEY = "__provider";
const INCARNATION_KEY = "__incarnation";
const HOSTS_KEY = "__hosts";

/** Outputs that are no inputs. `fleetId` is both. */
const OUTPUT_KEYS = new Set(["contentId", "members", "replicas", "snapshots", "placement", "lastRun", "timeline", "learned", "readProfiles"]);

export interface Request {
  urn: string;
  organization?: string;
  preview: boolean;
  /** What the user declared, nothing else. */
  declared: Bag;
}

/** Reads the inputs of a call. @throws Error when the resource was not made by the sdk's class. */
export function requestOf(bag: Bag): Request {
  const urn = bag[URN_KEY];
  if (typeof urn !== "string" || urn === "") {
    throw new Error("the resource carries no URN: create it with ClonedVmFleet of pulumi-vmfleet");
  }
  const organization = bag[ORGANIZATION_KEY];
  return {
    urn, preview: bag[PREVIEW_KEY] === true, declared: declaredOf(bag), ...(typeof organization === "string" && { organization }),
  };
}

/**
 * The inputs as check hands them on. That they were a preview's is for this process alone: `pulumi up --plan` compares
 * the inputs of its run with those of the preview, and refuses any difference.
 */
export function withoutPreview(bag: Bag): Bag {
  const { [PREVIEW_KEY]: _, ...kept } = bag;
  return kept;
}

function declaredOf(bag: Bag): Bag {
  return Object.fromEntries(Object.entries(bag).filter(([key]) => !key.startsWith("__") && !OUTPUT_KEYS.has(key)));
}

/**
 * What was declared when these outputs were written. The fleet id is left out: whether it had been declared or was
 * derived cannot be told from the outputs, and the recorded one holds either way.
 */
export function declaredInOutputs(outputs: Bag): Bag {
  const { fleetId: _recorded, ...declared } = declaredOf(outputs);
  return declared;
}

/** Outputs: the inputs as they came, and over them the recorded state. Holds no `undefined`, which Struct refuses. */
export function outputsOf(inputs: Bag, state: FleetState): Bag {
  const { incarnation, hosts, ...shown } = state;
  return plain({ ...withoutPreview(inputs), ...shown, [INCARNATION_KEY]: incarnation, [HOSTS_KEY]: hosts });
}

/**
 * The state that was put into these outputs; undefined where none was.
 * @throws DamagedRecordError where one was, and it cannot be read
 */
export function recordedState(outputs: Bag): FleetState | undefined {
  if ([INCARNATION_KEY, HOSTS_KEY, "members"].every((key) => outputs[key] === undefined)) return undefined;
  const shown = Object.fromEntries([...OUTPUT_KEYS, "fleetId"].map((key) => [key, outputs[key]]));
  const state = parseState({ ...shown, incarnation: outputs[INCARNATION_KEY], hosts: outputs[HOSTS_KEY] });
  if (state) return state;
  const key = typeof outputs["fleetId"] === "string" && outputs["fleetId"] !== "" ? INCARNATION_KEY : "fleetId";
  throw new DamagedRecordError(key, outputs[key]);
}

/** True for the inputs Pulumi passes as the old ones when there is a resource already. */
export const hasRecord = (oldInputs: Bag | undefined): boolean =>
  oldInputs !== undefined && oldInputs[PROVIDER_KEY] !== undefined;

function plain(value: Bag): Bag {
  return JSON.parse(JSON.stringify(value)) as Bag;
}
