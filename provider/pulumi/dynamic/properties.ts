/** The property bags Pulumi hands over and takes back: inputs, outputs and the few internal keys between them. */
import { DamagedRecordError, parseState } from "../../fleet";
import type { FleetState } from "../../fleet/model";
import { DEFAULTS_KEY, HOSTS_KEY, INCARNATION_KEY, ORGANIZATION_KEY, OWN_OUTPUTS, PREVIEW_KEY, PROVIDER_KEY, URN_KEY } from "./keys";

export type Bag = Record<string, unknown>;

/** What a value that is not known yet looks like to a dynamic provider. */
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
export const isUnknown = (value: unknown): boolean => value === UNKNOWN;

const OWN_OUTPUT_KEYS: ReadonlySet<string> = new Set(OWN_OUTPUTS);

export interface Request {
  urn: string;
  organization?: string;
  preview: boolean;
  /** What the user declared, nothing else. */
  declared: Bag;
}

/** Reads the inputs of a call. @throws Error when the resource was not made by the sdk's class */
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
  return Object.fromEntries(Object.entries(bag).filter(([key]) => !key.startsWith("__") && !OWN_OUTPUT_KEYS.has(key)));
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
  const { incarnation, hosts, defaultsVersion, ...shown } = state;
  return plain({ ...withoutPreview(inputs), ...shown, [INCARNATION_KEY]: incarnation, [HOSTS_KEY]: hosts, ...(defaultsVersion !== undefined && { [DEFAULTS_KEY]: defaultsVersion }) });
}

/**
 * The state that was put into these outputs; undefined where none was.
 * @throws DamagedRecordError where one was, and it cannot be read
 */
export function recordedState(outputs: Bag): FleetState | undefined {
  if ([INCARNATION_KEY, HOSTS_KEY, "members"].every((key) => outputs[key] === undefined)) return undefined;
  const shown = Object.fromEntries([...OWN_OUTPUTS, "fleetId"].map((key) => [key, outputs[key]]));
  const state = parseState({ ...shown, incarnation: outputs[INCARNATION_KEY], hosts: outputs[HOSTS_KEY], defaultsVersion: outputs[DEFAULTS_KEY] });
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
